"""What a plan or a resource has to be like for a rule to be about it."""

from __future__ import annotations

from collections.abc import Collection

from alibroker.conformance.checks import NotApplicableError
from alibroker.conformance.offers import Offer, others
from alibroker.conformance.subject import Resource


def need_bindable(offer: Offer) -> None:
    """Go on only if instances of the plan can be bound."""
    if not offer.bindable:
        raise NotApplicableError("the plan is not bindable")


def need_retrievable(resource: Resource) -> None:
    """Go on only if the catalog says that such a resource can be fetched."""
    if resource.binding and not resource.offer.bindings_retrievable:
        raise NotApplicableError("bindings are not retrievable")
    if not resource.binding and not resource.offer.instances_retrievable:
        raise NotApplicableError("instances are not retrievable")


def need_rotatable(offer: Offer) -> None:
    """Go on only if the catalog says that bindings can be rotated."""
    if not offer.rotatable:
        raise NotApplicableError("binding_rotatable is not true")


def need_maintenance_version(offer: Offer) -> str:
    """Return the plan's maintenance version, and go on only if it has one."""
    if offer.maintenance_version is None:
        raise NotApplicableError("the plan has no maintenance_info")
    return offer.maintenance_version


def need_another(offers: Collection[Offer], offer: Offer) -> Offer:
    """Return another plan, of the same service if it has one."""
    found = others(offers, offer)
    if not found:
        raise NotApplicableError("the catalog has one plan only")
    return found[0]


def need_asynchronous_deletion(resource: Resource) -> None:
    """Go on only if its deletion was accepted as an asynchronous one."""
    if resource.removal is None or not resource.removal.has(202):
        raise NotApplicableError("nothing is deleted asynchronously")


def need_undeleted(resource: Resource) -> None:
    """Go on only if nobody has deleted it yet."""
    if resource.removal is not None:
        raise NotApplicableError("it is deleted already")
