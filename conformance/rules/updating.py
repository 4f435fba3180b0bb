"""Updates that change nothing, and updates that cannot be done (OSB, Updating).

None of them asks for other parameters, which cannot be guessed. None asks for another plan, which
may cost money, unless the catalog says that plans cannot change.
"""

from __future__ import annotations

from typing import Any

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Remark,
    Stage,
    check,
    unless,
    unless_refused,
)
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import fetch, finish, is_running, note_operation, patch
from alibroker.conformance.rules.applicability import (
    need_another,
    need_maintenance_version,
    need_retrievable,
)
from alibroker.conformance.session import Session


@check(
    "UPD-1",
    "UPD-8",
    level=Level.MUST,
    stage=Stage.READY,
    title="An update without service_id is refused with 400",
)
def update_without_service_is_refused(session: Session) -> Findings:
    """Leave out, empty and spoil the only mandatory member."""
    _need_updates(session)
    context = {"context": session.subject.context}
    for what, body in (
        ("missing", context),
        ("empty", {**context, "service_id": ""}),
        ("a number", {**context, "service_id": 1}),
    ):
        exchange = _update(session, body)
        yield from unless(exchange, (400,), f"update with service_id {what}")


@check(
    "UPD-8",
    "BODY-8",
    level=Level.MUST,
    stage=Stage.READY,
    title="An update with members of the wrong type is refused with 400",
)
def update_with_wrong_types_is_refused(session: Session) -> Findings:
    """Send strings where objects have to be."""
    _need_updates(session)
    service = {"service_id": session.subject.offer.service_id}
    for name in ("parameters", "context"):
        exchange = _update(session, {**service, name: "text"})
        yield from unless(exchange, (400,), f"update with {name} that is a string")


@check(
    "UPD-6",
    "UPD-8",
    "UPD-10",
    level=Level.MUST,
    stage=Stage.READY,
    title="An update to an unknown plan is refused, and changes nothing",
)
def update_to_unknown_plan_is_refused(session: Session) -> Findings:
    """Ask for a plan that is not in the catalog."""
    main = session.subject.main
    body = {"service_id": main.offer.service_id, "plan_id": "conformance-unknown"}
    exchange = _update(session, body)
    yield from unless_refused(exchange, "update to an unknown plan")
    if main.offer.instances_retrievable and session.speaks(2, 14):
        after = fetch(session, main)
        if after.members.get("plan_id", main.offer.plan_id) != main.offer.plan_id:
            yield Problem("The plan has changed", (exchange, after))


@check(
    "UPD-5",
    level=Level.MUST,
    stage=Stage.READY,
    title="A plan changes only if the catalog says that it can",
)
def undeclared_plan_changes_are_refused(session: Session) -> Findings:
    """Ask for another plan where plan_updateable is not true; if it is granted, for the first."""
    main = session.subject.main
    if main.offer.plan_updateable:
        raise NotApplicableError("plan_updateable is true")
    _need_updates(session)
    other = need_another(session.offers, main.offer)
    if other.service_id != main.offer.service_id:
        raise NotApplicableError("the service has one plan only")
    exchange = _update(session, other.ids)
    yield from unless_refused(exchange, "update to another plan")
    if exchange.accepted:
        yield from _accepted(session, exchange)
        yield from _accepted(session, _update(session, main.offer.ids))
    elif not exchange.has(422):
        yield Remark(f"refused with {exchange.outcome}: 422 is what an unsupported change gets")


@check(
    "UPD-15",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="An update that names another service is refused",
)
def update_of_another_service_is_refused(session: Session) -> Findings:
    """Name a service that the instance does not belong to."""
    body = {"service_id": "conformance-unknown", "context": session.subject.context}
    exchange = _update(session, body)
    yield from unless_refused(exchange, "update with another service_id")


@check(
    "UPD-3",
    "UPD-9",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="An update with empty parameters and the same plan succeeds, and changes nothing",
)
def update_without_change_succeeds(session: Session) -> Findings:
    """Send what Cloud Foundry sends when only a name changes."""
    yield from _no_change(session, {"parameters": {}})


@check(
    "BODY-8",
    "UPD-4",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="previous_values are no reason to refuse an update, even if some are null",
)
def previous_values_are_informational(session: Session) -> Findings:
    """Send previous values as Cloud Foundry does."""
    previous = {
        **session.subject.offer.ids,
        "organization_id": session.subject.context["organization_guid"],
        "space_id": session.subject.context["space_guid"],
        "maintenance_info": None,
    }
    yield from _no_change(session, {"parameters": {}, "previous_values": previous})


