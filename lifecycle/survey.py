"""Compares what exists in the cloud with the records.

An inventory takes its time, and operations go on meanwhile. So only that is held against anybody
which stood still from before the inventory until after it.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

from alibroker.brokers.api import NOTHING, Found, Json
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import Plugin
from alibroker.brokers.digests import digest
from alibroker.lifecycle.claims import Claim, claim_of
from alibroker.lifecycle.findings import Disagreement, Finding
from alibroker.lifecycle.records import Key, Record, Status, same_json
from alibroker.lifecycle.view import View


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
        plugin: Plugin,
        catalog: Catalog,
        view: View,
        *,
        before: Mapping[Key, str],
        now: float,
        account: str = "",
    ) -> None:
        """Take what `settled` said before the inventory, and in which account that was made."""
        self._plugin = plugin
        self._catalog = catalog
        self._services = catalog.services_of(plugin.name)
        self._view = view
        self._before = before
        self._now = now
        self._account = account
        self.learned: dict[Key, Json] = {}
        """What records do not say of things that were seen, once they have been compared."""
        self._others = sorted({*map(self._other_account, self._ours())} - {""})

    def _ours(self) -> Iterator[Record]:
        """Yield the records that have, or may have, something in this plugin's cloud."""
        for record in self._view.records():
            if record.holds_something and not self._is_of_another(record):
                yield record

    def compare(self, found: Sequence[Found]) -> Iterator[Finding]:
        """Yield the disagreements between what was found and the records as they are now."""
        things = _Things(self._plugin, found)
        for record in self._ours():
            claim = claim_of(self._plugin, record.key, record.resource)
            if claim is None:
                continue
            some = things.claim(claim)
            if record.service_id not in self._services:
                continue
            hidden = not some and things.may_hide(record.key)
            if not hidden and self._stood_still(record.key, record):
                yield from self._of_record(record, claim, some)
        for thing in things.unclaimed():
            # What becomes of a thing is decided for its parts as well.
            if not thing.main and things.has_main(thing):
                continue
            yield from self._of_thing(thing)

    def _is_of_another(self, record: Record) -> bool:
        """Whether another plugin offers its service; if none does, it may be of this one."""
        service = self._catalog.service(record.service_id)
        return service is not None and service.broker != self._plugin.name

    def _other_account(self, record: Record) -> str:
        """Return the account that a record names, if it is not the one that was looked at.

        A binding that names none has what it has where its instance is.
        """
        if self._plugin.accounts is None or not self._account:
            return ""
        fact = self._plugin.accounts.account_fact
        instance = self._view.instance(record.key.instance_id)
        named = record.resource.get(fact) or (instance and instance.resource.get(fact)) or ""
        return "" if named == self._account else str(named)

    def _of_record(self, record: Record, claim: Claim, some: Sequence[Found]) -> Iterator[Finding]:
        """Compare a record with the things of the name that it has."""
        ready = record.status is Status.READY
        thing = next((one for one in some if is_of(one, record.key)), None)
        if thing is not None and ready and (facts := self._unknown_account(record, thing)):
            self.learned[record.key] = facts
        if thing is None and some:
            if ready or record.status is Status.CREATION_FAILED:
                whose = "/".join(filter(None, (some[0].instance_id, some[0].binding_id)))
                text = f"Its marks say that it is of {whose or 'another instance'}."
                yield self._finding(Disagreement.DRIFTED, record.key, text, some[0])
        elif thing is None:
            if ready and (other := self._other_account(record)):
                text = (
                    f"It is in account {other}, and cannot be seen: the broker's credentials are "
                    f"of account {self._account}."
                )
                yield self._finding(Disagreement.OTHER_ACCOUNT, record.key, text)
            elif ready:
                text = f"{claim.name} does not exist any more, or the broker may not see it."
                yield self._finding(Disagreement.MISSING, record.key, text)
        elif record.status is Status.CREATION_FAILED:
            text = record.operation.description
            yield self._finding(Disagreement.HALF_DELETED, record.key, text, thing)
        elif ready and (drift := _drift(record, thing)):
            yield self._finding(Disagreement.DRIFTED, record.key, drift, thing)

    def _unknown_account(self, record: Record, thing: Found) -> Json:
        """Return the account of a thing as a fact, if its record does not say it."""
        if self._plugin.accounts is None or not self._account:
            return NOTHING
        fact = self._plugin.accounts.account_fact
        known = fact in record.resource or thing.resource.get(fact) != self._account
        return NOTHING if known else {fact: self._account}

    def _of_thing(self, thing: Found) -> Iterator[Finding]:
        """Say what is the matter with a thing that no record names."""
        key = Key(thing.instance_id, thing.binding_id)
        if thing.kept:
            return
        if self._others:
            text = (
                f"It was found in account {self._account}, but there are records of account "
                f"{', '.join(self._others)}: see whether the broker has the right credentials."
            )
            yield self._finding(Disagreement.OTHER_ACCOUNT, key, text, thing)
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
        elif not record.holds_something:
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
        held = thing.held if thing is not None else ""
        return Finding(
            disagreement=disagreement,
            broker=self._plugin.name,
            key=key,
            description=f"{text} It stays while it is {held}." if held else text,
            found=thing,
            since=self._now,
        )


def is_of(thing: Found, key: Key) -> bool:
    """Whether the marks of something allow that it was created for an instance or a binding."""
    if thing.instance_id:
        return Key(thing.instance_id, thing.binding_id) == key
    return thing.instance_digest in ("", digest(key.instance_id))


class _Things:
    """What was found, by the names that records have of it."""

    def __init__(self, plugin: Plugin, found: Sequence[Found]) -> None:
        self._found = found
        self._claimed: set[int] = set()
        self._wholes: set[Key] = set()
        self._opaque = {one.instance_id for one in found if one.contents_unknown}
        self._main: dict[Claim, list[int]] = collections.defaultdict(list)
        for number, one in enumerate(found):
            if one.main:
                key = Key(one.instance_id, one.binding_id)
                self._wholes.add(key)
                claim = claim_of(plugin, key, one.resource)
                if claim is not None:
                    self._main[claim].append(number)

    def claim(self, claim: Claim) -> list[Found]:
        """Return what a record knows by its name: whatever its marks say, it is no orphan."""
        numbers = self._main.get(claim, [])
        self._claimed.update(numbers)
        return [self._found[number] for number in numbers]

    def may_hide(self, key: Key) -> bool:
        """Whether a binding's thing can be there although it was not found."""
        return bool(key.binding_id) and key.instance_id in self._opaque

    def has_main(self, part: Found) -> bool:
        """Whether that was found as well which something is a part of."""
        return Key(part.instance_id, part.binding_id) in self._wholes

    def unclaimed(self) -> Iterator[Found]:
        """Return what no record has claimed."""
        return (one for number, one in enumerate(self._found) if number not in self._claimed)


def _drift(record: Record, thing: Found) -> str:
    """Say which facts of a record are not those of the thing; empty if all are."""
    return "; ".join(
        f"{fact} is {seen}, the record says {record.resource[fact]}"
        for fact, seen in thing.resource.items()
        if fact in record.resource and not same_json(record.resource[fact], seen)
    )
