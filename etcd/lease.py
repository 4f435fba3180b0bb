"""A process's registration: one key under a lease of its own, kept alive by a thread of its own.

    session = etcd.session("/alibroker/v1/replicas/1", value, ttl=5, on_lost=begin_anew)
    session.open(timeout=5)
    etcd.write([Entry(key, value, 0, guards=(session.guard,))], fence=session.fence, timeout=5)
    if session.is_valid(): ...  # cheap: ask per request and before each step
    session.close(timeout=2)

Two things follow from the lease, and they are not the same:

*The guard* is exact. Once etcd has dropped the key, whatever compares `guard` is refused; no clock
takes part.

*Validity* is the process's own, careful guess, for what no compare protects. It ends MARGIN of the
lease's time before etcd can drop the key: counted from when the last renewal that was answered had
been *sent*, on a clock that runs on while the machine sleeps. (A hypervisor that stops a whole
machine stops this clock too; only the guard helps then.) A renewal counts if the lease's keeper
has taken it and a linearizable read has then found the key as it was created, so that a leader
cut off from the others cannot prolong anything for longer than etcd provides for, which is an
election timeout; MARGIN has to cover that and the clocks' drift.

A session whose validity has run out has *lapsed*; it is *lost* only when etcd says that the key is
gone, when the same lease says that it has ended, or when `lose` is told so. Lapsed is not final:
a later renewal that finds the same key, created at the same revision, proves that nobody can have
seen it gone, and the session is valid again. (Were it final, a store that is slow for a few seconds
would have every process drop and load again all it knows, which makes a slow store slower.)
Lost is final: `is_valid()` stays false, and `on_lost` is called, once, by the keeping thread.

A restart of etcd and a change of its leader begin every lease afresh: the key of a dead process may
stay for up to twice the lease's time and an election.
"""

import logging
import secrets
import sys
import threading
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from etcd3.etcdrpc import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)

from alibroker.etcd.connection import Connection
from alibroker.etcd.errors import (
    EtcdError,
    EtcdRejectedError,
    EtcdUnavailableError,
    EtcdUnknownError,
)
from alibroker.etcd.fence import Fence
from alibroker.etcd.keys import FENCES
from alibroker.etcd.transaction import Lives, created, unchanged

_log = logging.getLogger(__name__)

_RANGE: Final = attrgetter("kv.Range")
_TXN: Final = attrgetter("kv.Txn")
_GRANT: Final = attrgetter("lease.LeaseGrant")
_REVOKE: Final = attrgetter("lease.LeaseRevoke")
_RENEW: Final = attrgetter("renew")

MIN_TTL: Final = 2
"""Seconds; etcd with its default timing grants no shorter lease."""

MARGIN: Final = 0.2
"""The part of the lease's time that validity ends before the lease can."""

_RENEWALS: Final = 3
"""Renewals in the time of one lease."""

_UPDATES: Final = 10
"""Times that an update is tried again when it finds the key rewritten."""

_PAUSE: Final = 0.2
"""Seconds after a renewal that failed; a refusal comes at once, and may be for a moment only."""


class SessionLostError(EtcdError):
    """The session's key is gone from etcd, or was never made: what it protected is over."""