@check(
    "MI-3",
    "UPD-8",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 15),
    title="An update with another maintenance version is refused: MaintenanceInfoConflict",
)
def maintenance_conflict_at_update(session: Session) -> Findings:
    """Send a version that is not the catalog's."""
    need_maintenance_version(session.subject.offer)
    yield from _unless_conflict(_with_version(session, "99.99.99-conformance"))


@check(
    "MI-4",
    level=Level.SHOULD,
    stage=Stage.READY,
    since=(2, 15),
    title="So is one with a version, where the plan has none",
)
def maintenance_conflict_without_version(session: Session) -> Findings:
    """Send a version to a plan without."""
    if session.subject.offer.maintenance_version is not None:
        raise NotApplicableError("the plan has maintenance_info")
    _need_updates(session)
    yield from _unless_conflict(_with_version(session, "1.0.0"))


@check(
    "MI-5",
    level=Level.SHOULD,
    stage=Stage.READY,
    since=(2, 15),
    title="An update with the catalog's maintenance version is accepted",
)
def same_maintenance_version_is_accepted(session: Session) -> Findings:
    """Send the version that the instance was created with."""
    version = need_maintenance_version(session.subject.offer)
    yield from _no_change(session, {"maintenance_info": {"version": version}})


@check(
    "CON-5",
    "FI-5",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 14),
    title="While an update runs, the instance can be fetched, or not for now: ConcurrencyError",
)
def instances_are_there_during_updates(session: Session) -> Findings:
    """Fetch it before an update that changes nothing has ended."""
    main = session.subject.main
    need_retrievable(main)
    _need_updates(session)
    update = patch(session, main, {**main.offer.ids, "parameters": {}})
    if not update.has(202):
        raise NotApplicableError("updates that change nothing are not asynchronous")
    note_operation(main, update)
    exchange = fetch(session, main)
    running = is_running(session, main)
    finish(session, main)
    main.outcome = "succeeded"
    if not running:
        raise NotApplicableError("the operation ended too soon to look at it")
    if not exchange.refused_for_now:
        yield from unless(exchange, (200,), "fetching during an update")


@check(
    "UPD-7",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 15),
    title="An update of the context alone is accepted, where the catalog says so",
)
def context_updates_are_accepted(session: Session) -> Findings:
    """Rename the instance."""
    if not session.subject.offer.allows_context_updates:
        raise NotApplicableError("allow_context_updates is not true")
    context = {**session.subject.context, "instance_name": "conformance-renamed"}
    body = {"service_id": session.subject.offer.service_id, "context": context}
    yield from _accepted(session, _update(session, body))


def _no_change(session: Session, more: dict[str, Any]) -> Findings:
    _need_updates(session)
    body = {**session.subject.offer.ids, "context": session.subject.context, **more}
    return _accepted(session, _update(session, body))


def _update(session: Session, body: Any) -> Exchange:
    """Ask for a change, and wait for its end: it must not be in the way of what comes next."""
    main = session.subject.main
    exchange = patch(session, main, body)
    main.updated = "succeeded"
    if exchange.has(202):
        note_operation(main, exchange)
        main.updated = finish(session, main)
        # Whatever came of the update, the instance is there.
        main.outcome = "succeeded"
    return exchange


def _accepted(session: Session, exchange: Exchange) -> Findings:
    """Find a problem unless the last update has succeeded, at once or later."""
    main = session.subject.main
    yield from unless(exchange, (200, 202), "update")
    if exchange.has(202):
        yield Remark("asynchronous")
    if exchange.has(202) and main.updated != "succeeded":
        yield Problem(f"update: {main.updated}", (main.last_poll or exchange,))


def _need_updates(session: Session) -> None:
    """Go on only if there are updates at all: a broker need not implement them.

    The instance is there, so that 404 can mean the endpoint only.
    """
    offer = session.subject.offer
    if offer.plan_updateable or offer.allows_context_updates:
        return
    exchange = _update(session, {})
    if exchange.has(404, 405, 501):
        raise NotApplicableError(f"the broker has no updates: {exchange.outcome}")


def _with_version(session: Session, version: str) -> Exchange:
    info = {"version": version}
    return _update(
        session, {"service_id": session.subject.offer.service_id, "maintenance_info": info}
    )


def _unless_conflict(exchange: Exchange) -> Findings:
    if not exchange.has(422) or exchange.text("error") != "MaintenanceInfoConflict":
        yield Problem(f"update: {exchange.outcome}, not MaintenanceInfoConflict", (exchange,))
