"""A model of etcd: one store in memory, and clients of it that nothing happens to by itself.

What matters to replicas is modelled: transactions that compare, revisions, leases that end, watches
that are late, and calls that are refused, lose their answers, or take effect after they were given
up. Whoever drives it decides when.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alibroker.etcd import history
from alibroker.etcd.client import Commit, Committed, Entry, KeyValue, Lives, Lost
from alibroker.etcd.errors import EtcdUnavailableError, EtcdUnknownError
from alibroker.etcd.lease import MARGIN, SessionLostError
from alibroker.etcd.watch import Event


class Row(NamedTuple):
    """A key as it stands."""

    value: bytes
    revision: int
    created: int
    version: int
    lease: int


class Store:
    """What all clients share."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds."""
        self.revision = 1
        self.rows: dict[str, Row] = {}
        self.log: list[tuple[int, list[Event]]] = []
        """What has happened, by revision."""
        self.leases: dict[int, float] = {}
        """When each ends."""
        self.times: dict[int, float] = {}
        """When each revision came about."""
        self._versions: dict[str, list[KeyValue]] = {}
        self._numbers = itertools.count(1)

    def apply(self, entries: Sequence[Entry], clock: str = "") -> Commit:
        """Carry out a transaction, each entry on its own, against the state before it."""
        holds = [self._holds(entry) for entry in entries]
        before = self.rows[clock].revision if clock in self.rows else 0
        puts: list[tuple[str, bytes | None, int]] = []
        for entry, ok in zip(entries, holds, strict=True):
            if ok:
                puts.append((entry.key, entry.value, entry.lease))
                puts += ((key, b"", 0) for key in entry.moves)
        if clock:
            puts.append((clock, b"", 0))
        lost = [self.get(entry.key) for entry in entries]
        self.put(puts)
        outcomes: list[Committed | Lost] = [
            Committed(self.revision) if ok else Lost(found)
            for ok, found in zip(holds, lost, strict=True)
        ]
        return Commit(outcomes, self.revision, before)

    def put(self, puts: Iterable[tuple[str, bytes | None, int]]) -> None:
        """Write keys, or delete those without a value, at one revision."""
        events = []
        revision = self.revision + 1
        for key, value, lease in puts:
            old = self.rows.get(key)
            if value is None:
                if self.rows.pop(key, None) is None:
                    continue
                self._versions.pop(key, None)
                events.append(Event(key, None, revision, 0, 0))
                continue
            created, version = (old.created, old.version + 1) if old else (revision, 1)
            self.rows[key] = Row(value, revision, created, version, lease)
            self._versions.setdefault(key, []).append(KeyValue(key, value, revision, lease))
            events.append(Event(key, value, revision, created, version))
        if events:
            self.revision = revision
            self.log.append((revision, events))
            self.times[revision] = self.now

    def get(self, key: str) -> KeyValue | None:
        """Return a key as it stands."""
        row = self.rows.get(key)
        return KeyValue(key, row.value, row.revision, row.lease) if row else None

    def at(self, key: str, revision: int) -> KeyValue | None:
        """Return a key as it stood."""
        known = [one for one in self._versions.get(key, []) if one.revision <= revision]
        return known[-1] if known else None

    def grant(self, ttl: float) -> int:
        """Begin a lease."""
        lease = next(self._numbers)
        self.leases[lease] = self.now + ttl
        return lease

    def revoke(self, lease: int) -> None:
        """End a lease, and the keys that go with it."""
        if self.leases.pop(lease, None) is not None:
            self.put([(key, None, 0) for key, row in self.rows.items() if row.lease == lease])

    def _holds(self, entry: Entry) -> bool:
        guards = [self._guard(guard) for guard in entry.guards]
        unmoved = [
            row.revision <= revision
            for prefix, revision in entry.unmoved
            for key, row in self.rows.items()
            if key.startswith(prefix)
        ]
        return self._modified(entry.key) == entry.expected and all(guards) and all(unmoved)

    def _guard(self, guard: tuple[str, int] | Lives) -> bool:
        if isinstance(guard, Lives):
            row = self.rows.get(guard.key)
            return (row.created if row else 0) == guard.created
        return self._modified(guard[0]) == guard[1]

    def _modified(self, key: str) -> int:
        return self.rows[key].revision if key in self.rows else 0


class Scan(list[KeyValue]):
    """What a scan finds."""

    revision = 0


