"""What is in a state that operations wait for, listed rarely however often it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from alibroker.brokers.rds.calls import RdsCalls


@dataclass(frozen=True)
class Listing:
    """The ids of all our instances in one state at one time."""

    taken_at: float
    """Unix time in seconds before the first page was asked for."""
    instance_ids: frozenset[str]


class Listings:
    """Keeps the last listing of each state for a while. Thread-safe.

    Operations come to be looked at one after the other; each look would list the same instances.
    """

    def __init__(
        self,
        calls: RdsCalls,
        tag: tuple[str, str],
        *,
        fresh_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """List instances with `tag`; a listing serves for `fresh_seconds`."""
        self._calls = calls
        self._tag = tag
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, Listing] = {}

    def of(self, status: str) -> Listing:
        """Return the instances in a state.

        Raises:
            CloudError: They could not be listed.
        """
        with self._lock:  # who comes second wants the same answer
            now = self._clock()
            last = self._last.get(status)
            if last is None or not 0 <= now - last.taken_at < self._fresh_seconds:
                items = self._calls.instances(self._tag, status)
                last = Listing(now, frozenset(item["DBInstanceId"] for item in items))
                self._last[status] = last
            return last
