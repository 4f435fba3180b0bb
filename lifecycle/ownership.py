"""Which replica works on what, and which does what only one should do.

Pure functions. That only those who live follow their answers, and only one of them with effect, is
seen to by compares in the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from alibroker.lifecycle.records import SCHEMA, Key, R, Record


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica says about itself for as long as it lives."""

    id: str
    host: str
    pid: int
    release: str
    started_at: float
    """Unix time in seconds."""
    schema: int = SCHEMA
    """The version of the records that it writes, and the latest that it can read."""
    operations: int = 0
    """How many operations it works on, when it last said so."""
    revision: int = 0
    """How far it knows the records: the store's revision."""
    alone: bool = False
    """Whether it has the store to itself."""


def chosen(what: str, living: Iterable[str]) -> str:
    """Return whose part something is: the same for all who know of the same replicas.

    When one comes or goes, no more changes hands than it takes (rendezvous hashing). Empty if
    nobody lives.
    """
    return max(living, key=lambda replica: (_weight(replica, what), replica), default="")


def chosen_for(key: Key, living: Iterable[str]) -> str:
    """Return whose part a record is."""
    return chosen("/".join(key), living)


def _weight(replica: str, what: str) -> bytes:
    text = f"{replica}|{what}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()


def owned(record: Record, before: Record | None, replica: str) -> Record:
    """Return the record as a replica writes it: an operation that it begins is its own to work on.

    But what stops an operation in progress is left to who works on that, for one of its steps may
    be in the middle of a call.
    """
    operation = record.operation
    if not operation.in_progress or operation.replica:
        return record
    if before is not None and before.operation.in_progress and before.operation.replica:
        replica = before.operation.replica
    return replace(record, operation=replace(operation, replica=replica))


def taken_over(record: R, replica: str, now: float) -> R:
    """Return the record with its operation in the hands of another replica.

    Whoever had it may have been in the middle of a request whose answer nobody will see.
    """
    operation = record.operation
    unanswered_at = record.unanswered_at if operation.removing else now
    return replace(
        record, operation=replace(operation, replica=replica), unanswered_at=unanswered_at
    )
