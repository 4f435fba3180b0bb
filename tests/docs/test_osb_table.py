"""The table of rules and tests is what the code says, and no rule is without a test."""

from __future__ import annotations

from osb_table import FILE, document, untested


def test_the_table_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), "run `make docs`"


def test_no_rule_is_without_a_test() -> None:
    assert untested() == []
