"""Reads that miss nothing: what was answered before a request arrived is known before it is read.

One linearizable read of the store's clock, which every commit moves, serves all requests that came
before it was sent; they go on when the view is that far. So hundreds of them cost one read of etcd,
and each is answered as if all replicas were one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from alibroker.etcd.errors import EtcdError

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""Seconds that the view may be behind before those who wait for it are told."""
LAG: Final = 0.5
"""Seconds that the view may be behind before it is to listen elsewhere; silence looks alike."""
LISTENING: Final = 1.0
"""Seconds that it then has to catch up, before it is to listen elsewhere again."""


class BehindError(Exception):
    """It could not be seen to that nothing is missed."""


class _Group:
    """Requests of one event loop that wait together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.passed: asyncio.Future[bool] = loop.create_future()
        self.revision = 0
        self.parked_at = 0.0

    def resolve(self, *, passed: bool) -> None:
        def resolve() -> None:
            if not self.passed.done():
                self.passed.set_result(passed)

        try:
            self.loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            log.debug("Whoever waited has gone, and the event loop with them")


class Barrier:
    """Used by event loops, told by storage how far the view is, and worked by a thread of its own.

    Args:
        read_clock: reads linearizably how far the store is; raises EtcdError.
        on_behind: called, from the thread, when the view does not get there as soon as it should.
    """

    def __init__(self, read_clock: Callable[[], int], on_behind: Callable[[], None]) -> None:
        self._read_clock = read_clock
        self._on_behind = on_behind
        self._lock = threading.Condition()
        self._gathering: _Group | None = None
        self._parked: list[_Group] = []
        self._reached = 0
        self._told_at = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="barrier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def passed(self) -> None:
        """Wait until the view holds all that was durable when this was called.

        Raises:
            BehindError: That cannot be seen to now.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            group = self._gathering
            if self._stopped or not self._thread.is_alive():
                raise BehindError
            if group is None or group.loop is not loop:
                group = self._gathering = _Group(loop)
                self._lock.notify()
        # Shielded: one client that leaves must not take the others along.
        if not await asyncio.shield(group.passed):
            raise BehindError

    def reached(self, revision: int) -> None:
        """Take note how far the view is."""
        with self._lock:
            self._reached = revision
            if not self._parked:
                return
            there = [group for group in self._parked if group.revision <= revision]
            self._parked = [group for group in self._parked if group.revision > revision]
        for group in there:
            group.resolve(passed=True)

    def fail(self) -> None:
        """Let nobody wait for a view that is being made anew."""
        with self._lock:
            parked, self._parked = self._parked, []
            self._reached = 0
        for group in parked:
            group.resolve(passed=False)

    def stop(self) -> None:
        """End; whoever waits is told that it cannot be seen to."""
        with self._lock:
            self._stopped = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join()
        self.fail()

    def _run(self) -> None:
        while True:
            with self._lock:
                # However many there are that ask: those who wait are looked after in between.
                self._look_after_parked()
                while self._gathering is None and not self._stopped:
                    self._lock.wait(timeout=self._time_left())
                    self._look_after_parked()
                if self._stopped:
                    group, self._gathering = self._gathering, None
                    if group is not None:
                        self._parked.append(group)
                    return
                # Who comes from here on may not be served by what is asked now.
                group, self._gathering = self._gathering, None
            if group is not None:
                self._ask(group)

    def _ask(self, group: _Group) -> None:
        try:
            revision = self._read_clock()
        except EtcdError as ex:
            log.info("Requests are refused, for it cannot be seen whether they are behind: %s", ex)
            group.resolve(passed=False)
            return
        with self._lock:
            if revision > self._reached:
                group.revision = revision
                group.parked_at = time.monotonic()
                self._parked.append(group)
                return
        group.resolve(passed=True)

    def _time_left(self) -> float | None:
        """Return the seconds until somebody has waited too long; called with the lock."""
        if not self._parked:
            return None
        first = self._parked[0].parked_at
        due = min(first + PATIENCE, max(first + LAG, self._told_at + LISTENING))
        return max(0.01, due - time.monotonic())

    def _look_after_parked(self) -> None:
        """Tell those who have waited too long; called with the lock."""
        if not self._parked:
            return
        now = time.monotonic()
        if now >= max(self._parked[0].parked_at + LAG, self._told_at + LISTENING):
            self._told_at = now
            self._on_behind()
        late = [group for group in self._parked if group.parked_at + PATIENCE <= now]
        if late:
            self._parked = [group for group in self._parked if group.parked_at + PATIENCE > now]
            for group in late:
                group.resolve(passed=False)
