"""Requests that name what does not exist."""

from __future__ import annotations

import uuid

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Stage,
    check,
    unless,
    unless_refused,
)
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import delete, fetch, patch, poll, put
from alibroker.conformance.rules.applicability import need_bindable, need_retrievable
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource

UNKNOWN = "conformance-unknown"


@check(
    "PRO-2",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="A provision of an unknown service or plan, or of another service's plan, is refused",
)
def unknown_offers_are_refused(session: Session) -> Findings:
    """Name what is not in the catalog."""
    for what, exchange in _unknown_offers(session):
        yield from unless_refused(exchange, what)


@check(
    "PRO-2",
    level=Level.SHOULD,
    stage=Stage.REFUSED,
    title="That refusal is a 400",
)
def unknown_offers_are_bad_requests(session: Session) -> Findings:
    """Name what is not in the catalog."""
    for what, exchange in _unknown_offers(session):
        yield from unless(exchange, (400,), what)


@check(
    "LI-6",
    level=Level.MUST,
    stage=Stage.REFUSED,
    since=(2, 16),
    title="A poll of an unknown instance is answered with 404",
)
def polls_of_unknown_instances_are_not_found(session: Session) -> Findings:
    """Poll what was never asked for."""
    instance = session.subject.instance()
    yield from unless(poll(session, instance), (404,), "poll of an unknown instance")
    yield from unless(poll(session, instance, ()), (404,), "the same without service and plan")


@check(
    "LI-6",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 16),
    title="A poll of an unknown binding is answered with 404",
)
def polls_of_unknown_bindings_are_not_found(session: Session) -> Findings:
    """Poll what was never asked for, of an instance that is there."""
    if not session.subject.first.asynchronous:
        raise NotApplicableError("binds are not asynchronous")
    binding = session.subject.bound_to(session.subject.main)
    yield from unless(poll(session, binding), (404,), "poll of an unknown binding")


@check(
    "FI-4",
    level=Level.MUST,
    stage=Stage.REFUSED,
    since=(2, 14),
    title="An unknown instance cannot be fetched: 404",
)
def unknown_instances_are_not_found(session: Session) -> Findings:
    """Fetch what was never asked for."""
    instance = session.subject.instance()
    need_retrievable(instance)
    yield from unless(fetch(session, instance), (404,), "unknown instance")


@check(
    "FB-4",
    level=Level.MUST,
    stage=Stage.READY,
    since=(2, 14),
    title="An unknown binding cannot be fetched: 404",
)
def unknown_bindings_are_not_found(session: Session) -> Findings:
    """Fetch what was never asked for, of an instance that is there and of one that is not."""
    subject = session.subject
    need_retrievable(subject.first)
    for what, instance in (("this", subject.main), ("an unknown", subject.instance())):
        exchange = fetch(session, subject.bound_to(instance))
        yield from unless(exchange, (404,), f"unknown binding of {what} instance")


@check(
    "DEP-3",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="The deletion of an unknown instance is answered with 410",
)
def unknown_instances_are_gone(session: Session) -> Findings:
    """Delete what was never asked for."""
    exchange = delete(session, session.subject.instance())
    yield from unless(exchange, (410,), "deletion of an unknown instance")


@check(
    "DEP-7",
    level=Level.SHOULD,
    stage=Stage.REFUSED,
    title="The deletion of an unknown instance of an unknown plan is answered with 410 or 400",
)
def unknown_instances_of_unknown_plans_are_gone(session: Session) -> Findings:
    """Delete what was never asked for, with ids that are not in the catalog."""
    ids = dict.fromkeys(session.subject.offer.ids, UNKNOWN)
    exchange = delete(session, session.subject.instance(), ids=ids)
    yield from unless(exchange, (400, 410), "deletion of an unknown instance of an unknown plan")


