"""Updates that change nothing, and updates that cannot be done (OSB, Updating).

None of them asks for another plan or other parameters: those may cost money, or cannot be guessed.
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
from alibroker.conformance.platform import fetch, finish, note_operation, patch
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
    context = {"context": session.subject.context}
    for what, body in (
        ("missing", context),
        ("empty", {**context, "service_id": ""}),
        ("a number", {**context, "service_id": 1}),
    ):
        exchange = patch(session, session.subject.main, body)
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
    service = {"service_id": session.subject.offer.service_id}
    for name in ("parameters", "context"):
        exchange = patch(session, session.subject.main, {**service, name: "text"})
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
    exchange = patch(session, main, body)
    yield from unless_refused(exchange, "update to an unknown plan")
    if main.offer.instances_retrievable and session.speaks(2, 14):
        after = fetch(session, main)
        if after.members.get("plan_id", main.offer.plan_id) != main.offer.plan_id:
            yield Problem("The plan has changed", (exchange, after))


@check(
    "UPD-15",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="An update that names another service is refused",
)
def update_of_another_service_is_refused(session: Session) -> Findings:
    """Name a service that the instance does not belong to."""
    body = {"service_id": "conformance-unknown", "context": session.subject.context}
    exchange = patch(session, session.subject.main, body)
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
    if session.subject.offer.maintenance_version is None:
        raise NotApplicableError("the plan has no maintenance_info")
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
    version = session.subject.offer.maintenance_version
    if version is None:
        raise NotApplicableError("the plan has no maintenance_info")
    yield from _no_change(session, {"maintenance_info": {"version": version}})


@check(
    "UPD-7",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 15),
    title="An update of the context alone is accepted, where the catalog says so",
)
def context_updates_are_accepted(session: Session) -> Findings:
    """Rename the instance."""
    if session.subject.offer.service.get("allow_context_updates") is not True:
        raise NotApplicableError("allow_context_updates is not true")
    context = {**session.subject.context, "instance_name": "conformance-renamed"}
    body = {"service_id": session.subject.offer.service_id, "context": context}
    yield from _accepted(session, patch(session, session.subject.main, body))


def _no_change(session: Session, more: dict[str, Any]) -> Findings:
    body = {**session.subject.offer.ids, "context": session.subject.context, **more}
    exchange = patch(session, session.subject.main, body)
    yield from _accepted(session, exchange)


def _accepted(session: Session, exchange: Exchange) -> Findings:
    """Find a problem unless an update succeeds, at once or later."""
    if exchange.has(200):
        return
    yield from unless(exchange, (200, 202), "update")
    if exchange.has(202):
        main = session.subject.main
        note_operation(main, exchange)
        outcome = finish(session, main)
        yield Remark("asynchronous")
        if outcome != "succeeded":
            yield Problem(f"update: {outcome}", (main.last_poll or exchange,))
        # Whatever came of the update, the instance is there.
        main.outcome = "succeeded"


def _with_version(session: Session, version: str) -> Exchange:
    body = {
        "service_id": session.subject.offer.service_id,
        "maintenance_info": {"version": version},
    }
    return patch(session, session.subject.main, body)


def _unless_conflict(exchange: Exchange) -> Findings:
    if not exchange.has(422) or exchange.text("error") != "MaintenanceInfoConflict":
        yield Problem(f"update: {exchange.outcome}, not MaintenanceInfoConflict", (exchange,))
