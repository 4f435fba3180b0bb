"""A batch of compared writes as one etcd transaction, and what came of each."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from etcd3.etcdrpc import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)

# etcd accepts N nested transactions of m operations or compares each if N + m <= 128 (its
# default --max-txn-ops), which leaves room for some guards per entry.
MAX_OPERATIONS: Final = 128
MAX_ENTRIES: Final = 100

# etcd refuses requests of 1.5 MiB by default (--max-request-bytes); the rest is for the framing.
MAX_BYTES: Final = 1_000_000


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """A key as it stands.

    Attributes:
        key: its name.
        value: what it holds.
        revision: the store's revision of its last change.
        lease: the lease that it goes with; 0 if it stays.
    """

    key: str
    value: bytes
    revision: int
    lease: int = 0


class Lives(msgspec.Struct, frozen=True):
    """A guard: the key has existed ever since it was created at that revision.

    Unlike its last change, its creation stays the same while it is rewritten.
    """

    key: str
    created: int


Guard = tuple[str, int] | Lives


class Entry(msgspec.Struct, frozen=True):
    """A write of one key that happens only if nothing it was decided on has changed.

    Attributes:
        key: what to write.
        value: the new value; None deletes the key.
        expected: the key's revision when the decision was made; 0 if it did not exist.
        guards: further keys and the revisions that they must still have (0: must not exist), or
            that they `Lives`.
        unmoved: prefixes, and for each the revision after which nothing that is there now may have
            been written.
        moves: keys without a value that are put together with it, so that others can tell by their
            revision that it was.
        lease: the lease that the key is to go with; 0 if it is to stay.
    """

    key: str
    value: bytes | None
    expected: int
    guards: tuple[Guard, ...] = ()
    unmoved: tuple[tuple[str, int], ...] = ()
    moves: tuple[str, ...] = ()
    lease: int = 0

    @property
    def size(self) -> int:
        """Bytes that count towards MAX_BYTES; the key is counted thrice, as it is sent."""
        return (
            3 * len(self.key.encode())
            + len(self.value or b"")
            + sum(len(_guarded(guard).encode()) for guard in self.guards)
            + sum(2 * len(prefix.encode()) for prefix, _ in self.unmoved)
            + sum(len(key.encode()) for key in self.moves)
        )


class Committed(msgspec.Struct, frozen=True, gc=False):
    """The entry is durable. `revision` is what its key is to be compared with from now on."""

    revision: int


class Lost(msgspec.Struct, frozen=True):
    """The entry was not applied, as a compare failed; nothing else of the batch is touched by that.

    `current` is what the key holds. If its revision is the one that the entry expected, a guard
    has failed.
    """

    current: KeyValue | None


class Commit(msgspec.Struct, frozen=True):
    """What came of a batch.

    Attributes:
        outcomes: one per entry, in their order.
        revision: the store's revision when the batch had been dealt with.
        before: the revision of the last batch before it that moved the same clock; 0 if there was
            none, or no clock was named.
    """

    outcomes: list[Committed | Lost]
    revision: int
    before: int


def check(entries: Sequence[Entry]) -> None:
    """Refuse a batch that etcd would refuse as a whole.

    Raises:
        ValueError: too many entries, guards or bytes, a key twice, or a delete of nothing.
    """
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"{len(entries)} entries in one commit; at most {MAX_ENTRIES} fit")
    compares = 1 + max((len(one.guards) + len(one.unmoved) for one in entries), default=0)
    if len(entries) + 2 + compares > MAX_OPERATIONS:
        raise ValueError(
            f"{len(entries)} entries with up to {compares - 1} guards in one commit; entries, "
            f"clock, fence and compares per entry must not exceed {MAX_OPERATIONS} together"
        )
    size = sum(entry.size for entry in entries)
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes in one commit; at most {MAX_BYTES} fit")
    seen: set[str] = set()
    for entry in entries:
        if entry.value is None and entry.expected == 0:
            raise ValueError(f"{entry.key!r} is to be deleted on the condition of its absence")
        for key in (entry.key, *entry.moves):
            if key in seen:
                raise ValueError(f"{key!r} is written twice in one commit")
            seen.add(key)


def request(entries: Sequence[Entry], clock: str = "") -> Any:
    """Build one transaction with a nested one per entry, so that each fails on its own.

    The clock, if one is named, is put whatever comes of the entries.
    """
    # etcd overlooks nested puts when it checks its space quota, and would fill the disk until it
    # dies. A put in the branch that is never taken, as nothing is compared, is what it counts.
    written = next((entry.key for entry in entries if entry.value is not None), None)
    counted = [] if written is None else [_put(written.encode(), b"")]
    # Most batches have one guard in common: its message is built once.
    guards = {
        guard: _holds(guard) for guard in {guard for entry in entries for guard in entry.guards}
    }
    operations = [RequestOp(request_txn=_nested(entry, guards)) for entry in entries]
    if clock:
        put = PutRequest(key=clock.encode(), prev_kv=True)
        operations.append(RequestOp(request_put=put))
    return TxnRequest(success=operations, failure=counted)


def _nested(entry: Entry, guards: Mapping[Guard, Any]) -> Any:
    key = entry.key.encode()
    write = (
        RequestOp(request_delete_range=DeleteRangeRequest(key=key))
        if entry.value is None
        else _put(key, entry.value, entry.lease)
    )
    return TxnRequest(
        compare=[
            unchanged(key, entry.expected),
            *(guards[guard] for guard in entry.guards),
            *(_unmoved(prefix, revision) for prefix, revision in entry.unmoved),
        ],
        success=[write, *(_put(moved.encode(), b"") for moved in entry.moves)],
        failure=[RequestOp(request_range=RangeRequest(key=key))],
    )


def _put(key: bytes, value: bytes, lease: int = 0) -> Any:
    return RequestOp(request_put=PutRequest(key=key, value=value, lease=lease))


def _guarded(guard: Guard) -> str:
    return guard.key if isinstance(guard, Lives) else guard[0]


def _holds(guard: Guard) -> Any:
    if isinstance(guard, Lives):
        return created(guard)
    key, revision = guard
    return unchanged(key.encode(), revision)


def created(guard: Lives) -> Any:
    """Build the compare that a key has existed since its creation; 0: that it does not exist."""
    return Compare(
        key=guard.key.encode(),
        target=Compare.CREATE,
        result=Compare.EQUAL,
        create_revision=guard.created,
    )


def unchanged(key: bytes, revision: int) -> Any:
    """Build the compare that a key was last changed at a revision; 0: that it does not exist."""
    return Compare(key=key, target=Compare.MOD, result=Compare.EQUAL, mod_revision=revision)


def _unmoved(prefix: str, revision: int) -> Any:
    # With no key there at all etcd compares with a revision of 0.
    return Compare(
        key=prefix.encode(),
        range_end=successor(prefix),
        target=Compare.MOD,
        result=Compare.LESS,
        mod_revision=revision + 1,
    )


def successor(prefix: str) -> bytes:
    """Return the first key behind all that begin with `prefix`."""
    encoded = prefix.encode()
    return encoded[:-1] + bytes([encoded[-1] + 1])


def result(reply: Any, count: int) -> Commit:
    """Read the reply to a `request` of `count` entries."""
    # Only the header of the outer reply carries the revision; the nested ones say 0.
    revision: int = reply.header.revision
    nested, after = reply.responses[:count], reply.responses[count:]
    outcomes = [_outcome(one.response_txn, revision) for one in nested]
    before = after[0].response_put.prev_kv.mod_revision if after else 0
    return Commit(outcomes, revision, before)


def _outcome(nested: Any, revision: int) -> Committed | Lost:
    if nested.succeeded:
        return Committed(revision)
    found = nested.responses[0].response_range.kvs
    return Lost(key_value(found[0]) if found else None)


def key_value(found: Any) -> KeyValue:
    """Take over a key from etcd's message."""
    key = found.key.decode("utf-8", "surrogateescape")
    return KeyValue(key, found.value, found.mod_revision, found.lease)
