"""Binding (OSB, Binding)."""

from __future__ import annotations

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
from alibroker.conformance.platform import fetch, finish, put
from alibroker.conformance.rules.applicability import need_another, need_bindable
from alibroker.conformance.rules.creating import for_another_app
from alibroker.conformance.rules.fetching import holds_data, wrong_types
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource


@check(
    "BND-2",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="A bind to a plan that is not bindable is refused with 400",
)
def binds_to_unbindable_plans_are_refused(session: Session) -> Findings:
    """Bind all the same."""
    subject = session.subject
    if subject.offer.bindable:
        raise NotApplicableError("the plan is bindable")
    yield from unless(put(session, subject.bound_to(subject.main)), (400,), "bind")


@check(
    "BND-1",
    "BND-6",
    level=Level.MUST,
    stage=Stage.READY,
    title="A bind that lacks, or spoils, a mandatory member is refused with 400",
)
def incomplete_binds_are_refused(session: Session) -> Findings:
    """Leave out, empty and spoil members."""
    subject = session.subject
    need_bindable(session.subject.offer)
    for name in ("service_id", "plan_id"):
        body = subject.first.body
        for what, spoilt in (
            ("missing", subject.without(body, name)),
            ("empty", {**body, name: ""}),
            ("a number", {**body, name: 1}),
        ):
            exchange = put(session, subject.bound_to(subject.main), body=spoilt)
            yield from unless(exchange, (400,), f"bind with {name} {what}")
    for name in ("parameters", "bind_resource", "context"):
        exchange = put(
            session, subject.bound_to(subject.main), body={**subject.first.body, name: "text"}
        )
        yield from unless(exchange, (400,), f"bind with {name} that is a string")


@check(
    "BND-1",
    "PRO-2",
    level=Level.MUST,
    stage=Stage.READY,
    title="A bind that names an unknown service or plan is refused",
)
def binds_of_unknown_offers_are_refused(session: Session) -> Findings:
    """Name what is not in the catalog."""
    need_bindable(session.subject.offer)
    subject = session.subject
    for name in ("service_id", "plan_id"):
        body = {**subject.first.body, name: "conformance-unknown"}
        exchange = put(session, subject.bound_to(subject.main), body=body)
        yield from unless_refused(exchange, f"bind with unknown {name}")


@check(
    "BND-15",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="A bind that names another plan than the instance's is refused with 400",
)
def binds_of_another_plan_are_refused(session: Session) -> Findings:
    """Name a plan that the catalog has and the instance has not."""
    subject = session.subject
    need_bindable(subject.offer)
    other = need_another(session.offers, subject.offer)
    binding = subject.bound_to(subject.main)
    binding.offer = other
    exchange = put(session, binding, body={**binding.body, **other.ids})
    yield from unless(exchange, (400,), "bind with another plan")


@check(
    "BND-15",
    level=Level.SHOULD,
    stage=Stage.BOUND,
    title="So is one with the id of a binding that is there, or it is a conflict: 409",
)
def repeated_binds_of_another_plan_are_refused(session: Session) -> Findings:
    """Repeat the bind with another plan."""
    first = session.subject.first
    other = need_another(session.offers, first.offer)
    exchange = put(session, first, body={**first.body, **other.ids})
    yield from unless(exchange, (400, 409), "the bind again, with another plan")


@check(
    "BND-6",
    level=Level.MUST,
    stage=Stage.BINDING,
    title="A bind is answered with 201 or 202",
)
def bind_is_accepted(session: Session) -> Findings:
    """Look at the answers to the requests that were sent at once."""
    exchanges = session.subject.first.requested
    if all(exchange.needs_asynchrony for exchange in exchanges) and not session.speaks(2, 14):
        raise NotApplicableError("bindings of this plan are asynchronous, which 2.13 has not")
    if not any(exchange.status in (201, 202) for exchange in exchanges):
        hint = " (does it need --bind-parameters?)" if exchanges[0].has(400) else ""
        yield Problem(f"bind: {exchanges[0].explained}, not 201 or 202{hint}", (exchanges[0],))


