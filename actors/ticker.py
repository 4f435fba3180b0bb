"""The clock of the actor system: one thread that tells actors that time has passed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from alibroker.actors.actor import Address
from alibroker.actors.messages import Tick

INTERVAL = 0.2
"""Seconds between ticks: how exactly waiting operations come due."""


class Ticker:
    """Tells `Tick` to some actors, over and over, until it is stopped."""

    def __init__(self, listeners: Sequence[Address], interval: float = INTERVAL) -> None:
        self._listeners = listeners
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        tick = Tick()
        while not self._stopped.wait(self._interval):
            for listener in self._listeners:
                if listener.is_alive:
                    listener.tell(tick)
