"""What follows from a durable change, whoever wrote it: all see it, and the next thing begins."""

from __future__ import annotations

import time

from alibroker.actors.handout import Handout
from alibroker.actors.membership import Membership
from alibroker.actors.replies import Replies
from alibroker.lifecycle.claims import Claims
from alibroker.lifecycle.commands import Answer, Verdict
from alibroker.lifecycle.deadlines import Deadlines
from alibroker.lifecycle.records import Key, Operation, Record
from alibroker.lifecycle.view import View


class Effects:
    """Keeps view, claims and deadlines, answers who waits, and hands operations out.

    For the storage actor alone.
    """

    def __init__(
        self,
        *,
        view: View,
        claims: Claims,
        deadlines: Deadlines,
        replies: Replies,
        handout: Handout,
        membership: Membership,
    ) -> None:
        self._view = view
        self._claims = claims
        self._deadlines = deadlines
        self._replies = replies
        self._handout = handout
        self._membership = membership
        self.cut_off: dict[Key, float] = {}
        """When a step of a record was cut off; its next write makes that known."""

    def clear(self) -> None:
        """Forget what the records were, but for the view."""
        self._claims.clear()
        self._deadlines.clear()

    def read_back(self, record: Record, value: bytes) -> None:
        """Take in a record at the start."""
        self._view.put(record.key, record, value)
        self._claims.put(record.key, None, record)
        self._deadlines.set(record)

    def take_in(self, key: Key, record: Record | None, value: bytes | None) -> None:
        """Let everybody see what has become of a record, and set the next thing going."""
        before = self._view.get(key)
        self.correct(key, record, value)
        self.cut_off.pop(key, None)
        if record is not None:
            self._deadlines.set(record)
            self._membership.may_be_stray(record)
            self._go_on(before.operation if before is not None else None, record)

    def correct(self, key: Key, record: Record | None, value: bytes | None) -> None:
        """Let everybody see a record as it is; nothing follows from that."""
        self._claims.put(key, self._view.get(key), record)
        self._view.put(key, record, value)

    def answer_again(self, key: Key) -> None:
        """Answer whoever has begun to wait for an operation that has ended meanwhile."""
        record = self._view.get(key)
        if record is not None:
            self._go_on(record.operation, record)

    def resume(self) -> int:
        """Hand out all operations anew that are ours; returns how many there are."""
        running = self.ours()
        now = time.time()
        for record in running:
            if not record.operation.removing:
                # A step may have been in the middle of a request.
                self.cut_off[record.key] = now
        self._handout.all(running)
        return len(running)

    def ours(self) -> list[Record]:
        """Return the records whose operation this process works on."""
        return [one for one in self._view.running() if self._membership.is_ours(one)]

    def _go_on(self, before: Operation | None, record: Record) -> None:
        """Answer whoever waits for the end of an operation, or go on with it if it is ours."""
        operation = record.operation
        if before is not None and before.id != operation.id:
            stopped = Answer(Verdict.BUSY, f"It was stopped: {operation.kind}.")
            self._replies.end(before.id, stopped)
        if not operation.in_progress:
            self._replies.end(operation.id, Answer(Verdict.ENDED, operation.description, record))
        elif operation != before and self._membership.is_ours(record):
            self._handout.one(record)
