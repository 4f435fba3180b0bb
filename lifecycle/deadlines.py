"""What storage has to do later: end what takes too long, forget what nobody asks for any more."""

from __future__ import annotations

import heapq

from alibroker.lifecycle.progress import expire, forget_at, next_deadline
from alibroker.lifecycle.records import Key, Record


class Deadlines:
    """A time per record, soonest first; one that has changed since is simply looked at again."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._heap: list[tuple[float, Key, str]] = []

    def set(self, record: Record) -> None:
        """Remember when the record is to be looked at, if ever."""
        operation = record.operation
        at: float | None
        if operation.in_progress:
            at = next_deadline(operation)
        else:
            at = forget_at(record, self._lifetime)
        if at is not None:
            heapq.heappush(self._heap, (at, record.key, operation.id))

    def again(self, key: Key, operation_id: str, at: float) -> None:
        """Look at a record again later, whatever it says."""
        heapq.heappush(self._heap, (at, key, operation_id))

    def due(self, now: float) -> list[tuple[Key, str]]:
        """Return key and operation id of the records whose time has come."""
        some = []
        while self._heap and self._heap[0][0] <= now:
            _, key, operation_id = heapq.heappop(self._heap)
            some.append((key, operation_id))
        return some

    def outdated(self, record: Record, now: float) -> Record | None:
        """Return what is to become of a record whose time has come; None removes it.

        The record itself means: nothing.
        """
        if record.operation.in_progress:
            return expire(record, now) or record
        forget = forget_at(record, self._lifetime)
        return None if forget is not None and forget <= now else record

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
