"""Provisioning: what comes before, and what holds of, an instance that is ready."""

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
)
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import fetch, put, remove
from alibroker.conformance.rules.applicability import (
    need_maintenance_version,
    need_retrievable,
)
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource


@check(
    "ASY-2",
    "ASY-3",
    "PRO-5",
    level=Level.MUST,
    stage=Stage.SYNCHRONOUS,
    title="Without accepts_incomplete a provision is done at once, or refused: AsyncRequired",
)
def synchronous_provision_is_done_or_refused(session: Session) -> Findings:
    """Look at the answer to a provision with `accepts_incomplete=false`."""
    resource = session.subject.synchronous
    exchange = resource.requested[0]
    if exchange.needs_asynchrony:
        yield Remark("the plan is asynchronous only")
        absent = put(session, resource, incomplete=False)
        if not absent.needs_asynchrony:
            yield Problem(f"without accepts_incomplete: {absent.outcome}", (absent,))
        return
    yield from unless(exchange, (201,), "provision with accepts_incomplete=false")


@check(
    "ASY-6",
    level=Level.SHOULD,
    stage=Stage.SYNCHRONOUS,
    title="Only the text `true` permits an asynchronous answer",
)
def only_true_is_true(session: Session) -> Findings:
    """Send other values to a plan that is asynchronous only."""
    resource = session.subject.synchronous
    if not resource.requested[0].needs_asynchrony:
        raise NotApplicableError("the plan is not asynchronous only")
    for value in ("True", "1", ""):
        exchange = put(session, resource, query=(("accepts_incomplete", value),))
        if not exchange.needs_asynchrony:
            yield from unless(exchange, (400,), f"provision with accepts_incomplete={value}")


@check(
    "PRO-4",
    level=Level.MUST,
    stage=Stage.SYNCHRONOUS,
    title="A synchronously created instance is there: the same again is no conflict",
)
def synchronous_instance_is_there(session: Session) -> Findings:
    """Repeat the provision."""
    resource = _synchronous(session)
    exchange = put(session, resource, incomplete=False)
    yield from unless(exchange, (200, 201), "the same provision again")


@check(
    "DEP-3",
    "ASY-2",
    level=Level.MUST,
    stage=Stage.SYNCHRONOUS,
    title="Without accepts_incomplete a deprovision is done at once, or refused: AsyncRequired",
)
def synchronous_deprovision_is_done_or_refused(session: Session) -> Findings:
    """Delete the instance that was created synchronously."""
    resource = _synchronous(session)
    exchange = remove(session, resource, incomplete=False)
    if exchange.needs_asynchrony:
        yield Remark("asynchronous only")
        return
    yield from unless(exchange, (200,), "deprovision without accepts_incomplete")
    if exchange.has(200):
        again = remove(session, resource, incomplete=False)
        yield from unless(again, (410,), "the same deprovision again")


@check(
    "PRO-4",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="A provision is answered with 201 or 202",
)
def provision_is_accepted(session: Session) -> Findings:
    """Look at the answers to the requests that were sent at once."""
    exchanges = session.subject.main.requested
    if not any(exchange.status in (201, 202) for exchange in exchanges):
        hint = " (does the plan need --parameters?)" if exchanges[0].has(400) else ""
        yield Problem(f"provision: {exchanges[0].explained}, not 201 or 202{hint}", (exchanges[0],))


@check(
    "PRO-4",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="The same provision again is answered with 200",
)
def repeated_provision_is_no_change(session: Session) -> Findings:
    """Repeat the provision of an instance that is ready."""
    yield from unless(put(session, session.subject.main), (200,), "the same provision again")


@check(
    "PRO-4",
    level=Level.MUST,
    stage=Stage.READY,
    title="The same provision again is no conflict, whatever the order of its members",
)
def repeated_provision_is_no_conflict(session: Session) -> Findings:
    """Repeat the provision, also with its members in another order."""
    main = session.subject.main
    turned = dict(reversed(list(main.body.items())))
    for what, body in (("", main.body), (" in another order", turned)):
        exchange = put(session, main, body=body)
        if not exchange.has(200):
            # Since 2.14 the 200 is recommended; these would be wrong in any version.
            ok = exchange.status in (201, 202) and session.speaks(2, 14)
            if not ok:
                yield Problem(f"the same provision again{what}: {exchange.outcome}", (exchange,))


