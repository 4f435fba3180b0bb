"""The worker: runs one step of a plugin at a time. It holds no state."""

from __future__ import annotations

import logging
import time

import msgspec

from alibroker.actors.actor import Actor, Address
from alibroker.actors.commands import Again, Report
from alibroker.actors.messages import StepDue, StepReport, StepTaken
from alibroker.actors.view import View
from alibroker.actors.work import work_for
from alibroker.brokers.api import Broker, Failed, InProgress, Step, Succeeded, TryAgainError, Work
from alibroker.brokers.catalog import Catalog

log = logging.getLogger(__name__)

DEFECT = "An internal error of the broker; its log says more."


class Worker(Actor):
    """Receives `StepDue` from the dispatcher; tells storage what came of it.

    On failure: the dispatcher hands the same step to another worker.
    """

    def __init__(
        self,
        address: Address,
        supervisor: Address,
        *,
        broker: Broker,
        catalog: Catalog,
        view: View,
        storage: Address,
        dispatcher: Address,
    ) -> None:
        super().__init__(address, supervisor)
        self._broker = broker
        self._catalog = catalog
        self._view = view
        self._storage = storage
        self._dispatcher = dispatcher

    def on_receive(self, message: StepDue) -> None:
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
            result=self._run(work),
        )
        self._storage.tell(StepReport(message.broker, self.address.name, report))

    def _run(self, work: Work) -> Step | Again:
        step = getattr(self._broker, work.kind)
        place = {"operation_id": work.operation_id, "instance_id": work.instance_id}
        try:
            result = step(work)
            return _checked(result)
        except TryAgainError as ex:
            log.info("%s of %s: %s", work.kind, work.instance_id, ex.reason, extra=place)
            return Again(ex.reason, ex.after, ex.unanswered)
        except Exception:
            # A plugin's defect must not end the operation: the next release may finish it.
            log.exception("%s of %s: defect in a step", work.kind, work.instance_id, extra=place)
            return Again(DEFECT, unanswered=True)


def _checked(result: Step) -> Step:
    """Make sure that the result can be stored, while it is still known which step it came from."""
    if not isinstance(result, InProgress | Succeeded | Failed):
        msg = f"A step returned {type(result).__name__}"
        raise TypeError(msg)
    return msgspec.json.decode(msgspec.json.encode(result), type=type(result))
