"""The table of states and answers is what the code does."""

from __future__ import annotations

from lifecycle_table import FILE, document


def test_the_table_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), "run `make docs`"
