"""What the catalog offers, read with patience: checks of its form come later."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Offer:
    """A plan of a service."""

    service: Json
    plan: Json

    @property
    def service_id(self) -> str:
        """Id of the service."""
        return str(self.service.get("id", ""))

    @property
    def plan_id(self) -> str:
        """Id of the plan."""
        return str(self.plan.get("id", ""))

    @property
    def ids(self) -> dict[str, str]:
        """Both ids, as bodies and queries want them."""
        return {"service_id": self.service_id, "plan_id": self.plan_id}

    @property
    def label(self) -> str:
        """Names of service and plan."""
        return f"{self.service.get('name')}/{self.plan.get('name')}"

    @property
    def bindable(self) -> bool:
        """Whether instances can be bound (OSB, Binding)."""
        return bool(self.plan.get("bindable", self.service.get("bindable")))

    @property
    def instances_retrievable(self) -> bool:
        """Whether instances can be fetched."""
        return self.service.get("instances_retrievable") is True

    @property
    def bindings_retrievable(self) -> bool:
        """Whether bindings can be fetched."""
        return self.service.get("bindings_retrievable") is True

    @property
    def plan_updateable(self) -> bool:
        """Whether instances may change from this plan to another; a plan's own word counts."""
        return self.plan.get("plan_updateable", self.service.get("plan_updateable")) is True

    @property
    def allows_context_updates(self) -> bool:
        """Whether the context alone may be updated (OSB 2.15)."""
        return self.service.get("allow_context_updates") is True

    @property
    def rotatable(self) -> bool:
        """Whether bindings can be rotated (OSB 2.17)."""
        return self.plan.get("binding_rotatable") is True

    @property
    def maintenance_version(self) -> str | None:
        """Version of the plan's maintenance information."""
        info = self.plan.get("maintenance_info")
        version = info.get("version") if isinstance(info, dict) else None
        return version if isinstance(version, str) else None


def offers_in(catalog: Json) -> tuple[Offer, ...]:
    """Return all plans that can be asked for."""
    return tuple(
        Offer(service, plan)
        for service in objects(catalog.get("services"))
        for plan in objects(service.get("plans"))
        if isinstance(service.get("id"), str) and isinstance(plan.get("id"), str)
    )


def others(offers: Collection[Offer], offer: Offer) -> list[Offer]:
    """Return all other plans, those that are most like it first."""
    found = [one for one in offers if one.ids != offer.ids]
    return sorted(
        found,
        key=lambda one: (one.service_id != offer.service_id, one.bindable != offer.bindable),
    )


def rotatable_others(offers: Collection[Offer], offer: Offer) -> list[Offer]:
    """Return the plans that a bound instance can change to and be rotated in, free ones first."""
    if not offer.plan_updateable:
        return []
    found = [
        one
        for one in others(offers, offer)
        if one.service_id == offer.service_id and one.bindable and one.rotatable
    ]
    return sorted(found, key=lambda one: one.plan.get("free") is not True)


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in what should be an array of them."""
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            yield item


def choose(
    offers: Collection[Offer], service: str | None, plans: Collection[str]
) -> tuple[Offer, ...]:
    """Return the plans to try: those named, else the first bindable one of each service."""
    wanted = [offer for offer in offers if service in (None, offer.service.get("name"))]
    if plans:
        return tuple(offer for offer in wanted if offer.plan.get("name") in plans)
    chosen: dict[str, Offer] = {}
    for offer in wanted:
        before = chosen.setdefault(offer.service_id, offer)
        if offer.bindable and not before.bindable:
            chosen[offer.service_id] = offer
    return tuple(chosen.values())
