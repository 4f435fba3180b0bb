"""Who waits for the end of which operation."""

from __future__ import annotations

import collections

from alibroker.actors.messages import Change, Reply, resolve
from alibroker.lifecycle.commands import Answer


class Replies:
    """Answers changes: at once, or when the operation ends that a platform wants to wait for."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Reply[Answer]]] = collections.defaultdict(list)

    def answer(self, change: Change, answer: Answer) -> None:
        """Answer now, or when the operation ends if the platform wants to hear nothing before."""
        record = answer.record
        if not answer.goes_on or change.command.accepts_incomplete or record is None:
            resolve(change.reply, answer)
            return
        waiting = [one for one in self._waiting[record.operation.id] if not one.done()]
        self._waiting[record.operation.id] = [*waiting, change.reply]

    def end(self, operation_id: str, answer: Answer) -> None:
        """Answer all who wait for an operation."""
        for reply in self._waiting.pop(operation_id, ()):
            resolve(reply, answer)

    def end_all(self, answer: Answer) -> None:
        """Answer all who wait for anything."""
        for operation_id in list(self._waiting):
            self.end(operation_id, answer)
