"""Values of tags: legal in every product, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alibroker.brokers.alibabacloud.naming import tag_text, tag_value


@given(st.text(max_size=77).filter(lambda text: 0 < len(text.encode()) <= 77))
def test_what_is_written_into_a_tag_is_read_back(text: str) -> None:
    value = tag_value(text)
    assert len(value) <= 128
    assert tag_text(value) == text


@pytest.mark.parametrize("text", ["aliyun-1", "acs:1", "b32-1", "digest-1", "a b", "ä"])
def test_what_no_tag_may_say_is_coded(text: str) -> None:
    assert tag_value(text).startswith("b32-")


def test_what_is_too_long_is_told_apart_but_not_read_back() -> None:
    assert tag_value("ä" * 100) != tag_value("ä" * 101)
    assert tag_text(tag_value("ä" * 100)) == ""


def test_a_value_that_others_wrote_is_no_defect() -> None:
    assert tag_text("b32-!!!") == ""
