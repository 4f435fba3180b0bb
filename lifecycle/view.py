"""The records as everybody may read them; the storage actor alone writes here."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from alibroker.lifecycle.records import SCHEMA, Binding, Instance, Key, Operation, Outline, Record

_OUTLINES: Final = msgspec.json.Decoder(Outline)
Decode = Callable[[Key, bytes], Record]


class View:
    """All records in memory.

    Replacing a value in a dict is atomic, and records are frozen, so readers of any thread see each
    record as it was before a change or after it, never in between. Records whose operation has
    ended, which are most, are kept as the bytes that etcd has, and decoded when somebody asks: that
    takes microseconds, and a third of the memory.
    """

    def __init__(self) -> None:
        self.complete = False
        """Whether all records have been read from the store; before, absence means nothing."""
        self.available = False
        """Whether the store could be written when last tried."""
        self.problem = ""
        """What an operator has to mend before the store can be used."""
        self.waits_for = ""
        """What the store cannot be used for want of; empty while it can be."""
        self.unreadable: frozenset[Key] = frozenset()
        """What there is a record of that cannot be read."""
        self.full = False
        """Whether that is for want of space in etcd's quota, of which its history may take much."""
        self._decode: Decode | None = None
        self._instances: dict[str, Record | bytes] = {}
        self._bindings: dict[str, dict[str, Record | bytes]] = {}
        self._running: dict[Key, tuple[str, str]] = {}
        self._count: collections.Counter[str] = collections.Counter()

    def instance(self, instance_id: str) -> Instance | None:
        """Return the instance, also a deleted one that is not yet forgotten."""
        record = self._record(Key(instance_id), self._instances.get(instance_id))
        return record if isinstance(record, Instance) else None

    def binding(self, instance_id: str, binding_id: str) -> Binding | None:
        """Return the binding, also a deleted one that is not yet forgotten."""
        kept = self._bindings.get(instance_id, {}).get(binding_id)
        record = self._record(Key(instance_id, binding_id), kept)
        return record if isinstance(record, Binding) else None

    def operation(self, key: Key) -> Operation | None:
        """Return a record's last operation; a tenth of the work that the whole record is."""
        kept = (
            self._bindings.get(key.instance_id, {}).get(key.binding_id)
            if key.binding_id
            else self._instances.get(key.instance_id)
        )
        if isinstance(kept, bytes):
            outline = _OUTLINES.decode(kept)
            if outline.schema == SCHEMA:
                return outline.operation
        record = self._record(key, kept)
        return record.operation if record is not None else None

    def bindings_of(self, instance_id: str) -> list[Binding]:
        """Return all bindings of the instance, deleted ones included."""
        names = list(self._bindings.get(instance_id, ()))
        found = (self.binding(instance_id, name) for name in names)
        return [binding for binding in found if binding is not None]

    def get(self, key: Key) -> Record | None:
        """Return the record, if there is one."""
        if key.binding_id:
            return self.binding(key.instance_id, key.binding_id)
        return self.instance(key.instance_id)

    def keys(self) -> list[Key]:
        """Return what there is a record of."""
        instances = [Key(instance_id) for instance_id in list(self._instances)]
        bindings = [
            Key(instance_id, binding_id)
            for instance_id, some in list(self._bindings.items())
            for binding_id in list(some)
        ]
        return instances + bindings

    def records(self) -> Iterator[Record]:
        """Yield all records, each as it is when its turn comes."""
        return filter(None, map(self.get, self.keys()))

    def running(self) -> list[Record]:
        """Return the records whose operation is in progress."""
        found = (self.get(key) for key in list(self._running))
        return [record for record in found if record is not None]

    def in_progress(self, service_id: str) -> int:
        """Return how many operations on the service's instances and bindings have not ended."""
        return self._count[service_id]

    def in_progress_at(self, *replicas: str) -> int:
        """Return how many operations name one of the replicas; without any, how many there are."""
        if not replicas:
            return len(self._running)
        return sum(self._count[_of(replica)] for replica in replicas)

    def clear(self, decode: Decode) -> None:
        """Forget everything; from now on `decode` makes records of bytes. For storage only."""
        self.complete = False
        self._decode = decode
        self._instances.clear()
        self._bindings.clear()
        self._running.clear()
        self._count.clear()

    def put(self, key: Key, record: Record | None, value: bytes | None = None) -> None:
        """Replace a record, or remove it; `value` is what etcd has of it. For storage only."""
        for counted in self._running.pop(key, ()):
            self._count[counted] -= 1
        if record is None:
            self._remove(key)
            return
        kept: Record | bytes = record
        if record.operation.in_progress:
            self._running[key] = (record.service_id, _of(record.operation.replica))
            self._count.update(self._running[key])
        elif value is not None:
            kept = value
        if key.binding_id:
            self._bindings.setdefault(key.instance_id, {})[key.binding_id] = kept
        else:
            self._instances[key.instance_id] = kept

    def _remove(self, key: Key) -> None:
        if not key.binding_id:
            self._instances.pop(key.instance_id, None)
            return
        bindings = self._bindings.get(key.instance_id, {})
        bindings.pop(key.binding_id, None)
        if not bindings:
            self._bindings.pop(key.instance_id, None)

    def _record(self, key: Key, kept: Record | bytes | None) -> Record | None:
        if isinstance(kept, bytes) and self._decode is not None:
            return self._decode(key, kept)
        return kept if isinstance(kept, Record) else None


def _of(replica: str) -> str:
    """Return what a replica's operations are counted under, apart from those of services."""
    return f"replica {replica}"