@check(
    "ASY-7",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="The same without accepts_incomplete is answered with 410, or 422 AsyncRequired",
)
def unknown_instances_are_gone_at_once(session: Session) -> Findings:
    """Delete what was never asked for, synchronously."""
    exchange = delete(session, session.subject.instance(), incomplete=False)
    if not exchange.needs_asynchrony:
        yield from unless(exchange, (410,), "synchronous deletion of an unknown instance")


@check(
    "UNB-3",
    level=Level.MUST,
    stage=Stage.READY,
    title="The deletion of an unknown binding is answered with 410",
)
def unknown_bindings_are_gone(session: Session) -> Findings:
    """Delete what was never asked for, of an instance that is there."""
    need_bindable(session.subject.offer)
    exchange = delete(session, session.subject.bound_to(session.subject.main))
    yield from unless(exchange, (410,), "deletion of an unknown binding")


@check(
    "UNB-3",
    level=Level.SHOULD,
    stage=Stage.REFUSED,
    title="So is the deletion of a binding of an unknown instance",
)
def bindings_of_unknown_instances_are_gone(session: Session) -> Findings:
    """Delete what was never asked for."""
    need_bindable(session.subject.offer)
    exchange = delete(session, session.subject.bound_to(session.subject.instance()))
    yield from unless(exchange, (410,), "deletion of a binding of an unknown instance")


@check(
    "UPD-14",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="An update of an unknown instance is refused",
)
def updates_of_unknown_instances_are_refused(session: Session) -> Findings:
    """Change what was never asked for."""
    yield from unless_refused(_update_unknown(session), "update of an unknown instance")


@check(
    "UPD-14",
    level=Level.SHOULD,
    stage=Stage.REFUSED,
    title="That refusal is a 404",
)
def updates_of_unknown_instances_are_not_found(session: Session) -> Findings:
    """Change what was never asked for; a broker need not have updates."""
    exchange = _update_unknown(session)
    if exchange.has(405, 501):
        raise NotApplicableError(f"the broker has no updates: {exchange.outcome}")
    yield from unless(exchange, (404,), "update of an unknown instance")


@check(
    "BND-14",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="A bind to an unknown instance is refused",
)
def binds_to_unknown_instances_are_refused(session: Session) -> Findings:
    """Bind what was never asked for."""
    yield from unless_refused(_bind_unknown(session), "bind to an unknown instance")


@check(
    "BND-14",
    level=Level.SHOULD,
    stage=Stage.REFUSED,
    title="That refusal is no 422 of its own, which makes platforms clean up",
)
def binds_to_unknown_instances_are_not_found(session: Session) -> Findings:
    """Bind what was never asked for."""
    exchange = _bind_unknown(session)
    if exchange.has(422) and not exchange.refused_for_now:
        yield Problem(f"bind to an unknown instance: {exchange.outcome}", (exchange,))


def _unknown_offers(session: Session) -> list[tuple[str, Exchange]]:
    subject = session.subject
    wrong = {
        "unknown service": {"service_id": UNKNOWN},
        "unknown plan": {"plan_id": UNKNOWN},
        "service and plan exchanged": {
            "service_id": subject.offer.plan_id,
            "plan_id": subject.offer.service_id,
        },
    }
    foreign = [one for one in session.offers if one.service_id != subject.offer.service_id]
    if foreign:
        wrong["plan of another service"] = {"plan_id": foreign[0].plan_id}
    found = []
    for what, ids in wrong.items():
        instance = subject.instance()
        found.append((what, put(session, instance, body={**instance.body, **ids})))
    return found


def _update_unknown(session: Session) -> Exchange:
    body = {"service_id": session.subject.offer.service_id, "context": session.subject.context}
    return patch(session, session.subject.instance(), body)


def _bind_unknown(session: Session) -> Exchange:
    need_bindable(session.subject.offer)
    nowhere = Resource(session.subject.offer, str(uuid.uuid4()))
    return put(session, session.subject.bound_to(nowhere))
