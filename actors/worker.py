"""The worker: runs one step of a plugin at a time. It holds no state."""

from __future__ import annotations

import logging
import time

from alibroker.actors.actor import Actor, Address
from alibroker.actors.calls import Call, Calls
from alibroker.actors.messages import StepDue, StepReport, StepTaken
from alibroker.brokers.api import Step, TryAgainError, Work
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import ContractError, Plugin, checked_step
from alibroker.lifecycle.assignment import work_for
from alibroker.lifecycle.commands import Again, Report
from alibroker.lifecycle.records import Key
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

DEFECT = "An internal error of the broker; its log says more."
HANGS = "The broker waits for a step that has not come back."


class Worker(Actor):
    """Receives `StepDue` from the dispatcher; tells storage what came of it.

    On failure, and when a step does not come back: the dispatcher hands the same step to another
    worker.
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
        storage: Address,
        dispatcher: Address,
    ) -> None:
        super().__init__(address, supervisor)
        self._plugin = plugin
        self._calls = calls
        self._catalog = catalog
        self._view = view
        self._storage = storage
        self._dispatcher = dispatcher

    def receive(self, message: StepDue) -> None:
        """Run the step, unless it is no longer wanted."""
        due = (message.key, message.operation_id, message.step)
        work = work_for(self._view, self._catalog, due, time.time(), message.observation)
        if work is None:
            self._dispatcher.tell(StepTaken(message.key, message.broker, self.address.name))
            return
        report = Report(
            key=message.key,
            operation_id=message.operation_id,
            step=message.step,
            result=self._run(message.key, work),
        )
        # What comes too late still names what it has made, but sets nobody free.
        name = "" if self.abandoned else self.address.name
        self._storage.tell(StepReport(message.broker, name, report))

    def _run(self, key: Key, work: Work) -> Step | Again:
        call = Call(self._plugin.name, work.kind, key, work.operation_id)
        if self._calls.hanging(call):
            return Again(HANGS, unanswered=True)
        place = {"operation_id": work.operation_id, "instance_id": work.instance_id}
        try:
            return self._calls.run(call, self.actor_ref, lambda: self._step(work))
        except TryAgainError as ex:
            log.info("%s of %s: %s", work.kind, work.instance_id, ex.reason, extra=place)
            return Again(ex.reason, ex.after, ex.unanswered)
        except ContractError:
            # A plugin's defect must not end the operation: the next release may finish it.
            log.exception("%s of %s: defect in a step", work.kind, work.instance_id, extra=place)
            return Again(DEFECT, unanswered=True)

    def _step(self, work: Work) -> Step:
        return checked_step(work, getattr(self._plugin.broker, work.kind)(work))