@check(
    "PRO-4",
    level=Level.MUST,
    stage=Stage.READY,
    title="Another provision with the same id is answered with 409",
)
def different_provision_is_a_conflict(session: Session) -> Findings:
    """Ask for the instance with other attributes."""
    exchange = put_different(session, session.subject.main)
    yield from unless(exchange, (409,), "another provision")


@check(
    "BODY-4",
    level=Level.MUST,
    stage=Stage.READY,
    title="Members that nobody knows are ignored",
)
def unknown_members_are_ignored(session: Session) -> Findings:
    """Repeat the provision with more than there was."""
    main = session.subject.main
    plain = put(session, main)
    more = {"conformance_unknown": {"a": [1, None]}, "conformance_other": 1}
    context = {**main.body["context"], "conformance_unknown": "a"}
    exchange = put(session, main, body={**main.body, **more, "context": context})
    yield from unless(exchange, (plain.status,), "the same provision with unknown members")


@check(
    "BODY-1",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="The content type may have parameters and any case",
)
def content_type_may_have_parameters(session: Session) -> Findings:
    """Repeat the provision with a charset."""
    main = session.subject.main
    plain = put(session, main)
    for value in ("application/json; charset=UTF-8", "application/JSON;charset=utf-8"):
        exchange = put(session, main, headers={"Content-Type": value})
        yield from unless(exchange, (plain.status,), f"Content-Type {value}")


@check(
    "BODY-8",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="An optional member that is null is as good as none",
)
def null_is_as_good_as_none(session: Session) -> Findings:
    """Repeat the provision with nulls where nothing was."""
    main = session.subject.main
    nulls = dict.fromkeys(("parameters", "maintenance_info"))
    plain = put(session, main)
    exchange = put(session, main, body={**nulls, **main.body})
    yield from unless(exchange, (plain.status,), "the same provision with nulls")


@check(
    "DASH-1",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 14),
    title="A dashboard that the instance has is in the provision's answer already",
)
def dashboard_comes_first(session: Session) -> Findings:
    """Compare the provision's answer with the instance."""
    main = session.subject.main
    need_retrievable(main)
    exchange = fetch(session, main)
    if not exchange.text("dashboard_url"):
        raise NotApplicableError("the instance has no dashboard")
    first = main.accepted
    if first is not None and not first.text("dashboard_url"):
        yield Problem("dashboard_url is in the fetched instance only", (first, exchange))


@check(
    "MI-3",
    "PRO-5",
    level=Level.MUST,
    stage=Stage.REFUSED,
    since=(2, 15),
    title="A provision with another maintenance version is refused: MaintenanceInfoConflict",
)
def maintenance_conflict_at_provision(session: Session) -> Findings:
    """Send a version that is not the catalog's."""
    subject = session.subject
    need_maintenance_version(subject.offer)
    instance = subject.instance()
    info = {"version": "99.99.99-conformance"}
    exchange = put(session, instance, body={**instance.body, "maintenance_info": info})
    if not exchange.has(422) or exchange.text("error") != "MaintenanceInfoConflict":
        yield Problem(f"provision: {exchange.outcome}, not MaintenanceInfoConflict", (exchange,))


def different(session: Session, instance: Resource) -> list[dict[str, Any]]:
    """Return bodies that differ from the instance's, the one that differs most first."""
    ids = instance.offer.ids
    others = [
        offer.ids
        for offer in session.offers
        if offer.service_id == ids["service_id"] and offer.plan_id != ids["plan_id"]
    ]
    place = {"organization_guid": "conformance-a", "space_guid": "conformance-b"}
    context = {**instance.body["context"], **place}
    elsewhere = {**instance.body, **place, "context": context}
    bare = session.subject.without(elsewhere, "maintenance_info")
    return [*({**bare, **other} for other in others[:1]), elsewhere]


def put_different(session: Session, instance: Resource) -> Exchange:
    """Ask for the instance with other attributes.

    Parameters that do not suit another plan may be refused before anything is compared (400).
    """
    for body in different(session, instance):
        exchange = put(session, instance, body=body)
        if not exchange.has(400):
            break
    return exchange


def _synchronous(session: Session) -> Resource:
    resource = session.subject.synchronous
    if not resource.requested[0].has(201):
        raise NotApplicableError("no instance was created synchronously")
    return resource
