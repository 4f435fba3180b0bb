"""What a survey did not see is not believed to be missing before it was looked for.

Somebody who is told that a thing is missing removes what the broker knows of it, or has it made
anew. A list of the cloud's may be late, though, or a mark may have been taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from alibroker.brokers.api import TryAgainError
from alibroker.lifecycle.findings import LOSSES, Disagreement, Finding
from alibroker.lifecycle.records import Key

MOST_LOOKS: Final = 100
"""How many things are looked for one by one; where more are not seen, something else is wrong."""
_TOO_MANY: Final = (
    f"It was not seen, like more than {MOST_LOOKS} others: are these the right account and region?"
)
_UNMARKED: Final = (
    "It exists, but does not carry the marks of this broker any more: give it back its tags."
)


class Search:
    """Looks for what one survey of one broker did not see."""

    def __init__(
        self,
        exists: Callable[[Key], bool],
        earlier: Mapping[str, Finding],
        *,
        now: float,
        age: float,
    ) -> None:
        """Take what asks the plugin, the findings before, by id, and the seconds to wait.

        `exists` raises as a plugin's `exists` does, once it was contained.
        """
        self._exists = exists
        self._earlier = earlier
        self._now = now
        self._age = age

    def judge(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Yield the findings, those about what is missing only as far as that is sure."""
        missing = sum(one.disagreement is Disagreement.MISSING for one in findings)
        for one in findings:
            if one.disagreement is not Disagreement.MISSING:
                yield one
            elif missing > MOST_LOOKS:
                yield _unseen(one, _TOO_MANY)
            else:
                yield self._look(one)

    def _look(self, finding: Finding) -> Finding:
        try:
            there = self._exists(finding.key)
        except TryAgainError as ex:
            return _unseen(finding, f"It was not seen, and cannot be looked for: {ex.reason}")
        if there:
            drifted = Disagreement.DRIFTED
            return replace(finding, disagreement=drifted, description=_UNMARKED)
        before = self._earlier.get(finding.id)
        known = before is not None and before.disagreement in LOSSES
        if before is not None and known and self._now - before.since >= self._age:
            return finding
        text = f"It was not seen. It is missing if a survey {self._age:.0f} s later says so too."
        return _unseen(finding, text)


def _unseen(finding: Finding, why: str) -> Finding:
    return replace(finding, disagreement=Disagreement.UNSEEN, description=why)
