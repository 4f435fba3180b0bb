"""What a RAM user's comment says, and how much of it is believed."""

from __future__ import annotations

import pytest

from alibroker.brokers.alibabacloud.naming import tag_value
from alibroker.brokers.oss.marks import Mark, read_mark, user_name, write_mark

IDS = ("a1b2c3d4-0000-4000-8000-123456789abc", "ffffffff-1111-4111-8111-cba987654321")


@pytest.mark.parametrize("ids", [IDS, ("a b", "ä"), ("i", "b")], ids=str)
def test_the_mark_of_a_user_is_read_back(ids: tuple[str, str]) -> None:
    comment = write_mark("my-broker", *ids)
    assert len(comment) <= 128
    assert read_mark("my-broker", user_name("my-broker", *ids), comment) == Mark(*ids)
    assert read_mark("other", user_name("my-broker", *ids), comment) is None
    forged = read_mark("my-broker", user_name("my-broker", "x", "y"), comment)
    assert forged == Mark()


def test_users_of_earlier_versions_are_known_by_their_policy() -> None:
    name = user_name("my-broker", "i", "a b")
    assert read_mark("my-broker", name, tag_value("a b"), "i") == Mark("i", "a b")
    assert read_mark("my-broker", name, tag_value("a b"), "j") is None
    assert read_mark("other", name, tag_value("a b"), "i") is None


def test_a_mark_that_does_not_fit_still_says_whose_user_it_is() -> None:
    ids = ("i" * 100, "b" * 100)
    comment = write_mark("my-broker", *ids)
    assert len(comment) <= 128
    assert read_mark("my-broker", user_name("my-broker", *ids), comment) == Mark()
    assert read_mark("other", user_name("my-broker", *ids), comment) is None
    assert read_mark("my-broker", "somebody", comment) is None
