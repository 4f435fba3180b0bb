"""The poller: the asynchronous engine of one broker.

It keeps the operations that wait, soonest first. When some are due it asks the broker to look at
all of them at once, and hands those that moved to the dispatcher. Waiting costs no write to the
store, and looking costs calls by the batch, not by the operation.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import time
from dataclasses import replace

from alibroker.actors.actor import Actor, Address
from alibroker.actors.calls import Call, Calls
from alibroker.actors.messages import Reset, Shared, StepDue, Tick, Wait
from alibroker.actors.quarantine import not_now
from alibroker.brokers.api import Json, TryAgainError, Work
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import ContractError, Plugin, checked_observations
from alibroker.lifecycle.assignment import work_for
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

GROWTH = 1.2
"""How much later an operation is looked at each time it has not moved."""
MAX_GROWTH = 4.0
"""How many times its first interval an operation waits at the most."""
JITTER = 0.1
MOST_HANGING = 3
"""Looks at the cloud that may hang before none is taken any more, until one of them comes back."""
LONGEST = 60.0
"""Seconds that an operation waits at the most whose next step does not wait for the cloud."""
DEFECT_PAUSE = 1.0
"""Seconds until the next look after one that had a defect; twice as many after each in a row."""


class Poller(Actor):
    """Receives `Wait` from storage and `Tick`; tells the dispatcher `StepDue`.

    On failure, and when a look does not come back: storage hands out what waits anew.
    """

    def __init__(
        self,
        address: Address,
        supervisor: Address,
        *,
        plugin: Plugin,
        calls: Calls,
        catalog: Catalog,
        view: View,
        dispatcher: Address,
    ) -> None:
        super().__init__(address, supervisor)
        self._plugin = plugin
        self._calls = calls
        self._looking = Call(plugin.name, "observe")
        self._catalog = catalog
        self._view = view
        self._dispatcher = dispatcher
        self._order = itertools.count()
        self._schedule: list[tuple[float, int, int, Wait]] = []
        self._defects = 0

    def receive(self, message: Wait | Tick | Reset | Shared) -> None:
        """Keep an operation, or see which are due."""
        match message:
            case Wait():
                self._keep(message, looks=0)
            case Tick():
                self._look(time.monotonic())
            case Reset():
                self._schedule.clear()
            case Shared(replicas=replicas):
                self._share(replicas)

    def _share(self, replicas: int) -> None:
        sharing = self._plugin.sharing
        if sharing is None:
            return
        try:
            self._calls.run(
                Call(self._plugin.name, "share"), self.actor_ref, lambda: sharing.share(replicas)
            )
        except (ContractError, TryAgainError):
            log.exception("%s: defect in share", self._plugin.name)

    def _keep(self, wait: Wait, looks: int) -> None:
        # The wall clock may be set while an operation waits, or while the broker is down.
        longest = max(LONGEST, wait.interval * MAX_GROWTH)
        due_at = time.monotonic() + min(max(0.0, wait.due_at - time.time()), longest)
        heapq.heappush(self._schedule, (due_at, next(self._order), looks, wait))

    def _look(self, now: float) -> None:
        """Hand on what is due; look at the cloud for those that wait for it."""
        if not self._schedule or self._schedule[0][0] > now:
            return
        watched: list[tuple[int, Wait]] = []
        while self._schedule:
            due_at, _, looks, wait = self._schedule[0]
            # What is due soon is looked at in the same breath: one call sees many.
            if due_at > (now + wait.interval / 2 if wait.observe else now):
                break
            heapq.heappop(self._schedule)
            if wait.observe:
                watched.append((looks, wait))
            else:
                self._dispatcher.tell(self._due(wait, None))
        if watched:
            self._observe(watched, time.time())

    def _observe(self, watched: list[tuple[int, Wait]], now: float) -> None:
        works = {}
        for looks, wait in watched:
            due = (wait.key, wait.operation_id, wait.step)
            work = work_for(self._view, self._catalog, due, now)
            if work is not None:
                works[wait.operation_id] = (looks, wait, work)
        if not works:
            return
        seen, pause = self._seen([work for _, _, work in works.values()])
        if self.abandoned:
            return
        for operation_id, (looks, wait, _) in works.items():
            if operation_id in seen:
                self._dispatcher.tell(self._due(wait, seen[operation_id]))
            else:
                self._put_off(wait, looks, pause)

    def _seen(self, works: list[Work]) -> tuple[dict[str, Json], float]:
        """Return what is seen now, by operation id, and the seconds that the cloud asks to wait."""
        if self._calls.hanging(self._looking) >= MOST_HANGING:
            return {}, LONGEST
        if not_now(self._calls.quarantine.get(self._looking.name)):
            return {}, 0.0
        broker = self._plugin.broker
        try:
            seen = self._calls.run(
                self._looking,
                self.actor_ref,
                lambda: checked_observations(works, broker.observe(works)),
            )
        except TryAgainError as ex:
            log.info("%s cannot look at the cloud now: %s", self._plugin.name, ex.reason)
            return {}, ex.after or 0.0
        except ContractError:
            log.exception("%s: defect in observe", self._plugin.name)
            pause = min(LONGEST, DEFECT_PAUSE * 2.0 ** min(self._defects, 10))
            self._defects += 1
            return {}, pause
        self._defects = 0
        return seen, 0.0

    def _put_off(self, wait: Wait, looks: int, pause: float) -> None:
        interval = wait.interval * min(MAX_GROWTH, GROWTH**looks)
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
        self._keep(
            replace(wait, due_at=time.time() + max(pause, interval * spread)), looks=looks + 1
        )

    def _due(self, wait: Wait, observation: Json | None) -> StepDue:
        return StepDue(
            wait.key, wait.operation_id, wait.step, self._plugin.name, observation=observation
        )
