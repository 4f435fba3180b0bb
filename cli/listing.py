"""Rows for people, and for whoever copies an id out of them: no name of a thing is broken."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from shutil import get_terminal_size
from typing import Final

from rich.cells import cell_len

_GAP: Final = "  "
_LEAST: Final = 24
"""Columns that the text at the end of a row has to have beside the others, to be readable there."""


def terminal_width() -> int | None:
    """Return how many columns standard output has; None if it is no terminal, and so has no end."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def laid_out(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Return rows as a table, or, where that is too wide, each as a block of lines.

    The last cell of a row is a text: only that goes on in the next line, and only between words. In
    a table without a width each row is one line. What cannot be printed is escaped.
    """
    texts = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(titles, *texts, strict=True)][:-1]
    used = sum(widths) + len(_GAP) * len(widths)
    if width is not None and width - used < _LEAST:
        return "\n\n".join(_block(titles, row, width) for row in texts)
    lines = []
    for row in (titles, *texts):
        first = "".join(
            cell + " " * (size - cell_len(cell)) + _GAP
            for cell, size in zip(row, widths, strict=False)
        )
        lines += _flowing(row[-1], first, " " * used, width)
    return "\n".join(line.rstrip() for line in lines)


def _block(titles: Sequence[str], row: Sequence[str], width: int) -> str:
    size = max(map(cell_len, titles))
    lines = [f"{title:{size}}{_GAP}{cell}" for title, cell in zip(titles, row, strict=True)][:-1]
    first, rest = f"{titles[-1]:{size}}{_GAP}", " " * (size + len(_GAP))
    return "\n".join(line.rstrip() for line in [*lines, *_flowing(row[-1], first, rest, width)])


def _flowing(text: str, first: str, rest: str, width: int | None) -> list[str]:
    if width is None:
        return [first + text]
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]


def printable(text: str) -> str:
    """Escape what a terminal would take for a command, or for the end of a line."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
