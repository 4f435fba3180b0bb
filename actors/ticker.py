"""The clock of the actor system: one thread that tells actors that time has passed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from alibroker.actors.actor import Address
from alibroker.actors.messages import Tick

INTERVAL = 0.2
"""Seconds between ticks: how exactly waiting operations come due."""


class Ticker:
    """Tells `Tick` to some actors, over and over, until it is stopped.

    It is no actor, so it also watches over the one that nobody else watches over.
    """

    def __init__(
        self,
        listeners: Sequence[Address],
        supervisor: Address,
        on_death: Callable[[], None],
        interval: float = INTERVAL,
    ) -> None:
        """Take whom to tell, and what to do, once, when the supervisor is found dead."""
        self._listeners = [*listeners, supervisor]
        self._supervisor = supervisor
        self._on_death = on_death
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
        dead = False
        while not self._stopped.wait(self._interval):
            if not dead and not self._supervisor.is_alive:
                dead = True
                self._on_death()
            for listener in self._listeners:
                if listener.is_alive:
                    listener.tell(tick)
