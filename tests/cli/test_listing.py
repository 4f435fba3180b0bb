"""Whatever the width, an id can be copied out of a table."""

from __future__ import annotations

import pytest

from alibroker.cli.listing import laid_out

TITLES = ("id", "name", "of", "why")
NAME = "rm-bp1nek21p3aeaczryrjb0123456789"
INSTANCE = "2f1c0a4e-6a57-4d0b-9f0e-1b8f5a3c9d7e/a [bold]binding[/bold] äöü 数据库"
WHY = f"{NAME} does not exist any more, or the broker may not see it."
ROWS = [("12b3b62e8ba8", NAME, INSTANCE, WHY), ("0123456789ab", "short", "", "")]


@pytest.mark.parametrize("width", [None, 1, 20, 40, 80, 120, 140, 160, 200, 400])
def test_nothing_that_names_a_thing_is_broken(width: int | None) -> None:
    lines = laid_out(TITLES, ROWS, width).splitlines()
    for cell in (*ROWS[0][:-1], *ROWS[1][:2]):
        assert any(cell in line for line in lines)
    assert sum(line.count(NAME) for line in lines) == 2


def test_what_goes_into_a_pipe_has_a_line_for_each_row() -> None:
    head, *lines = laid_out(TITLES, ROWS, None).splitlines()
    assert head.split() == [*TITLES]
    assert len(lines) == len(ROWS)
    assert lines[0].endswith(WHY)


def test_columns_stand_under_each_other_also_in_wide_letters() -> None:
    _, one, two = laid_out(("a", "b"), [("数", "x"), ("ab", "y")], 80).splitlines()
    assert (one, two) == ("数  x", "ab  y")


def test_a_name_gives_a_terminal_no_commands() -> None:
    text = laid_out(TITLES, [("\x1b[2J", "a\nb", "\u202e", "\x07")], None)
    assert text.splitlines()[1].split() == ["\\x1b[2J", "a\\nb", "\\u202e", "\\x07"]
