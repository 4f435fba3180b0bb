"""What happens to the keys under a prefix: in order, without gaps, until told otherwise.

    watch = etcd.watch(ROOT, start=scan.revision + 1, on_events=apply, on_broken=load_afresh)
    watch.open()
    watch.revision   # how far `on_events` has come: what a reader compares its barrier with
    watch.restart()  # it lags behind what a linearizable read has seen: try another server
    watch.close()

`on_events(revision, events)` is called by the watch's own thread, once for each revision of the
store that has touched the prefix, with all its events, in ascending order, none twice. It is called
between two reads from the network: while it works nothing more is read, and etcd keeps for later
what happens meanwhile.

A lost connection, a server that dies or that has lost its leader (which the call asks to be told)
are no end: the watch goes on with another server, or the same when it is back, behind the last
revision delivered. Silence is something else. A stopped server is noticed by gRPC within eight
seconds; but that no events are missing cannot be seen from here: etcd 3.4 sends reports of progress
that are ahead of the events, and has lost events (the versions in question are named by
`alibroker.etcd.versions`). So nothing here is inferred from silence, `revision` moves by events
alone, and the caller compares it with what a linearizable read says, of a key under the prefix that
every change moves; `Event.version` of that key also shows a gap, as it counts by one.

`on_broken(error)` is called once, by the same thread, when the watch has ended other than by
`close`:
- EtcdCompactedError: the events were no longer kept; load afresh;
- ReplyTooLargeError: too much has happened to be taken in one message; load afresh;
- EtcdRejectedError: etcd has refused or cancelled it, thrice in a row, or is not yet at the
  revision before it, so that it was set back;
- EtcdUnavailableError: the client is closed;
- anything else: what `on_events` has raised.

What happened during a lost connection comes in messages of up to a thousand revisions, which can
be as large as MAX_REPLY_BYTES. (Messages in fragments would be smaller; but cutting them takes etcd
the square of their number of events: 0.8 s instead of 0.07 for 20,000 small ones.)
"""

import logging
import threading
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import msgspec
from etcd3.etcdrpc import RangeRequest, WatchCreateRequest, WatchRequest

from alibroker.etcd.connection import Connection, Stream
from alibroker.etcd.errors import EtcdCompactedError, EtcdRejectedError, EtcdUnavailableError
from alibroker.etcd.transaction import successor

_log = logging.getLogger(__name__)

_RANGE: Final = attrgetter("kv.Range")
_WATCH: Final = attrgetter("watch.Watch")

_PATIENCE: Final = 1.0
"""Seconds for the call that finds a server which answers; so long may `close` take."""

_PAUSE: Final = 0.05
"""Seconds between two attempts to go on."""

_CANCELLATIONS: Final = 3
"""In a row; after a restart etcd cancels the watches of a user whose token it has forgotten."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A key was written or deleted.

    Attributes:
        key: which.
        value: what it holds now; None if it was deleted.
        revision: the store's revision of this change.
        created: the store's revision at which the key was created; 0 if it was deleted.
        version: how often the key was written since then, 1 for its creation; 0 if it was deleted.
    """

    key: str
    value: bytes | None
    revision: int
    created: int
    version: int


class Watch:
    """Follows a prefix from a revision on; see the module for what it promises.

    It is opened once and closed once.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        *,
        start: int,
        on_events: Callable[[int, list[Event]], None],
        on_broken: Callable[[Exception], None],
    ) -> None:
        if not prefix or start < 1:
            raise ValueError("a watch needs a prefix that is not empty, and a revision to start at")
        self._connection = connection
        self._prefix = prefix
        self._revision = start - 1
        self._on_events = on_events
        self._on_broken = on_broken
        self._cancellations = 0
        self._connected = False
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @property
    def revision(self) -> int:
        """The last revision delivered: `on_events` has returned from it. At first `start` - 1."""
        return self._revision

    @property
    def is_connected(self) -> bool:
        """Whether etcd has confirmed the watch, and the connection is not known to be lost."""
        return self._connected

    def open(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def restart(self) -> None:
        """Give up the server that is watched, and go on with another one (or the same anew)."""
        with self._lock:
            if self._stream is not None:
                self._stream.end()

    def close(self) -> None:
        """End; a call of `on_events` that is under way is awaited. Idempotent."""
        self._closing.set()
        self.restart()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._follow()
                except EtcdUnavailableError as error:
                    if self._connection.is_closed:
                        raise
                    if self._connected:
                        _log.debug("the watch of %s goes on elsewhere: %s", self._prefix, error)
                finally:
                    self._connected = False
                self._closing.wait(_PAUSE)
        except Exception as error:  # noqa: BLE001 - whatever ends the watch is told
            if not self._closing.is_set():
                self._on_broken(error)

    def _follow(self) -> None:
        # This finds a server that answers, and gets a new token if the old one is forgotten. As it
        # reads the past, what follows is kept: releases of etcd before 3.4.36 and 3.5.18 otherwise
        # let a watch begin at the revision of a compaction, and leave out what was deleted in it.
        key = self._prefix.encode()
        request = RangeRequest(key=key, keys_only=True, revision=self._revision)
        try:
            self._connection.call(_RANGE, request, timeout=_PATIENCE, changes=False)
        except EtcdCompactedError as error:
            raise self._compacted("") from error
        stream = self._connection.stream(_WATCH, self._request(), timeout=_PATIENCE)
        with self._lock:
            self._stream = stream
        try:
            # Who closes sets the event first, and ends the stream if there is one already.
            if self._closing.is_set():
                return
            for reply in stream:
                self._take(reply)
        finally:
            with self._lock:
                self._stream = None
            stream.end()

    def _request(self) -> Any:
        return WatchRequest(
            create_request=WatchCreateRequest(
                key=self._prefix.encode(),
                range_end=successor(self._prefix),
                start_revision=self._revision + 1,
            )
        )

    def _take(self, reply: Any) -> None:
        if reply.compact_revision:
            raise self._compacted(f"; it was compacted up to {reply.compact_revision}")
        if reply.canceled:
            reason = f"etcd does not let {self._prefix} be watched: {reply.cancel_reason}"
            self._cancellations += 1
            if self._cancellations < _CANCELLATIONS:
                raise EtcdUnavailableError(reason)
            raise EtcdRejectedError(reason)
        self._cancellations = 0
        self._connected = True
        for revision, events in groupby(reply.events, _REVISION):
            # Some releases of etcd repeat events, or go back in time.
            if revision > self._revision and not self._closing.is_set():
                self._on_events(revision, [_event(event) for event in events])
                self._revision = revision

    def _compacted(self, how_far: str) -> EtcdCompactedError:
        return EtcdCompactedError(
            f"etcd no longer keeps what happened to {self._prefix} from revision "
            f"{self._revision + 1} on{how_far}"
        )


_REVISION: Final = attrgetter("kv.mod_revision")


def _event(event: Any) -> Event:
    pair = event.kv
    return Event(
        key=pair.key.decode("utf-8", "surrogateescape"),
        value=None if event.type == event.DELETE else pair.value,
        revision=pair.mod_revision,
        created=pair.create_revision,
        version=pair.version,
    )
