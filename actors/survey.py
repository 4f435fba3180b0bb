"""Compares what exists in the cloud with the records.

An inventory takes its time, and operations go on meanwhile. So only that is held against anybody
which stood still from before the inventory until after it.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

from alibroker.actors.findings import Disagreement, Finding
from alibroker.actors.records import Key, Record, Status, same_json
from alibroker.actors.view import View
from alibroker.brokers.api import Found, Inventory


def settled(view: View, services: frozenset[str]) -> dict[Key, str]:
    """Return the id of the last operation of each record on which none is in progress."""
    return {
        record.key: record.operation.id
        for record in view.records()
        if record.service_id in services and not record.operation.in_progress
    }


class Survey:
    """One broker's inventory against the records of its services."""

    def __init__(
        self,
        broker: str,
        services: frozenset[str],
        view: View,
        *,
        before: Mapping[Key, str],
        now: float,
    ) -> None:
        """Take the ids of the broker's services, and what `settled` said before the inventory."""
        self._broker = broker
        self._services = services
        self._view = view
        self._before = before
        self._now = now

    def compare(self, inventory: Inventory, found: Sequence[Found]) -> Iterator[Finding]:
        """Yield the disagreements between what was found and the records as they are now."""
        things = _Things(inventory, found)
        for record in self._view.records():
            name = str(record.resource.get(things.fact_of(record.key)) or "")
            if record.service_id not in self._services or not _alive(record) or not name:
                continue
            thing = things.claim(record.key, name)
            hidden = thing is None and things.may_hide(record.key)
            if not hidden and self._stood_still(record.key, record):
                yield from self._of_record(record, name, thing)
        for thing in things.unclaimed():
            # What becomes of a thing is decided for its parts as well.
            if not thing.main and things.has_main(thing):
                continue
            yield from self._of_thing(thing)

    def _of_record(self, record: Record, name: str, thing: Found | None) -> Iterator[Finding]:
        """Compare a record with the thing it names."""
        ready = record.status is Status.READY
        if thing is None:
            if ready:
                text = f"{name} does not exist any more, or the broker may not see it."
                yield self._finding(Disagreement.MISSING, record.key, text)
        elif record.status is Status.CREATION_FAILED:
            text = record.operation.description
            yield self._finding(Disagreement.HALF_DELETED, record.key, text, thing)
        elif ready and (drift := _drift(record, thing)):
            yield self._finding(Disagreement.DRIFTED, record.key, drift, thing)

    def _of_thing(self, thing: Found) -> Iterator[Finding]:
        """Say what is the matter with a thing that no record names."""
        key = Key(thing.instance_id, thing.binding_id)
        if thing.kept:
            return
        if not thing.instance_id:
            text = "No record names it, and its marks do not say what it was created for."
            yield self._finding(Disagreement.UNKNOWN, key, text, thing)
            return
        instance, record = self._view.instance(key.instance_id), self._view.get(key)
        if not self._stood_still(Key(key.instance_id), instance) or not self._stood_still(
            key, record
        ):
            return
        if record is None:
            yield self._finding(Disagreement.UNKNOWN, key, "No record names it.", thing)
        elif not _alive(record):
            text = "Its record says that it was deleted."
            yield self._finding(Disagreement.LEFT_OVER, key, text, thing)
        elif thing.main:
            text = "The record of what it was created for names another, or none."
            yield self._finding(Disagreement.DOUBLE, key, text, thing)

    def _stood_still(self, key: Key, record: Record | None) -> bool:
        """Whether nothing has happened to a record, or to there being none, since `before`."""
        if record is None:
            return key not in self._before
        return self._before.get(key) == record.operation.id and not record.operation.in_progress

    def _finding(
        self, disagreement: Disagreement, key: Key, text: str, thing: Found | None = None
    ) -> Finding:
        return Finding(
            disagreement=disagreement,
            broker=self._broker,
            key=key,
            description=text,
            found=thing,
            since=self._now,
        )


class _Things:
    """What was found, by what it was created for."""

    def __init__(self, inventory: Inventory, found: Sequence[Found]) -> None:
        self._facts = {False: inventory.instance_fact, True: inventory.binding_fact}
        self._found = found
        self._claimed: set[int] = set()
        self._wholes: set[Key] = set()
        self._opaque = {one.instance_id for one in found if one.contents_unknown}
        self._main: dict[tuple[Key, str], list[int]] = collections.defaultdict(list)
        for number, one in enumerate(found):
            if one.main:
                key = Key(one.instance_id, one.binding_id)
                self._wholes.add(key)
                # Where the marks do not say for what it was created, its name alone has to do.
                name = str(one.resource.get(self.fact_of(key)) or "")
                self._main[key if one.instance_id else _nameless(key), name].append(number)

    def fact_of(self, key: Key) -> str:
        """Return the fact that names the thing of an instance or a binding."""
        return self._facts[bool(key.binding_id)]

    def claim(self, key: Key, name: str) -> Found | None:
        """Return the thing that a record knows by its name, if it was found."""
        numbers = self._main.get((key, name)) or self._main.get((_nameless(key), name)) or []
        self._claimed.update(numbers)
        return self._found[numbers[0]] if numbers else None

    def may_hide(self, key: Key) -> bool:
        """Whether a binding's thing can be there although it was not found."""
        return bool(key.binding_id) and key.instance_id in self._opaque

    def has_main(self, part: Found) -> bool:
        """Whether that was found as well which something is a part of."""
        return Key(part.instance_id, part.binding_id) in self._wholes

    def unclaimed(self) -> Iterator[Found]:
        """Return what no record has claimed."""
        return (one for number, one in enumerate(self._found) if number not in self._claimed)


def _nameless(key: Key) -> Key:
    return Key("", "?" if key.binding_id else "")


def _alive(record: Record) -> bool:
    return not (record.status is Status.DELETED or record.clean)


def _drift(record: Record, thing: Found) -> str:
    """Say which facts of a record are not those of the thing; empty if all are."""
    return "; ".join(
        f"{fact} is {seen}, the record says {record.resource[fact]}"
        for fact, seen in thing.resource.items()
        if fact in record.resource and not same_json(record.resource[fact], seen)
    )
