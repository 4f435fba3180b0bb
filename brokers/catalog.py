"""The catalog: everything on offer, and the parameters each offer takes."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

from alibroker.brokers.api import Json, OperationKind, Plan, ServiceOffering
from alibroker.brokers.contract import Plugin
from alibroker.brokers.documents import CatalogError
from alibroker.brokers.offerings import faults, load_offerings
from alibroker.brokers.schemas import compile_schema, describe_faults, not_given, published_schemas

__all__ = ["Catalog", "CatalogError", "Service", "load_offerings"]

_UNPUBLISHED: Final = ("settings", "asynchronous_only", "hidden", "requires_app")


class Service(msgspec.Struct, frozen=True):
    """A service offering, and the name of the broker that makes it real."""

    offering: ServiceOffering
    broker: str


class Catalog:
    """What all brokers offer, made once; read by any number of threads."""

    document: bytes
    """The body of `GET /v2/catalog`."""
    etag: str
    """A strong entity tag of `document`, in quotes."""

    def __init__(self, plugins: Sequence[Plugin], not_loaded: Iterable[str] = ()) -> None:
        """Gather what `plugins` offer; `not_loaded` names those that cannot.

        Raises:
            CatalogError: An offering breaks a rule, or an id or name is used twice.
        """
        self.plugins = tuple(plugins)
        self.not_loaded = tuple(not_loaded)
        self._services: dict[str, Service] = {}
        self._plans: dict[str, tuple[ServiceOffering, Plan]] = {}
        self._checks: dict[tuple[str, OperationKind], tuple[jsonschema_rs.Validator, Json]] = {}
        offered = [(plugin.name, offering) for plugin in plugins for offering in plugin.offerings]
        for fault in faults(offering for _, offering in offered):
            raise CatalogError(f"the brokers' offerings together: {fault}")
        for broker, offering in offered:
            self._services[offering.id] = Service(offering, broker)
            for plan in offering.plans:
                self._plans[plan.id] = (offering, plan)
                for kind, schema in published_schemas(plan).items():
                    self._checks[plan.id, kind] = (compile_schema(schema), schema)
        self.document = msgspec.json.encode(
            {"services": list(filter(None, (_published(offering) for _, offering in offered)))}
        )
        self.compressed = gzip.compress(self.document, mtime=0)
        self.etag = f'"{hashlib.sha256(self.document).hexdigest()[:32]}"'

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, in the order of the document."""
        return tuple(self._services.values())

    def service(self, service_id: str) -> Service | None:
        """Return the service with this id, or None."""
        return self._services.get(service_id)

    def services_of(self, broker: str) -> frozenset[str]:
        """Return the ids of what the broker of this name offers."""
        found = self._services.values()
        return frozenset(one.offering.id for one in found if one.broker == broker)

    def plan(self, service_id: str, plan_id: str) -> Plan | None:
        """Return the plan with this id if it belongs to that service, or None."""
        offering, plan = self._plans.get(plan_id, (None, None))
        return plan if offering is not None and offering.id == service_id else None

    def bindable(self, plan_id: str) -> bool:
        """Tell whether instances of a known plan can be bound."""
        offering, plan = self._plans[plan_id]
        return offering.bindable if plan.bindable is None else plan.bindable

    def plan_updateable(self, plan_id: str) -> bool:
        """Tell whether instances can leave a known plan for another."""
        offering, plan = self._plans[plan_id]
        return offering.plan_updateable if plan.plan_updateable is None else plan.plan_updateable

    def not_given(self, plan_id: str, kind: OperationKind, parameters: Json) -> frozenset[str]:
        """Return the names of parameters that are null and thereby not given, or to be taken back.

        What a new instance has to have cannot be taken back.
        """
        check = self._checks.get((plan_id, kind))
        if check is None:
            return frozenset()
        _, schema = self._checks.get((plan_id, OperationKind.PROVISION), check)
        needed = schema.get("required", ()) if kind is OperationKind.UPDATE else ()
        return not_given(*check, parameters) - frozenset(needed)

    def check_parameters(self, plan_id: str, kind: OperationKind, parameters: Json) -> str | None:
        """Return what to change in the parameters of a request, or None if they may stay.

        The text names places and rules, never a value. A plan without a schema takes anything.
        """
        check = self._checks.get((plan_id, kind))
        return describe_faults(*check, parameters) if check else None


def _published(offering: ServiceOffering) -> dict[str, Any] | None:
    """Return the offering as platforms see it; None if they do not."""
    document: dict[str, Any] = msgspec.to_builtins(offering)
    # Their default in the OSB API is not ours, so they are always said.
    document["instances_retrievable"] = offering.instances_retrievable
    document["bindings_retrievable"] = offering.bindings_retrievable
    document["plans"] = [plan for plan in document["plans"] if not plan.get("hidden")]
    if not document["plans"]:
        return None
    for plan in document["plans"]:
        for name in _UNPUBLISHED:
            plan.pop(name, None)
        # Clients whose booleans know no absence read a missing one as false.
        for name in ("bindable", "plan_updateable"):
            if plan.get(name) is None:
                plan[name] = getattr(offering, name)
    return document
