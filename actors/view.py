"""The records as everybody may read them; the storage actor alone writes here."""

from __future__ import annotations

import collections

from alibroker.actors.records import Binding, Instance, Key, Record


class View:
    """All records in memory.

    Replacing a value in a dict is atomic, and records are frozen, so readers of any thread see each
    record as it was before a change or after it, never in between.
    """

    def __init__(self) -> None:
        self.complete = False
        """Whether all records have been read from the store; before, absence means nothing."""
        self.available = False
        """Whether the store could be written when last tried."""
        self.problem = ""
        """What an operator has to mend before the store can be used."""
        self._instances: dict[str, Instance] = {}
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._in_progress: collections.Counter[str] = collections.Counter()

    def instance(self, instance_id: str) -> Instance | None:
        """Return the instance, also a deleted one that is not yet forgotten."""
        return self._instances.get(instance_id)

    def binding(self, instance_id: str, binding_id: str) -> Binding | None:
        """Return the binding, also a deleted one that is not yet forgotten."""
        return self._bindings.get(instance_id, {}).get(binding_id)

    def bindings_of(self, instance_id: str) -> list[Binding]:
        """Return all bindings of the instance, deleted ones included."""
        return list(self._bindings.get(instance_id, {}).values())

    def get(self, key: Key) -> Record | None:
        """Return the record, if there is one."""
        if key.binding_id:
            return self.binding(key.instance_id, key.binding_id)
        return self.instance(key.instance_id)

    def in_progress(self, service_id: str) -> int:
        """Return how many operations on the service's instances and bindings have not ended."""
        return self._in_progress[service_id]

    def records(self) -> list[Record]:
        """Return all records as they are now."""
        bindings = [one for some in list(self._bindings.values()) for one in list(some.values())]
        return [*list(self._instances.values()), *bindings]

    def clear(self) -> None:
        """Forget everything. For the storage actor only."""
        self.complete = False
        self._instances.clear()
        self._bindings.clear()
        self._in_progress.clear()

    def put(self, key: Key, record: Record | None) -> None:
        """Replace a record, or remove it. For the storage actor only."""
        before = self.get(key)
        if before is not None and before.operation.in_progress:
            self._in_progress[before.service_id] -= 1
        if record is not None and record.operation.in_progress:
            self._in_progress[record.service_id] += 1
        match record:
            case Instance():
                self._instances[key.instance_id] = record
            case Binding():
                self._bindings.setdefault(key.instance_id, {})[key.binding_id] = record
            case _ if key.binding_id:
                bindings = self._bindings.get(key.instance_id, {})
                bindings.pop(key.binding_id, None)
                if not bindings:
                    self._bindings.pop(key.instance_id, None)
            case _:
                self._instances.pop(key.instance_id, None)
