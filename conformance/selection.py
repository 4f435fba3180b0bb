"""Which checks are to run."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from alibroker.conformance.checks import Check


class UnknownRuleError(ValueError):
    """There is no such rule or check."""


def select(checks: Iterable[Check], only: Collection[str], skip: Collection[str]) -> set[str]:
    """Return the names of the checks that are named, by rule or by name, and not left out.

    Raises:
        UnknownRuleError: Something is named that does not exist.
    """
    known = list(checks)
    chosen = {one.name for one in known} if not only else _matching(known, only)
    return chosen - _matching(known, skip)


def _matching(checks: list[Check], wanted: Collection[str]) -> set[str]:
    found = set()
    for text in wanted:
        matching = {
            one.name for one in checks if text.upper() in one.rules or text.lower() == one.name
        }
        if not matching:
            raise UnknownRuleError(f"There is no rule or check {text!r}; --list shows them all.")
        found |= matching
    return found
