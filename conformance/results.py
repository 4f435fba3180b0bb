"""What came of a run."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from alibroker.conformance.checks import Check, Level, Problem
from alibroker.conformance.cleanup import Leftover
from alibroker.conformance.offers import Offer


class Outcome(enum.StrEnum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """What came of a check, of a plan or of the broker as a whole."""

    check: Check
    offer: Offer | None
    outcome: Outcome
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    """Why it was not applicable or skipped, and what else is worth knowing."""


@dataclass(frozen=True)
class Report:
    """What came of all checks."""

    results: Sequence[Result]
    offers: Sequence[Offer]
    left_behind: Sequence[Leftover]
    interrupted: bool
    started_at: float
    """Unix time in seconds."""
    seconds: float

    def failed(self, *levels: Level) -> list[Result]:
        """Return the failures of rules of these levels."""
        return [
            result
            for result in self.results
            if result.outcome is Outcome.FAIL and result.check.level in levels
        ]

    def conformant(self, *, strict: bool) -> bool:
        """Tell whether no MUST fails; if `strict`, no SHOULD either."""
        levels = (Level.MUST, Level.SHOULD) if strict else (Level.MUST,)
        return not self.failed(*levels)