def now() -> float:
    """Return seconds on a clock that nobody sets and that counts while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Session:
    """One key under one lease; see the module for what it promises.

    It is opened once and closed once. The client that it was made by stays open for longer.

    Attributes:
        key: the key.
        lease: the lease's id, for `etcdctl lease timetolive` (in hexadecimal there).
        fence: what entries that create keys and have the guard are written with.
    """

    def __init__(
        self,
        connection: Connection,
        key: str,
        value: bytes,
        *,
        ttl: int,
        on_lost: Callable[[str], None],
        clock: Callable[[], float] = now,
    ) -> None:
        if ttl < MIN_TTL:
            raise ValueError(f"a lease of {ttl} s is too short; it takes {MIN_TTL} at least")
        self.key = key
        # Chosen here: a grant whose answer was lost can be asked for again.
        self.lease = secrets.randbits(62) + 1
        self.fence = Fence(f"{FENCES}{self.lease:x}", self.lease)
        self._connection = connection
        self._value = value
        self._ttl = float(ttl)
        self._on_lost = on_lost
        self._clock = clock
        self._create_revision = 0
        self._revision = 0
        self._valid_until = float("-inf")
        self._lost: str | None = None
        self._closing = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def create_revision(self) -> int:
        """The store's revision at which the key was created; 0 before `open`."""
        return self._create_revision

    @property
    def guard(self) -> Lives:
        """What an `Entry` names among its guards to be written only while the session lives."""
        return Lives(self.key, self._create_revision)

    @property
    def ttl(self) -> float:
        """Seconds that etcd has granted; perhaps more than was asked for."""
        return self._ttl

    @property
    def valid_until(self) -> float:
        """When validity ends, on the session's clock; minus infinity if it has ended for good."""
        return self._valid_until

    @property
    def left(self) -> float:
        """Seconds of validity; 0 when it has lapsed, is lost or is closed."""
        return max(0.0, self._valid_until - self._clock())

    @property
    def lost(self) -> str | None:
        """Why the session is lost, None while it is not."""
        return self._lost

    def is_valid(self) -> bool:
        """Tell whether etcd cannot have dropped the key yet. Takes no lock and makes no call."""
        return self._clock() < self._valid_until

    def open(self, *, timeout: float) -> None:
        """Get a lease, create the key under it, and begin to keep it.

        A lost answer is cleared up. After an error nothing stays for longer than the lease would.

        Args:
            timeout: seconds for each of two calls; to clear up a lost answer takes as long again.

        Raises:
            EtcdUnavailableError: etcd does not answer.
            EtcdUnknownError: it answered, and then no longer.
            EtcdFullError: the store is full.
            EtcdRejectedError: etcd refused, or the key exists already.
        """
        sent = self._clock()
        self._grant(timeout)
        try:
            self._revision = self._create_revision = self._create(timeout)
        except EtcdError:
            self._revoke(timeout)
            raise
        self._prolong(sent)
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def update(self, value: bytes, *, timeout: float) -> int:
        """Rewrite the key's value, if it has lived since `open`. For any number of threads.

        Returns:
            The key's new revision.

        Raises:
            SessionLostError: the key is gone; the session is lost by that.
            EtcdUnknownError: the value may be written, now or a moment later; do it again.
            EtcdError: as for any change.
        """
        with self._writing:
            # An earlier update that was not answered may be applied at any time, and so may an
            # attempt of this one: each compares what it was sent for, so that none comes late.
            for _ in range(_UPDATES):
                written, found = self._rewrite(value, timeout)
                if written:
                    self._revision = written
                    return written
                if not found or found[0].create_revision != self._create_revision:
                    break
                self._revision = int(found[0].mod_revision)
                if found[0].value == value:
                    return self._revision
            else:
                raise EtcdUnknownError(f"{self.key} is being rewritten by others")
        self.lose(f"{self.key} is gone from etcd")
        raise SessionLostError(f"{self.key} is gone from etcd")

    def lose(self, reason: str) -> None:
        """Take it from the caller that the key is gone: a commit was lost by the guard, or so.

        Validity ends at once. `on_lost` is called by the keeping thread, once.
        """
        with self._lock:
            if self._lost is None and not self._closing:
                self._lost = reason
                self._valid_until = float("-inf")
        self._wake.set()

    def close(self, *, timeout: float) -> None:
        """End validity, revoke the lease, which deletes the key, and end the thread. Idempotent.

        It takes `timeout` (seconds) and a third of the lease's time at most. If etcd does not
        answer, the key goes with the lease. `on_lost` is not called any more, but may be running.
        """
        with self._lock:
            first, self._closing = not self._closing, True
            self._valid_until = float("-inf")
        self._wake.set()
        thread = self._thread
        if thread is None:
            return
        if first:
            self._revoke(timeout)
        if thread is not threading.current_thread():
            thread.join()

    # -- the keeping thread ---------------------------------------------------------------------

    def _keep(self) -> None:
        try:
            self._renew_for_ever()
        except SessionLostError as error:
            self.lose(str(error))
        except Exception as error:  # noqa: BLE001 - whatever ends the renewals is a loss
            _log.exception("%s is no longer renewed", self.key)
            self.lose(f"it is no longer renewed: {error!r}")
        with self._lock:
            reason = None if self._closing else self._lost
        if reason is not None:
            _log.warning("%s is lost: %s", self.key, reason)
            self._on_lost(reason)

    def _renew_for_ever(self) -> None:
        pause = interval = self._ttl / _RENEWALS
        lapsed = False
        while not (self._wake.wait(pause) or self._closing or self._lost):
            sent = self._clock()
            try:
                self._renew(interval)
            except (EtcdUnavailableError, EtcdRejectedError) as error:
                if self._connection.is_closed:
                    raise SessionLostError("the client is closed") from error
                if not lapsed and not self.is_valid():
                    lapsed = True
                    _log.warning("%s has lapsed, as it cannot be renewed: %s", self.key, error)
                pause = _PAUSE
            else:
                if lapsed or not self.is_valid():
                    lapsed = False
                    _log.warning("%s had lapsed, and is valid again: etcd has kept it", self.key)
                self._prolong(sent)
                pause = max(0.0, sent + interval - self._clock())

    def _renew(self, timeout: float) -> None:
        if self._ask_renewal(timeout) <= 0:
            raise SessionLostError(f"the lease of {self.key} has ended")
        request = RangeRequest(key=self.key.encode(), keys_only=True)
        found = self._connection.call(_RANGE, request, timeout=timeout, changes=False).reply.kvs
        if not found or found[0].create_revision != self._create_revision:
            raise SessionLostError(f"{self.key} is gone from etcd")

    def _ask_renewal(self, timeout: float) -> int:
        request = LeaseKeepAliveRequest(ID=self.lease)
        try:
            reply = self._connection.call(_RENEW, request, timeout=timeout, changes=False).reply
        except EtcdRejectedError as error:
            if "lease not found" in str(error):
                return 0
            raise
        return int(reply.TTL)

    def _prolong(self, sent: float) -> None:
        with self._lock:
            if not self._closing and self._lost is None:
                self._valid_until = sent + self._ttl * (1 - MARGIN)

    # -- the lease and the key ------------------------------------------------------------------

    def _grant(self, timeout: float) -> None:
        request = LeaseGrantRequest(TTL=int(self._ttl), ID=self.lease)
        try:
            reply = self._connection.call(_GRANT, request, timeout=timeout, changes=True).reply
        except EtcdUnknownError as error:
            # Of two attempts the second is refused if the first was applied: the lease exists.
            if self._ask_renewal(timeout) <= 0:
                raise EtcdUnavailableError(f"a lease was not granted: {error}") from error
        else:
            self._ttl = float(reply.TTL)

    def _create(self, timeout: float) -> int:
        read = RequestOp(request_range=RangeRequest(key=self.key.encode()))
        request = TxnRequest(
            compare=[created(Lives(self.key, 0))], success=[self._put(self._value)], failure=[read]
        )
        try:
            reply = self._connection.call(_TXN, request, timeout=timeout, changes=True).reply
        except EtcdUnknownError:
            found = self._connection.call(
                _RANGE, read.request_range, timeout=timeout, changes=False
            ).reply.kvs
            if not found:
                raise
        else:
            if reply.succeeded:
                return int(reply.header.revision)
            found = reply.responses[0].response_range.kvs
        if found[0].lease != self.lease:
            raise EtcdRejectedError(f"{self.key} exists already, of another lease or of none")
        return int(found[0].create_revision)

    def _rewrite(self, value: bytes, timeout: float) -> tuple[int, Any]:
        request = TxnRequest(
            compare=[created(self.guard), unchanged(self.key.encode(), self._revision)],
            success=[self._put(value)],
            failure=[RequestOp(request_range=RangeRequest(key=self.key.encode()))],
        )
        reply = self._connection.call(_TXN, request, timeout=timeout, changes=True).reply
        if reply.succeeded:
            return int(reply.header.revision), []
        return 0, reply.responses[0].response_range.kvs

    def _put(self, value: bytes) -> Any:
        return RequestOp(
            request_put=PutRequest(key=self.key.encode(), value=value, lease=self.lease)
        )

    def _revoke(self, timeout: float) -> None:
        request = LeaseRevokeRequest(ID=self.lease)
        try:
            self._connection.call(_REVOKE, request, timeout=timeout, changes=False)
        except EtcdRejectedError as error:
            # Mostly that it is gone already.
            _log.debug("the lease of %s was not revoked: %s", self.key, error)
        except EtcdError as error:
            _log.warning("%s goes when its lease ends: %s", self.key, error)
