"""The broker's client of etcd: batches of compared writes, linearizable reads, snapshots."""

import contextlib
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from etcd3.etcdrpc import (
    AlarmRequest,
    AlarmType,
    LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
    RangeRequest,
    RequestOp,
    StatusRequest,
    TxnRequest,
)

from alibroker.etcd import history, transaction
from alibroker.etcd.connection import Answer, Connection
from alibroker.etcd.endpoint import Endpoint, Tls
from alibroker.etcd.errors import (
    EtcdFullError,
    EtcdRejectedError,
    EtcdUnavailableError,
    EtcdUnknownError,
    ReplyTooLargeError,
)
from alibroker.etcd.fence import Fence
from alibroker.etcd.keys import STORE
from alibroker.etcd.lease import Session, now
from alibroker.etcd.login import Login, User
from alibroker.etcd.scan import Scan
from alibroker.etcd.transaction import (
    MAX_BYTES,
    MAX_ENTRIES,
    Commit,
    Committed,
    Entry,
    KeyValue,
    Lives,
    Lost,
    key_value,
)
from alibroker.etcd.watch import Event, Watch

__all__ = [
    "MAX_BYTES",
    "MAX_ENTRIES",
    "Commit",
    "Committed",
    "Entry",
    "Etcd",
    "Event",
    "KeyValue",
    "Lives",
    "Lost",
    "Scan",
    "Session",
    "Status",
    "Tls",
    "User",
    "Watch",
]

_RANGE: Final = attrgetter("kv.Range")
_TXN: Final = attrgetter("kv.Txn")
_STATUS: Final = attrgetter("maintenance.Status")
_LEFT: Final = attrgetter("lease.LeaseTimeToLive")
_REVOKE: Final = attrgetter("lease.LeaseRevoke")
_ALARM: Final = attrgetter("maintenance.Alarm")


class Status(msgspec.Struct, frozen=True):
    """What a member says about itself and its cluster.

    Attributes:
        version: the member's version, such as "3.4.23".
        size: bytes of the database file.
        revision: the store's revision.
        alarms: names of the raised alarms: "NOSPACE" (full) or "CORRUPT".
    """

    version: str
    size: int
    revision: int
    alarms: tuple[str, ...]


