"""The dispatcher: admits or refuses changes, and gives steps to idle workers."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from alibroker.actors.actor import Actor, Address
from alibroker.actors.isolation import Isolation
from alibroker.actors.messages import (
    Change,
    Drain,
    Reset,
    StepDue,
    StepTaken,
    Tick,
    WorkerLost,
    resolve,
)
from alibroker.actors.quarantine import Quarantine
from alibroker.lifecycle.commands import Answer, Bind, Provision, Verdict
from alibroker.lifecycle.records import Key
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)


class Pool:
    """The workers of one broker, and the steps that wait for one.

    At most one step of a record runs at a time, whatever its operation: a deletion does not start
    while a creation that it stopped is still in the middle of a cloud call.
    """

    def __init__(self, workers: Sequence[Address]) -> None:
        self.workers = {worker.name: worker for worker in workers}
        self.idle = collections.deque(self.workers)
        self.ready: dict[Key, StepDue] = {}
        self.running: dict[Key, tuple[str, StepDue]] = {}
        self.parked: dict[Key, StepDue] = {}

    def add(self, due: StepDue) -> None:
        """Run the step as soon as a worker is idle and no other step of the record is running."""
        if due.key not in self.running:
            self.ready[due.key] = due
        else:
            _, running = self.running[due.key]
            if (running.operation_id, running.step) != (due.operation_id, due.step):
                self.parked[due.key] = due

    def free(self, key: Key, worker: str) -> None:
        """Take back a worker that has finished with a record."""
        # What is given up without being run has no worker.
        if key not in self.running or self.running[key][0] != worker:
            return
        del self.running[key]
        self.idle.append(worker)
        if key in self.parked:
            self.ready[key] = self.parked.pop(key)

    def lose(self, worker: str) -> None:
        """Do again what a worker was doing when it failed."""
        for key, (holder, due) in list(self.running.items()):
            if holder == worker:
                self.free(key, worker)
                self.ready.setdefault(key, due)

    def reset(self) -> None:
        """Forget all steps. A worker still at one reads the next when it is through."""
        self.ready.clear()
        self.running.clear()
        self.parked.clear()
        self.idle = collections.deque(self.workers)

    def run(self) -> None:
        """Give steps to idle workers, oldest first."""
        while self.idle and self.ready:
            key = next(iter(self.ready))
            due = self.ready.pop(key)
            worker = self.idle.popleft()
            self.running[key] = (worker, due)
            self.workers[worker].tell(due)


class Dispatcher(Actor):
    """Receives `Change` from the edge, `StepDue` and `StepTaken`; tells storage and workers.

    Both the changes on their way to the store and the operations in progress are bounded per
    broker: a full house is refused, for a queue that grows only moves the refusal to a time-out.

    On failure: storage hands out all steps anew.
    """

    def __init__(
        self,
        address: Address,
        supervisor: Address,
        *,
        view: View,
        storage: Address,
        workers: Mapping[str, Sequence[Address]],
        quarantine: Quarantine,
        max_changes: int,
        max_operations: int,
    ) -> None:
        super().__init__(address, supervisor)
        self._view = view
        self._storage = storage
        self._pools = {broker: Pool(some) for broker, some in workers.items()}
        self._places = {broker: threading.Semaphore(max_changes) for broker in workers}
        self._max_operations = max_operations
        self._isolation = Isolation(quarantine, view, storage)
        self._drained: Future[bool] | None = None

    def receive(
        self, message: Change | StepDue | StepTaken | WorkerLost | Tick | Reset | Drain
    ) -> None:
        """Route."""
        match message:
            case Change():
                self._admit(message)
                return
            case StepDue(broker=broker):
                if not self._isolation.takes(message):
                    self._pools[broker].add(message)
            case StepTaken(key=key, broker=broker, worker=worker):
                self._isolation.done(key)
                self._pools[broker].free(key, worker)
            case WorkerLost(broker=broker, worker=worker):
                self._pools[broker].lose(worker)
            case Tick():
                self._let_out()
            case Reset():
                self._reset()
                return
            case Drain(reply=reply):
                self._drained = reply
        self._go_on()

    def _let_out(self) -> None:
        due = self._isolation.next() if self._drained is None else None
        if due is not None:
            self._pools[due.broker].add(due)

    def _reset(self) -> None:
        self._isolation.clear()
        for pool in self._pools.values():
            pool.reset()

    def _go_on(self) -> None:
        if self._drained is None:
            for pool in self._pools.values():
                pool.run()
        elif not any(pool.running for pool in self._pools.values()):
            resolve(self._drained, value=True)

    def _admit(self, change: Change) -> None:
        command, reply = change.command, change.reply
        places = self._places[change.broker]
        grows = isinstance(command, Provision | Bind)
        if self._drained is not None:
            resolve(reply, Answer(Verdict.UNAVAILABLE, "The broker is stopping."))
        elif grows and self._view.in_progress(command.service_id) >= self._max_operations:
            resolve(reply, Answer(Verdict.FULL, "Too many operations are in progress."))
        elif not places.acquire(blocking=False):
            resolve(reply, Answer(Verdict.FULL, "Too many requests are being worked on."))
        else:
            reply.add_done_callback(lambda _: places.release())
            self._storage.tell(change)
