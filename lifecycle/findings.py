"""What a survey of the cloud finds: the vocabulary of orphans and losses."""

from __future__ import annotations

import enum
import hashlib

import msgspec
from msgspec.structs import replace

from alibroker.brokers.api import Found
from alibroker.lifecycle.records import Key


class Disagreement(enum.StrEnum):
    """What can be the matter between the cloud and the records."""

    UNKNOWN = "unknown"
    """It exists, and no record knows it."""
    LEFT_OVER = "left over"
    """It exists, and its record says that it was deleted."""
    DOUBLE = "double"
    """It exists, and the record of what it was created for names another."""
    HALF_DELETED = "half-deleted"
    """It exists, its creation had failed, and undoing that has failed as well."""
    UNSEEN = "unseen"
    """The record says that it exists, and it was not seen: it may be missing."""
    MISSING = "missing"
    """The record says that it exists, and it does not."""
    OTHER_ACCOUNT = "other account"
    """The record says that it is in another account than the broker's credentials belong to; or it
    was found in that, while there are such records."""
    DRIFTED = "drifted"
    """It is not as the record says."""


ORPHANS = frozenset(
    {
        Disagreement.UNKNOWN,
        Disagreement.LEFT_OVER,
        Disagreement.DOUBLE,
        Disagreement.HALF_DELETED,
    }
)
"""What exists and costs money, and no platform can delete."""
LOSSES = frozenset({Disagreement.UNSEEN, Disagreement.MISSING})
"""What does not exist, or does not seem to."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One disagreement."""

    disagreement: Disagreement
    broker: str
    key: Key
    """Of the record, or of what there would be a record of; ids that nobody knows are empty."""
    description: str
    found: Found | None = None
    """What was seen in the cloud; None if nothing was."""
    since: float
    """Unix time in seconds of the first survey that had it or the like."""

    @property
    def kind(self) -> str:
        """What it is, in the cloud's words if it exists there."""
        if self.found is not None:
            return self.found.kind
        return "service binding" if self.key.binding_id else "service instance"

    @property
    def name(self) -> str:
        """Names it among its kind."""
        return self.found.name if self.found is not None else "/".join(filter(None, self.key))

    def carried_on(self, earlier: Finding | None) -> Finding:
        """Return it since when an earlier one, of the same id, has said in essence the same."""
        if earlier is None:
            return self
        said = {self.disagreement, earlier.disagreement}
        same = len(said) == 1 or said <= ORPHANS or said <= LOSSES
        return replace(self, since=earlier.since) if same else self

    @property
    def id(self) -> str:
        """Names the finding; the same in every survey."""
        text = f"{self.broker}\n{self.kind}\n{self.name}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class SurveyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one survey of all brokers that have an inventory."""

    taken_at: float = 0.0
    """Unix time in seconds; 0 if there was no survey yet."""
    seconds: float = 0.0
    """How long it took."""
    seen: dict[str, int] = {}
    """How many things each broker has in the cloud."""
    failures: dict[str, str] = {}
    """Why a broker's cloud could not be surveyed; its earlier findings stay."""
    findings: tuple[Finding, ...] = ()
