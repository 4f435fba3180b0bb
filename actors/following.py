"""Hears what all replicas write, and passes it on to storage, in order and without gaps."""

from __future__ import annotations

import logging
from typing import Final

from alibroker.actors.actor import Address
from alibroker.actors.messages import LostSight, Seen
from alibroker.etcd import keys
from alibroker.etcd.client import Etcd
from alibroker.etcd.watch import Event, Watch

log = logging.getLogger(__name__)

_OF_RECORDS: Final = (keys.INSTANCES, keys.BINDINGS, keys.CLOCK)


class Follower:
    """Follows the records from a revision on, while other replicas write as well."""

    def __init__(self, etcd: Etcd, storage: Address, start: int) -> None:
        """Begin with what was written after the revision `start`."""
        self._storage = storage
        self._clock = 0
        self._watch: Watch = etcd.watch(
            keys.ROOT, start=start + 1, on_events=self._heard, on_broken=self._broken
        )
        self._watch.open()

    def restart(self) -> None:
        """Listen to another server: this one lags behind."""
        self._watch.restart()

    def stop(self) -> None:
        """End."""
        self._watch.close()

    def _heard(self, revision: int, events: list[Event]) -> None:
        ours = [event for event in events if event.key.startswith(_OF_RECORDS)]
        if not ours:
            return
        for event in ours:
            # Each commit puts it once, so what etcd has failed to tell is seen.
            if event.key == keys.CLOCK:
                if self._clock and event.version > self._clock + 1:
                    self._storage.tell(LostSight(self, "etcd has left out what others wrote"))
                self._clock = event.version
        self._storage.tell(Seen(self, revision, ours))

    def _broken(self, error: Exception) -> None:
        self._storage.tell(LostSight(self, str(error)))


class Neighbours:
    """Says at once when a replica has come or gone; that is a hint, and not relied on."""

    def __init__(self, etcd: Etcd, storage: Address, message: object) -> None:
        self._storage = storage
        self._message = message
        self._etcd = etcd
        self._watch: Watch | None = None

    def start(self) -> None:
        """Begin, or begin anew."""
        self.stop()
        start = self._etcd.ping(timeout=1.0) + 1
        self._watch = self._etcd.watch(
            keys.REPLICAS, start=start, on_events=self._heard, on_broken=self._broken
        )
        self._watch.open()

    def stop(self) -> None:
        """End."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _heard(self, _revision: int, events: list[Event]) -> None:
        # Those that live write there what they are at, which changes nothing.
        if any(event.value is None or event.version == 1 for event in events):
            self._storage.tell(self._message)

    def _broken(self, error: Exception) -> None:
        log.info("Replicas that come and go are noticed later: %s", error)
