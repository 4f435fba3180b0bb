"""Fetching instances and bindings that are ready (OSB 2.14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Stage,
    check,
    unless,
)
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import fetch
from alibroker.conformance.rules.applicability import need_retrievable
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource


@check(
    "FI-1",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 14),
    title="An instance can be fetched as soon as its provision has succeeded",
)
def instances_can_be_fetched(session: Session) -> Findings:
    """Fetch it."""
    yield from unless(_instance(session), (200,), "fetching the instance")


@check(
    "FI-3",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 14),
    title="A fetched instance is what was asked for, in the right types",
)
def fetched_instance_is_right(session: Session) -> Findings:
    """Compare ids and types of what is there."""
    exchange = _found(_instance(session))
    for name, wanted in session.subject.offer.ids.items():
        if exchange.members.get(name, wanted) not in (wanted, None):
            yield Problem(f"{name} is not the one of the provision", (exchange,))
    yield from wrong_types(exchange, {"parameters": dict, "dashboard_url": str, "metadata": dict})


@check(
    "FI-3",
    level=Level.SHOULD,
    stage=Stage.READY,
    since=(2, 14),
    title="A fetched instance names its service and plan",
)
def fetched_instance_names_its_plan(session: Session) -> Findings:
    """Look for ids."""
    exchange = _found(_instance(session))
    for name in session.subject.offer.ids:
        if name not in exchange.members:
            yield Problem(f"{name} is missing", (exchange,))


@check(
    "FI-2",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 16),
    title="Service and plan may be named when an instance is fetched",
)
def hints_are_accepted(session: Session) -> Findings:
    """Fetch with ids in the query."""
    _found(_instance(session))
    exchange = fetch(session, session.subject.main, tuple(session.subject.offer.ids.items()))
    yield from unless(exchange, (200,), "fetching the instance with hints")


@check(
    "FB-1",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 14),
    title="A binding can be fetched as soon as its bind has succeeded",
)
def bindings_can_be_fetched(session: Session) -> Findings:
    """Fetch it; if it was created asynchronously there is no other way to it."""
    first = session.subject.first
    if first.asynchronous and not first.offer.bindings_retrievable:
        shown = (first.accepted,) if first.accepted else ()
        yield Problem("Binds are asynchronous, but bindings_retrievable is not true", shown)
        return
    yield from unless(_binding(session, first), (200,), "fetching the binding")


@check(
    "FB-3",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 14),
    title="A fetched binding has its credentials, if there was no other way to them",
)
def fetched_binding_has_credentials(session: Session) -> Findings:
    """Look for what an application needs."""
    first = session.subject.first
    exchange = _found(_binding(session, first))
    kinds = {
        "credentials": dict,
        "syslog_drain_url": str,
        "route_service_url": str,
        "volume_mounts": list,
        "parameters": dict,
        "endpoints": list,
        "metadata": dict,
    }
    yield from wrong_types(exchange, kinds)
    if first.asynchronous and not holds_data(exchange):
        yield Problem("There are neither credentials nor anything else to use", (exchange,))


def wrong_types(exchange: Exchange, kinds: Mapping[str, type]) -> Findings:
    """Find members of other types; null is left to another check."""
    for name, kind in kinds.items():
        value = exchange.members.get(name)
        if value is not None and not isinstance(value, kind):
            yield Problem(f"{name} is {type(value).__name__}, not {kind.__name__}", (exchange,))


def holds_data(exchange: Exchange) -> bool:
    """Tell whether an answer has what a bind is for."""
    members: dict[str, Any] = exchange.members
    names = ("credentials", "syslog_drain_url", "route_service_url", "volume_mounts")
    return any(members.get(name) for name in names)


def _instance(session: Session) -> Exchange:
    need_retrievable(session.subject.main)
    return fetch(session, session.subject.main)


def _binding(session: Session, binding: Resource) -> Exchange:
    need_retrievable(binding)
    return fetch(session, binding)


def _found(exchange: Exchange) -> Exchange:
    if not exchange.has(200):
        raise NotApplicableError(f"fetching is answered {exchange.explained}")
    return exchange