@check(
    "BND-8",
    level=Level.MUST,
    stage=Stage.BOUND,
    title="A bind gives credentials, or something else to use, in the right types",
)
def bind_gives_credentials(session: Session) -> Findings:
    """Look at the answers that say that a binding was created."""
    created = [one for one in session.subject.first.requested if one.has(201)]
    if not created:
        raise NotApplicableError("the binding was created asynchronously")
    for exchange in created:
        yield from wrong_types(exchange, {"credentials": dict, "volume_mounts": list})
        if not holds_data(exchange):
            yield Problem("There are neither credentials nor anything else to use", (exchange,))


@check(
    "BND-6",
    level=Level.SHOULD,
    stage=Stage.BOUND,
    title="The same bind again is answered with 200 and the same data",
)
def repeated_bind_is_no_change(session: Session) -> Findings:
    """Repeat the bind."""
    first = session.subject.first
    exchange = put(session, first)
    yield from unless(exchange, (200,), "the same bind again")
    before = next((one for one in first.requested if one.has(201)), None)
    if before is None or not exchange.has(200) or not holds_data(exchange):
        return
    if before.members.get("credentials") != exchange.members.get("credentials"):
        yield Problem("The credentials are other ones", (before, exchange))


@check(
    "BND-6",
    level=Level.MUST,
    stage=Stage.BOUND,
    title="The same bind again is no conflict",
)
def repeated_bind_is_no_conflict(session: Session) -> Findings:
    """Repeat the bind; since 2.14 the 200 is recommended only."""
    exchange = put(session, session.subject.first)
    allowed = (200, 201, 202) if session.speaks(2, 14) else (200,)
    yield from unless(exchange, allowed, "the same bind again")


@check(
    "BND-6",
    level=Level.MUST,
    stage=Stage.BOUND,
    title="Another bind with the same id is answered with 409",
)
def different_bind_is_a_conflict(session: Session) -> Findings:
    """Ask for the binding for another app."""
    first = session.subject.first
    yield from unless(put(session, first, body=for_another_app(first)), (409,), "another bind")


@check(
    "BND-5",
    level=Level.MUST,
    stage=Stage.BOUND,
    title="A bind without app is done, or refused: RequiresApp",
)
def bind_without_app_is_done_or_refused(session: Session) -> Findings:
    """Look at the binding that is for no app."""
    second = session.subject.second
    exchange = second.requested[0]
    if exchange.has(422) and exchange.text("error") == "RequiresApp":
        yield Remark("the service binds apps only")
    elif exchange.refused_for_now:
        exchange = put(session, second)
        second.requested.append(exchange)
        yield Remark("not while another binding is being created")
    if exchange.has(422) and exchange.text("error") not in ("RequiresApp", "ConcurrencyError"):
        yield Problem(f"bind without app: {exchange.outcome}", (exchange,))


@check(
    "BND-8",
    level=Level.SHOULD,
    stage=Stage.BOUND,
    title="Two bindings have credentials of their own",
)
def credentials_differ(session: Session) -> Findings:
    """Compare two bindings."""
    subject = session.subject
    if subject.second.accepted is None or finish(session, subject.second) != "succeeded":
        raise NotApplicableError("there is no second binding")
    one, other = (_data(session, binding) for binding in (subject.first, subject.second))
    if one is None or other is None:
        raise NotApplicableError("the credentials cannot be seen")
    if one.members.get("credentials") == other.members.get("credentials"):
        yield Problem("Two bindings have the same credentials", (one, other))


def _data(session: Session, binding: Resource) -> Exchange | None:
    """Return an answer with the credentials of a binding."""
    for exchange in binding.requested:
        if exchange.members.get("credentials"):
            return exchange
    if binding.offer.bindings_retrievable and session.speaks(2, 14):
        exchange = fetch(session, binding)
        if exchange.members.get("credentials"):
            return exchange
    return None
