"""The supervisor: starts actors, notices when one fails, and starts it anew.

A failure that a new life does not mend is not hidden: after too many restarts the supervisor gives
up, which ends the process; its successor starts from what is durable.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pykka

from alibroker.actors.actor import Actor, Address
from alibroker.actors.calls import Calls, Running
from alibroker.actors.messages import ActorFailed, Resume, Tick, WorkerLost

log = logging.getLogger(__name__)

INTENSITY = 5
"""Restarts of one actor within `PERIOD` after which restarting is seen not to help."""
PERIOD = 60.0
MOST_REPLACED = 32
"""Threads of one plugin that may be stuck beside those that work; with more it works with fewer."""


@dataclass(slots=True)
class Child:
    """One actor that is to be kept alive."""

    address: Address
    start: Callable[[], pykka.ActorRef[Any]]
    after_restart: Callable[[], None]
    """Hands the work of the failed actor to somebody."""
    actor: pykka.ActorRef[Any] | None = None
    restarts: collections.deque[float] = field(default_factory=collections.deque)
    restart_at: float | None = None
    missed: bool = False
    """Whether it was found dead at the last look."""


class Supervisor(Actor):
    """Receives `ActorFailed` from dying actors and `Tick`; keeps its children alive.

    A child whose plugin does not come back is replaced as well. Its thread cannot be ended, so not
    without end: see `MOST_REPLACED`.
    """

    def __init__(
        self,
        address: Address,
        children: Sequence[Child],
        calls: Calls,
        on_give_up: Callable[[str], None],
    ) -> None:
        super().__init__(address, address)
        self._calls = calls
        self._children = {child.address.name: child for child in children}
        self._on_give_up = on_give_up
        self._gave_up = False

    def on_start(self) -> None:
        """Start the children in order."""
        for child in self._children.values():
            self._start(child)

    def receive(self, message: ActorFailed | Tick) -> None:
        """Plan a restart, or carry out those that are due."""
        now = time.monotonic()
        match message:
            case ActorFailed(name=name, actor=actor, error=error):
                child = self._children[name]
                if child.actor == actor:
                    self._plan(child, error, now)
            case Tick():
                for child in self._children.values():
                    self._look_after(child, now)
                for running in self._calls.overdue():
                    if not running.noticed:
                        self._replace(running)

    def on_failure(self, *error: object) -> None:
        """Nobody supervises the supervisor: end the process."""
        self._on_give_up(f"the supervisor failed: {error[1]}")

    def on_stop(self) -> None:
        """Stop the children in the reverse order of their start."""
        for child in reversed(self._children.values()):
            if child.actor is None or not child.actor.is_alive():
                continue
            if self._calls.busy(child.actor):
                child.actor.stop(block=False)
            else:
                try:
                    child.actor.stop(timeout=STOP_TIMEOUT)
                except pykka.Timeout:
                    log.warning("%s did not stop in %s s", child.address.name, STOP_TIMEOUT)

    def _look_after(self, child: Child, now: float) -> None:
        if child.restart_at is not None:
            if now >= child.restart_at:
                child.restart_at = None
                self._start(child)
                child.after_restart()
        elif child.actor is None or not child.actor.is_alive():
            # One that failed says so itself, a moment after it is seen to be dead.
            if child.missed:
                self._plan(child, "it stopped", now)
            child.missed = True

    def _replace(self, running: Running) -> None:
        """Start a new actor in place of one that is stuck in a plugin."""
        if self._calls.hanging_in(running.call.broker) >= MOST_REPLACED:
            return
        running.noticed = True
        log.error("%s has not come back for %.0f s", running.call, running.bound)
        for child in self._children.values():
            if child.actor == running.actor:
                child.address.abandon(running.actor)
                self._start(child)
                child.after_restart()

    def _plan(self, child: Child, error: str, now: float) -> None:
        if child.restart_at is not None or self._gave_up:
            return
        pause = pause_before_restart(child.restarts, now)
        name = child.address.name
        if pause is None:
            reason = f"{name} failed {len(child.restarts)} times in {PERIOD:.0f} s: {error}"
            self._gave_up = True
            self._on_give_up(reason)
            return
        log.error("%s failed (%s); a new one starts in %.1f s", name, error, pause)
        child.restarts.append(now)
        child.restart_at = now + pause

    def _start(self, child: Child) -> None:
        child.missed = False
        child.actor = child.start()
        child.address.move_to(child.actor)


STOP_TIMEOUT = 10.0


def pause_before_restart(restarts: collections.deque[float], now: float) -> float | None:
    """Return the seconds to wait before a restart, None if restarting has been seen not to help.

    Forgets restarts that are older than `PERIOD`.
    """
    while restarts and restarts[0] <= now - PERIOD:
        restarts.popleft()
    if len(restarts) >= INTENSITY:
        return None
    return 0.0 if not restarts else 0.2 * 2.0 ** (len(restarts) - 1)


def resume(storage: Address, broker: str = "") -> Callable[[], None]:
    """Return what is to be done after one that held operations, of a broker or all, was started."""
    return lambda: storage.tell(Resume(broker))


def report_lost(dispatcher: Address, broker: str, worker: str) -> Callable[[], None]:
    """Return what is to be done after a worker was started anew."""
    return lambda: dispatcher.tell(WorkerLost(broker, worker))