@dataclass(eq=False)
class Client:
    """One replica's client.

    Args:
        store: what it reaches.
        fault: says before each write what happens to it: "" (nothing), "refused", "lost" (it takes
            effect), "dropped" (it does not) or "late" (it does, at a later moment or never).
        meanwhile: lets others do something in the middle of a call.
    """

    store: Store
    fault: Callable[[], str]
    meanwhile: Callable[[], None]
    cut_off: bool = False
    sessions: list[ModelSession] = field(default_factory=list)
    watches: list[ModelWatch] = field(default_factory=list)
    late: list[tuple[Sequence[Entry], str]] = field(default_factory=list)
    """What may still take effect."""

    def reach(self) -> None:
        """Raise if the store cannot be reached."""
        self.meanwhile()
        if self.cut_off:
            raise EtcdUnavailableError("cut off")

    def write(
        self,
        entries: Sequence[Entry],
        *,
        timeout: float,  # noqa: ARG002 - as the real client takes it
        in_doubt: bool = False,
        clock: str = "",
        fence: Any = None,
    ) -> Commit:
        """Write as `Etcd.write` does."""
        self.reach()
        fault = self.fault()
        if fault == "refused":
            raise EtcdUnavailableError("refused")
        if fault == "late":
            self.late.append((entries, clock))
        if fault in ("late", "dropped"):
            raise EtcdUnknownError("no answer")
        done = self.store.apply(entries, clock)
        if fence is not None:
            # Whatever was tried before for the same call is behind the fence now.
            self.late.clear()
        self.meanwhile()
        if fault == "lost":
            raise EtcdUnknownError("no answer")
        if not in_doubt:
            return done
        outcomes = [
            history.settle(entry, one, done.revision, self.store.at)
            if isinstance(one, Lost)
            else one
            for entry, one in zip(entries, done.outcomes, strict=True)
        ]
        return Commit(outcomes, done.revision, done.before)

    def arrive(self, number: int) -> None:
        """Let a write that was given up take effect."""
        self.store.apply(*self.late.pop(number))

    def commit(
        self, entries: Sequence[Entry], *, timeout: float, in_doubt: bool = False
    ) -> list[Committed | Lost]:
        """Write as `Etcd.commit` does."""
        return self.write(entries, timeout=timeout, in_doubt=in_doubt).outcomes

    def read(self, keys: Sequence[str], *, timeout: float) -> list[KeyValue | None]:  # noqa: ARG002
        """Read as `Etcd.read` does."""
        self.reach()
        return [self.store.get(key) for key in keys]

    def scan(self, *prefixes: str, timeout: float = 0, **_: Any) -> Scan:  # noqa: ARG002
        """Scan as `Etcd.scan` does."""
        self.reach()
        keys = sorted(key for key in self.store.rows if key.startswith(prefixes))
        found = Scan(filter(None, map(self.store.get, keys)))
        found.revision = self.store.revision
        return found

    def read_revision(self, key: str, *, timeout: float) -> tuple[int, int]:  # noqa: ARG002
        """Read as `Etcd.read_revision` does."""
        self.reach()
        found = self.store.get(key)
        return (found.revision if found else 0), self.store.revision

    def ping(self, *, timeout: float) -> int:
        """Answer as `Etcd.ping` does."""
        return self.read_revision("", timeout=timeout)[1]

    def revoke(self, lease: int, *, timeout: float) -> None:  # noqa: ARG002
        """End a lease as `Etcd.revoke` does."""
        self.reach()
        self.store.revoke(lease)

    def session(self, key: str, value: bytes, **more: Any) -> ModelSession:
        """Make a session as `Etcd.session` does."""
        made = ModelSession(self, key, value, float(more["ttl"]), more["on_lost"])
        self.sessions.append(made)
        return made

    def watch(self, prefix: str, **more: Any) -> ModelWatch:
        """Make a watch as `Etcd.watch` does."""
        made = ModelWatch(self, prefix, more["start"], more["on_events"])
        self.watches.append(made)
        return made

    def close(self) -> None:
        """Be of no more use."""
        self.cut_off = True


@dataclass(eq=False)
class ModelSession:
    """A registration that lives for as long as it is renewed in time."""

    client: Client
    key: str
    value: bytes
    ttl: float
    on_lost: Callable[[str], None]
    lease: int = 0
    create_revision: int = 0
    fence: Any = "fence"
    closed: bool = False
    lost: str | None = None
    _valid_until: float = float("-inf")

    @property
    def guard(self) -> Lives:
        """What lives as long as the session."""
        return Lives(self.key, self.create_revision)

    def is_valid(self) -> bool:
        """Whether the store cannot have dropped the key yet."""
        return self.client.store.now < self._valid_until

    def open(self, *, timeout: float) -> None:  # noqa: ARG002
        """Begin."""
        store = self.client.store
        self.client.reach()
        self.lease = store.grant(self.ttl)
        store.put([(self.key, self.value, self.lease)])
        self.create_revision = store.revision
        self._valid_until = store.now + self.ttl * (1 - MARGIN)

    def renew(self) -> None:
        """Be renewed if that is possible; notice if it is too late."""
        store = self.client.store
        if self.closed or self.lost or not self.lease or self.client.cut_off:
            return
        if self.lease not in store.leases:
            self.lose("the lease has ended")
            return
        store.leases[self.lease] = store.now + self.ttl
        self._valid_until = store.now + self.ttl * (1 - MARGIN)

    def lose(self, reason: str) -> None:
        """Take note that the key is gone."""
        if not self.closed and self.lost is None:
            self.lost = reason
            self._valid_until = float("-inf")
            self.on_lost(reason)

    def update(self, value: bytes, *, timeout: float) -> int:  # noqa: ARG002
        """Rewrite the key."""
        self.client.reach()
        store = self.client.store
        if self.lease not in store.leases:
            self.lose("it is gone")
            raise SessionLostError(self.key)
        store.put([(self.key, value, self.lease)])
        return store.revision

    def close(self, *, timeout: float) -> None:  # noqa: ARG002
        """End."""
        self.closed = True
        self._valid_until = float("-inf")
        if not self.client.cut_off:
            self.client.store.revoke(self.lease)


@dataclass(eq=False)
class ModelWatch:
    """Tells what has happened when it is made to."""

    client: Client
    prefix: str
    start: int
    on_events: Callable[[int, list[Event]], None]
    closed: bool = False

    def open(self) -> None:
        """Begin."""

    def restart(self) -> None:
        """Go on elsewhere."""

    def close(self) -> None:
        """End."""
        self.closed = True

    def deliver(self) -> bool:
        """Tell of the next revision; returns whether there was one."""
        if self.closed or self.client.cut_off:
            return False
        for revision, events in self._after():
            self.start = revision + 1
            ours = [event for event in events if event.key.startswith(self.prefix)]
            if ours:
                self.on_events(revision, ours)
                return True
        return False

    def _after(self) -> Iterator[tuple[int, list[Event]]]:
        log = self.client.store.log
        number = len(log)
        while number and log[number - 1][0] >= self.start:
            number -= 1
        yield from log[number:]
