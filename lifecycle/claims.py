"""Which record has what in the cloud, so that nothing there ever has two.

With two records for one thing, deprovisioning one would delete what the other is in use for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from alibroker.brokers.api import Json
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import Plugin
from alibroker.lifecycle.records import Key, Record

log = logging.getLogger(__name__)

_NOTHING: frozenset[Claim] = frozenset()


class Claim(NamedTuple):
    """Names one thing in the cloud."""

    broker: str
    of_binding: bool
    within: str
    """The instance's thing that holds it, where its name says nothing without that."""
    name: str

    def __str__(self) -> str:
        """Name it for people."""
        return "/".join(filter(None, (self.broker, self.within, self.name)))


def claim_of(plugin: Plugin, key: Key, resource: Json) -> Claim | None:
    """Return what the facts of an instance or a binding name; None if they name nothing (yet)."""
    of_binding = bool(key.binding_id)
    name = resource.get(plugin.binding_fact if of_binding else plugin.instance_fact)
    if plugin.inventory is None or not name:
        return None
    within = resource.get(plugin.instance_fact) if of_binding else None
    return Claim(plugin.name, of_binding, str(within or ""), str(name))


class Claims:
    """An index over the records, kept by whoever writes them."""

    def __init__(self, catalog: Catalog) -> None:
        self._plugins = {plugin.name: plugin for plugin in catalog.plugins}
        self._catalog = catalog
        self._holders: dict[Claim, Key] = {}
        self._disputed: dict[Claim, set[Key]] = {}

    def of(self, record: Record | None) -> frozenset[Claim]:
        """Return what a record claims: one thing at the most, if a plugin offers its service.

        Of a service that nobody offers (any more) it is not known which facts count, so all may.
        """
        # Most have not named anything yet, or nothing any more, and this is asked for each write.
        if record is None or not record.resource or not record.holds_something:
            return _NOTHING
        service = self._catalog.service(record.service_id)
        plugins: Iterable[Plugin] = self._plugins.values()
        if service is not None:
            plugins = (self._plugins[service.broker],)
        claims = (claim_of(plugin, record.key, record.resource) for plugin in plugins)
        return frozenset(claim for claim in claims if claim is not None)

    def taken(self, before: Record | None, record: Record) -> tuple[Claim, Key] | None:
        """Return what a record newly claims and another has, and whose it is."""
        claims = self.of(record)
        for claim in claims - self.of(before) if claims else ():
            holder = self._holders.get(claim, record.key)
            if holder != record.key:
                return claim, holder
        return None

    def disputed(self, record: Record | None) -> Claim | None:
        """Return what a record has together with another, which an operator has to sort out."""
        return next((claim for claim in self.of(record) if claim in self._disputed), None)

    def put(self, key: Key, before: Record | None, record: Record | None) -> None:
        """Take note of what has become of a record."""
        old, new = self.of(before), self.of(record)
        if old == new:
            return
        for claim in old - new:
            self._release(claim, key)
        for claim in new - old:
            self._take(claim, key)

    def clear(self) -> None:
        """Forget all."""
        self._holders.clear()
        self._disputed.clear()

    def _take(self, claim: Claim, key: Key) -> None:
        holder = self._holders.setdefault(claim, key)
        if holder != key:
            self._disputed.setdefault(claim, {holder}).add(key)
            named = " and ".join("/".join(filter(None, one)) for one in (holder, key))
            log.critical("%s has two records, so neither can be deleted: %s", claim, named)

    def _release(self, claim: Claim, key: Key) -> None:
        left = self._disputed.get(claim, set()) - {key}
        if len(left) > 1:
            self._disputed[claim] = left
        else:
            self._disputed.pop(claim, None)
        if self._holders.get(claim) == key:
            del self._holders[claim]
            if left:
                self._holders[claim] = min(left)
