"""What a walk through one plan has come to: its instances and bindings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alibroker.conformance.exchange import Exchange
from alibroker.conformance.ledger import Entry
from alibroker.conformance.offers import Offer
from alibroker.conformance.settings import Settings


@dataclass
class Resource:
    """An instance or a binding, and what was said about it."""

    offer: Offer
    instance: str
    binding: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    """What it is, or will be, requested with."""
    requested: list[Exchange] = field(default_factory=list)
    """Answers to the requests that were to create it."""
    removed: list[Exchange] = field(default_factory=list)
    """Answers to the requests that were to delete it."""
    operation: str | None = None
    """What the last 202 called its operation."""
    outcome: str = ""
    """How the last operation ended: `succeeded`, `failed`, or what came instead of an end."""
    updated: str = ""
    """How the last update ended, in the same words."""
    last_poll: Exchange | None = None

    @property
    def kind(self) -> str:
        """What it is."""
        return "binding" if self.binding else "instance"

    @property
    def accepted(self) -> Exchange | None:
        """The first answer with which the broker agreed to create it."""
        return _first(self.requested, 202, 201, 200)

    @property
    def removal(self) -> Exchange | None:
        """The first answer with which the broker agreed to delete it."""
        return _first(self.removed, 202, 200, 410)

    @property
    def asynchronous(self) -> bool:
        """Whether it was created asynchronously."""
        return self.accepted is not None and self.accepted.has(202)


def listed(entry: Entry) -> Resource:
    """Return what an entry of the ledger stands for, as far as a delete has to know."""
    offer = Offer({"id": entry.service_id}, {"id": entry.plan_id})
    return Resource(offer, entry.instance, entry.binding)


class Subject:
    """The walk through one plan."""

    def __init__(self, offer: Offer, settings: Settings) -> None:
        self.offer = offer
        self.context = {
            "platform": "cloudfoundry",
            "organization_guid": str(uuid.uuid4()),
            "organization_name": "conformance",
            "space_guid": str(uuid.uuid4()),
            "space_name": "conformance",
        }
        self._settings = settings
        self.app_guid = str(uuid.uuid4())
        self.main = self.instance()
        """Lives through the whole walk."""
        self.synchronous = self.instance()
        """Asked for without permission to be asynchronous."""
        self.orphan = self.instance()
        """Its creation's answer is thrown away."""
        self.first = self.bound_to(self.main)
        """Binding for an app."""
        self.second = self.bound_to(self.main, f"conformance.{uuid.uuid4().hex[:8]}_~")
        """Binding for no app, with an id that is no GUID."""
        self.third = self.bound_to(self.main, f"conformance {uuid.uuid4().hex[:8]}+ü")
        """Binding with an id that has to be percent-encoded; deleted while it is being made."""
        self.successor = self.bound_to(self.main)
        """Binding that follows the first (rotation)."""
        self.changing = self.instance()
        """Its plan is changed."""
        self.earlier = self.bound_to(self.changing)
        """Binding of it from before."""
        self.later = self.bound_to(self.changing)
        """Binding that follows that one afterwards."""
        self.bare = self.bound_to(self.changing)
        """Another, asked for with nothing but its predecessor."""
        self.last = self.bound_to(self.main)
        """Binding that is there when the instance is asked to go."""

    def instance(self) -> Resource:
        """Return an instance that nobody has asked for yet."""
        name = f"conformance-{uuid.uuid4().hex[:8]}"
        body: dict[str, Any] = {
            **self.offer.ids,
            "organization_guid": self.context["organization_guid"],
            "space_guid": self.context["space_guid"],
            "context": {**self.context, "instance_name": name},
        }
        if self.offer.maintenance_version and self._settings.version >= (2, 15):
            body["maintenance_info"] = {"version": self.offer.maintenance_version}
        if self._settings.parameters is not None:
            body["parameters"] = dict(self._settings.parameters)
        return Resource(self.offer, str(uuid.uuid4()), body=body)

    def bound_to(self, instance: Resource, binding: str = "") -> Resource:
        """Return a binding of an instance that nobody has asked for yet."""
        body: dict[str, Any] = {
            **self.offer.ids,
            "context": self.context,
            "app_guid": self.app_guid,
            "bind_resource": {"app_guid": self.app_guid},
        }
        if self._settings.bind_parameters is not None:
            body["parameters"] = dict(self._settings.bind_parameters)
        return Resource(self.offer, instance.instance, binding or str(uuid.uuid4()), body=body)

    def without(self, body: Mapping[str, Any], *names: str) -> dict[str, Any]:
        """Return a body without some members."""
        return {name: value for name, value in body.items() if name not in names}


def _first(exchanges: list[Exchange], *statuses: int) -> Exchange | None:
    for status in statuses:
        for exchange in exchanges:
            if exchange.status == status:
                return exchange
    return None
