"""The walk through a plan: what has to be done to come from one stage to the next."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from alibroker.conformance.checks import Stage
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.offers import Offer, rotatable_others
from alibroker.conformance.platform import (
    create,
    finish,
    note_operation,
    note_request,
    patch,
    put,
    remove,
    wait_until_idle,
)
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource, listed

AT_ONCE = 4
"""Identical requests that are sent at the same time."""


class CannotError(Exception):
    """A stage cannot be reached; the text says why."""


@dataclass(frozen=True)
class Step:
    """How a stage is entered and left, and what that creates at the most."""

    enter: Callable[[Session], None]
    needs: Stage | None = None
    leave: Callable[[Session], None] = lambda _: None
    instances: int = 0
    bindings: int = 0
    why_not: Callable[[Offer, Collection[Offer]], str] = lambda _offer, _offers: ""
    """Says of a plan, among all others, why it does not have this stage; empty if it has."""


def counts(offer: Offer, offers: Collection[Offer], stages: Collection[Stage]) -> tuple[int, int]:
    """Return how many instances and bindings a walk through these stages creates at the most."""
    steps = [STEPS[stage] for stage in stages if not STEPS[stage].why_not(offer, offers)]
    return sum(step.instances for step in steps), sum(step.bindings for step in steps)


def _not_bindable(offer: Offer, _offers: Collection[Offer]) -> str:
    return "" if offer.bindable else "the plan is not bindable"


def _not_changed(offer: Offer, offers: Collection[Offer]) -> str:
    if not (offer.bindable and offer.rotatable):
        return "binding_rotatable is not true"
    if not rotatable_others(offers, offer):
        return "the catalog has no other rotatable plan that an instance can change to"
    return ""


def closure(stages: Collection[Stage]) -> list[Stage]:
    """Return the stages, and those that lead to them, in order."""
    wanted: set[Stage] = set()
    for stage in stages:
        now: Stage | None = stage
        while now is not None:
            wanted.add(now)
            now = STEPS[now].needs
    return [stage for stage in STEPS if stage in wanted]


def settle(session: Session, resource: Resource) -> None:
    """Delete what was created for a stage, if it is still there, and wait for the end."""
    if session.ledger.holds(resource.instance, resource.binding):
        if resource.accepted is not None and not resource.outcome:
            finish(session, resource)
        remove(session, resource)
        if resource.removal is not None:
            finish(session, resource)


def _enter_refused(_session: Session) -> None:
    pass


def _enter_synchronous(session: Session) -> None:
    resource = session.subject.synchronous
    create(session, resource, query=(("accepts_incomplete", "false"),))


def _leave_synchronous(session: Session) -> None:
    settle(session, session.subject.synchronous)


def _enter_creating(session: Session) -> None:
    _at_once(session, session.subject.main)


def _enter_ready(session: Session) -> None:
    _succeed(session, session.subject.main)


def _enter_binding(session: Session) -> None:
    # An update that was asked for while the instance was being created may be going on.
    wait_until_idle(session, session.subject.main)
    _at_once(session, session.subject.first)


def _enter_bound(session: Session) -> None:
    subject = session.subject
    _succeed(session, subject.first)
    # One of them is for no app, as Cloud Foundry's service keys are.
    subject.second.body = subject.without(subject.second.body, "app_guid", "bind_resource")
    both = (subject.second, subject.third)
    for resource, exchange in zip(
        both, session.together([partial(put, session, one) for one in both]), strict=True
    ):
        note_request(resource, exchange)


def _enter_unbinding(session: Session) -> None:
    remove(session, session.subject.first)


def _enter_unbound(session: Session) -> None:
    _end(session, session.subject.first)


def _enter_last_binding(session: Session) -> None:
    if session.subject.main.removal is not None:
        raise CannotError("the instance was deleted by a request that was to be refused")
    create(session, session.subject.last)
    _succeed(session, session.subject.last)


def _leave_last_binding(session: Session) -> None:
    if session.subject.main.removal is None:
        settle(session, session.subject.last)


def _settle_bindings(session: Session) -> None:
    subject = session.subject
    for binding in (subject.first, subject.second, subject.third, subject.successor):
        settle(session, binding)
    # A broker that accepts what it should refuse has more of them.
    for entry in session.ledger.entries():
        if entry.binding and entry.instance == subject.main.instance:
            settle(session, listed(entry))


def _enter_deleting(session: Session) -> None:
    subject = session.subject
    if subject.main.removal is not None:
        # A request that was to be refused was not.
        return
    if subject.synchronous.accepted is None:
        # Nothing was deleted synchronously yet.
        remove(session, subject.main, incomplete=False)
        if subject.main.removal is not None:
            return
    remove(session, subject.main)


def _enter_deleted(session: Session) -> None:
    _end(session, session.subject.main)


def _enter_orphan(session: Session) -> None:
    main, orphan = session.subject.main, session.subject.orphan
    if main.requested and main.accepted is None:
        raise CannotError(_not_created(main))
    orphan.requested.append(put(session, orphan, throw_away=True))


def _enter_changed(session: Session) -> None:
    subject = session.subject
    instance = subject.changing
    for resource in (instance, subject.earlier):
        create(session, resource)
        _succeed(session, resource)
    other = rotatable_others(session.offers, subject.offer)[0]
    exchange = patch(session, instance, {**other.ids, "context": subject.context})
    outcome = exchange.explained
    if exchange.accepted:
        note_operation(instance, exchange)
        outcome = finish(session, instance)
    if outcome != "succeeded":
        raise CannotError(f"the plan was not changed to {other.label}: {outcome}")
    instance.offer = other
    session.ledger.changed(instance.instance, other.plan_id)


def _leave_changed(session: Session) -> None:
    subject = session.subject
    for binding in (subject.bare, subject.later, subject.earlier):
        settle(session, binding)
        if session.ledger.holds(binding.instance, binding.binding):
            # It may be known by the plan that the instance has now.
            binding.offer = subject.changing.offer
            settle(session, binding)
    settle(session, subject.changing)


def _at_once(session: Session, resource: Resource) -> None:
    exchanges = session.together([partial(put, session, resource)] * AT_ONCE)
    if any(one.needs_asynchrony for one in exchanges):
        resource.requested.extend(exchanges)
        return
    for exchange in exchanges:
        note_request(resource, exchange)
    if resource.accepted is not None:
        # The others may have come after its end.
        resource.outcome = "" if resource.asynchronous else "succeeded"
        resource.operation = resource.accepted.text("operation") or None


def _succeed(session: Session, resource: Resource) -> None:
    if resource.accepted is None:
        raise CannotError(_not_created(resource))
    outcome = finish(session, resource)
    if outcome != "succeeded":
        raise CannotError(f"the {resource.kind} was not created: {outcome}")


def _end(session: Session, resource: Resource) -> None:
    if resource.removal is None:
        raise CannotError(f"the {resource.kind} was not deleted: {_answers(resource.removed)}")
    outcome = finish(session, resource)
    if outcome != "succeeded":
        raise CannotError(f"the {resource.kind} was not deleted: {outcome}")


def _not_created(resource: Resource) -> str:
    return f"the {resource.kind} was not created: {_answers(resource.requested)}"


def _answers(exchanges: list[Exchange]) -> str:
    return ", ".join(sorted({one.explained for one in exchanges}))


STEPS: dict[Stage, Step] = {
    Stage.REFUSED: Step(_enter_refused),
    Stage.SYNCHRONOUS: Step(_enter_synchronous, leave=_leave_synchronous, instances=1),
    Stage.CREATING: Step(_enter_creating, instances=1),
    Stage.READY: Step(_enter_ready, Stage.CREATING),
    Stage.BINDING: Step(_enter_binding, Stage.READY, bindings=1, why_not=_not_bindable),
    Stage.BOUND: Step(_enter_bound, Stage.BINDING, bindings=3, why_not=_not_bindable),
    Stage.UNBINDING: Step(_enter_unbinding, Stage.BOUND, why_not=_not_bindable),
    Stage.UNBOUND: Step(_enter_unbound, Stage.UNBINDING, why_not=_not_bindable),
    Stage.IDLE: Step(_settle_bindings, Stage.READY),
    Stage.LAST_BINDING: Step(
        _enter_last_binding, Stage.IDLE, _leave_last_binding, bindings=1, why_not=_not_bindable
    ),
    Stage.DELETING: Step(_enter_deleting, Stage.IDLE),
    Stage.DELETED: Step(_enter_deleted, Stage.DELETING),
    Stage.CHANGED: Step(
        _enter_changed, leave=_leave_changed, instances=1, bindings=3, why_not=_not_changed
    ),
    Stage.ORPHAN: Step(_enter_orphan, instances=1),
}
"""In the order in which they are gone through."""