class Etcd:
    """A synchronous client for any number of threads. Every call ends within its timeout.

    No connection exists before the first call, which must be made after the last fork.

    Args:
        endpoints: `unix:/path/to/socket`, `http://host:port` or `https://host:port`, all of one
            cluster.
        tls: certificates for https endpoints.
        user: whom etcd should take the client for, where it wants to know.
        attempt_timeout: seconds after which a call is tried again, on the next endpoint if there
            is one; later attempts follow in growing distances.

    Raises:
        ValueError: there is no endpoint, or one cannot be understood.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: Tls | None = None,
        user: User | None = None,
        attempt_timeout: float = 0.4,
    ) -> None:
        if not endpoints:
            raise ValueError("no etcd endpoint is given")
        self._connection = Connection(
            [Endpoint.parse(endpoint) for endpoint in endpoints], tls, Login(user), attempt_timeout
        )

    def commit(
        self, entries: Sequence[Entry], *, timeout: float, in_doubt: bool = False
    ) -> list[Committed | Lost]:
        """Write a batch; see `write`. Returns an outcome per entry, in their order."""
        return self.write(entries, timeout=timeout, in_doubt=in_doubt).outcomes

    def write(
        self,
        entries: Sequence[Entry],
        *,
        timeout: float,
        in_doubt: bool = False,
        clock: str = "",
        fence: Fence | None = None,
    ) -> Commit:
        """Write a batch in one transaction, in which every entry wins or loses on its own.

        All compares are made against the state before the batch. An attempt whose answer is lost
        is repeated, which is harmless: what was applied no longer compares. If a compare fails
        then, the key's history tells whether it was this very value that came first; so values
        should be unique (records with a sealed part or a time are).

        Args:
            entries: at most MAX_ENTRIES, MAX_BYTES in sum of their sizes, each key once.
            timeout: seconds after which to give up.
            in_doubt: an earlier commit of the same entries ended in EtcdUnknownError.
            clock: a key that is put with each batch, so that its revision says how far all are.
            fence: that of the session whose guard all entries have. Without one, or after an
                EtcdUnknownError that is not followed up, a key that is created here and removed
                by another call may come back.

        Raises:
            ValueError: the batch exceeds a limit.
            EtcdUnavailableError: nothing was applied.
            EtcdUnknownError: any or all may be applied, now or a moment later.
            EtcdFullError: the store is full, nothing was applied; deletes alone still work.
            EtcdRejectedError: etcd refused the batch, nothing was applied.
        """
        transaction.check(entries)
        if not entries:
            return Commit([], 0, 0)
        deadline = time.monotonic() + timeout
        if fence is None or all(entry.expected for entry in entries):
            request = transaction.request(entries, clock)
            answer = self._connection.call(_TXN, request, timeout=timeout, changes=True)
        else:
            answer = self._write_fenced(entries, fence, clock, deadline, in_doubt=in_doubt)
        done = transaction.result(answer.reply, len(entries))
        if in_doubt or answer.in_doubt:
            outcomes = self._settle(entries, done.outcomes, done.revision, deadline)
            return Commit(outcomes, done.revision, done.before)
        return done

    def read(self, keys: Sequence[str], *, timeout: float) -> list[KeyValue | None]:
        """Read keys linearizably: what was committed before the call is seen.

        More than MAX_ENTRIES keys are read in several steps, which may see different revisions.

        Args:
            keys: what to read.
            timeout: seconds for each step.

        Returns:
            What each key holds, in the order of `keys`; None for a key that does not exist.

        Raises:
            EtcdUnavailableError: etcd does not answer.
            EtcdRejectedError: etcd refused the read.
        """
        found: list[KeyValue | None] = []
        step = MAX_ENTRIES
        while len(found) < len(keys):
            some = keys[len(found) : len(found) + step]
            ops = [RequestOp(request_range=RangeRequest(key=key.encode())) for key in some]
            try:
                reply = self._ask(_TXN, TxnRequest(success=ops), timeout)
            except ReplyTooLargeError:
                if step == 1:
                    raise
                step = max(1, step // 8)
                continue
            for response in reply.responses:
                pairs = response.response_range.kvs
                found.append(key_value(pairs[0]) if pairs else None)
        return found

    def scan(
        self,
        *prefixes: str,
        timeout: float = 10.0,
        revision: int = 0,
        restarted: Callable[[], None] | None = None,
    ) -> Scan:
        """Iterate over all keys under the prefixes, in one consistent snapshot.

        Fetch the first page at once, so that the snapshot's revision is known.

        Args:
            prefixes: none of them empty; each should end in "/", or "/a/1" finds "/a/10" too.
            timeout: seconds that one page of keys may take.
            revision: a past revision to look at; 0 for the present.
            restarted: forgets what was handed out, when the snapshot is compacted away under the
                scan and it begins anew. Without it, that raises EtcdCompactedError.

        Raises:
            ValueError: a prefix is empty.
            EtcdUnavailableError: etcd does not answer (also while iterating).
            EtcdCompactedError: `revision` is no longer kept.
        """
        if not all(prefixes):
            raise ValueError("a scan needs prefixes that are not empty")
        return Scan(
            lambda request: self._ask(_RANGE, request, timeout),
            prefixes,
            revision=revision,
            restarted=restarted,
        )

    def session(
        self,
        key: str,
        value: bytes,
        *,
        ttl: int,
        on_lost: Callable[[str], None],
        clock: Callable[[], float] = now,
    ) -> Session:
        """Make a registration under a lease; `open` it to begin. See `alibroker.etcd.lease`.

        Args:
            key: what to create; it must not exist.
            value: what it shall hold.
            ttl: seconds without a renewal after which etcd drops the key; MIN_TTL at least.
            on_lost: told once, by the session's thread, that and why the key is gone for good.
            clock: seconds; counts also while the machine sleeps.

        Raises:
            ValueError: `ttl` is too short.
        """
        return Session(self._connection, key, value, ttl=ttl, on_lost=on_lost, clock=clock)

    def revoke(self, lease: int, *, timeout: float) -> None:
        """End a lease at once, and with it the keys that go with it; one that has ended is fine.

        Raises:
            EtcdError: etcd does not answer.
        """
        with contextlib.suppress(EtcdRejectedError):
            request = LeaseRevokeRequest(ID=lease)
            self._connection.call(_REVOKE, request, timeout=timeout, changes=False)

    def lease_left(self, lease: int, *, timeout: float) -> float:
        """Return the seconds after which a lease ends if it is not kept; 0 if it has ended.

        Raises:
            EtcdError: etcd does not answer.
        """
        left: int = self._ask(_LEFT, LeaseTimeToLiveRequest(ID=lease), timeout).TTL
        return float(max(0, left))

    def watch(
        self,
        prefix: str,
        *,
        start: int,
        on_events: Callable[[int, list[Event]], None],
        on_broken: Callable[[Exception], None],
    ) -> Watch:
        """Make a watch of all keys under a prefix; `open` it to begin. See `alibroker.etcd.watch`.

        Args:
            prefix: not empty; it should end in "/", or "/a/1" finds "/a/10" too.
            start: the first revision to be told of; a scan's revision and 1.
            on_events: told the events of one revision after the other, by the watch's thread.
            on_broken: told once, by the watch's thread, what has ended the watch.

        Raises:
            ValueError: the prefix is empty, or `start` is no revision.
        """
        return Watch(
            self._connection, prefix, start=start, on_events=on_events, on_broken=on_broken
        )

    def read_revision(self, key: str, *, timeout: float) -> tuple[int, int]:
        """Read linearizably how far a key and the store have come, and no values.

        What was committed before the call was made is in both.

        Returns:
            The key's revision, 0 if it does not exist; and the store's.

        Raises:
            EtcdUnavailableError: it is not answered within `timeout` (seconds).
        """
        reply = self._ask(_RANGE, RangeRequest(key=key.encode(), keys_only=True), timeout)
        return (reply.kvs[0].mod_revision if reply.kvs else 0), reply.header.revision

    def ping(self, *, timeout: float) -> int:
        """Prove that a linearizable read is answered, which takes a leader and a majority.

        Returns:
            The store's revision.

        Raises:
            EtcdUnavailableError: it is not answered within `timeout` (seconds).
        """
        return self.read_revision(STORE, timeout=timeout)[1]

    def status(self, *, timeout: float) -> Status:
        """Ask the member in use for its version, size, revision and alarms.

        Raises:
            EtcdUnavailableError: it does not answer within `timeout` (seconds).
        """
        reply = self._ask(_STATUS, StatusRequest(), timeout)
        return Status(
            version=reply.version,
            size=reply.dbSize,
            revision=reply.header.revision,
            alarms=self._alarms(timeout),
        )

    def check_space(self, *, timeout: float) -> None:
        """Raise if etcd takes no writes for want of space, without trying one.

        Raises:
            EtcdFullError: the alarm NOSPACE is raised.
            EtcdUnavailableError: etcd does not answer within `timeout` (seconds).
        """
        # Not of the status, which only administrators may ask for.
        if "NOSPACE" in self._alarms(timeout):
            raise EtcdFullError("the alarm is raised")

    def close(self) -> None:
        """Close all connections; later calls raise EtcdUnavailableError. Idempotent."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self.close()

    def _write_fenced(
        self,
        entries: Sequence[Entry],
        fence: Fence,
        clock: str,
        deadline: float,
        *,
        in_doubt: bool,
    ) -> Answer:
        operations = len(entries) + bool(clock)
        unheard = False
        while True:
            first, again = fence.requests(entries, clock)
            try:
                answer = self._connection.call(
                    _TXN,
                    again if in_doubt else first,
                    again=again,
                    timeout=max(0.0, deadline - time.monotonic()),
                    changes=True,
                )
            except EtcdUnavailableError as error:
                if unheard:
                    raise EtcdUnknownError(f"an answer was lost, and then: {error}") from error
                raise
            except EtcdRejectedError as error:
                if "lease not found" not in str(error):
                    raise
                # The session has ended, so the guard fails; what came before that is still to tell.
                fence.end()
                unheard = True
                continue
            in_doubt = in_doubt or answer.in_doubt
            if fence.held(answer.reply, operations):
                return Answer(answer.reply, in_doubt)
            # An attempt has moved the fence: one of another call, or of this one, unheard. Either
            # way all others are behind it, and what they have done shows when this is repeated.
            in_doubt = unheard = True

    def _settle(
        self,
        entries: Sequence[Entry],
        outcomes: Sequence[Committed | Lost],
        revision: int,
        deadline: float,
    ) -> list[Committed | Lost]:
        def read_at(key: str, past: int) -> KeyValue | None:
            request = RangeRequest(key=key.encode(), revision=past)
            pairs = self._ask(_RANGE, request, deadline - time.monotonic()).kvs
            return key_value(pairs[0]) if pairs else None

        try:
            return [
                history.settle(entry, outcome, revision, read_at)
                if isinstance(outcome, Lost)
                else outcome
                for entry, outcome in zip(entries, outcomes, strict=True)
            ]
        except EtcdUnavailableError as error:
            raise EtcdUnknownError(f"a lost answer could not be cleared up: {error}") from error

    def _alarms(self, timeout: float) -> tuple[str, ...]:
        alarms = self._ask(_ALARM, AlarmRequest(action=AlarmRequest.GET), timeout).alarms
        return tuple(sorted({AlarmType.Name(member.alarm) for member in alarms}))

    def _ask(self, method: Callable[[Any], Any], request: Any, timeout: float) -> Any:
        return self._connection.call(method, request, timeout=timeout, changes=False).reply
