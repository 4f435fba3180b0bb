"""Suspects among the steps: each runs alone, later and later, and not without end."""

from __future__ import annotations

import logging
import time

from alibroker.actors.actor import Address
from alibroker.actors.calls import Call
from alibroker.actors.messages import StepDue, StepReport
from alibroker.actors.quarantine import MOST_DEATHS, Quarantine, Suspect
from alibroker.brokers.api import Failed
from alibroker.lifecycle.assignment import UNDO
from alibroker.lifecycle.commands import Report
from alibroker.lifecycle.records import Key
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)


class Isolation:
    """Keeps steps that were under way when a process died apart from the others."""

    def __init__(self, quarantine: Quarantine, view: View, storage: Address) -> None:
        self._quarantine = quarantine
        self._view = view
        self._storage = storage
        self._waiting: dict[Key, StepDue] = {}
        self._running: Key | None = None

    def takes(self, due: StepDue) -> bool:
        """Tell whether a step is a suspect, and waits here until `next` returns it."""
        if due.key == self._running or self._suspect(due) is None:
            return False
        self._waiting[due.key] = due
        return True

    def next(self) -> StepDue | None:
        """Return the suspect that may run now, if none does; one with too many deaths fails."""
        if self._running is not None:
            return None
        for key, due in list(self._waiting.items()):
            suspect = self._suspect(due)
            if suspect is not None and suspect.deaths >= MOST_DEATHS:
                del self._waiting[key]
                self._give_up(due, suspect)
            elif suspect is None or suspect.ready_at <= time.time():
                del self._waiting[key]
                self._running = key
                return due
        return None

    def done(self, key: Key) -> None:
        """Note that a step is through."""
        if key == self._running:
            self._running = None

    def clear(self) -> None:
        """Forget all; it will be handed out anew."""
        self._waiting.clear()
        self._running = None

    def _suspect(self, due: StepDue) -> Suspect | None:
        record = self._view.get(due.key)
        if record is None:
            return None
        operation = record.operation
        what = UNDO[operation.kind] if operation.undoing else operation.kind
        return self._quarantine.get(Call(due.broker, what, due.key, due.operation_id).name)

    def _give_up(self, due: StepDue, suspect: Suspect) -> None:
        reason = f"The broker's process died {suspect.deaths} times while it worked on this."
        log.error("%s is given up: %s", due.key, reason)
        report = Report(
            key=due.key,
            operation_id=due.operation_id,
            step=due.step,
            result=Failed(reason=reason),
        )
        self._storage.tell(StepReport(due.broker, "", report))
