"""The walk through a plan: what has to be done to come from one stage to the next."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from alibroker.conformance.checks import Stage
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.offers import Offer
from alibroker.conformance.platform import (
    create,
    finish,
    note_request,
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
    for_bindings: bool = False


def counts(offer: Offer, stages: Collection[Stage]) -> tuple[int, int]:
    """Return how many instances and bindings a walk through these stages creates at the most."""
    steps = [STEPS[stage] for stage in stages if applies(offer, stage)]
    return sum(step.instances for step in steps), sum(step.bindings for step in steps)


def applies(offer: Offer, stage: Stage) -> bool:
    """Tell whether a plan has this stage."""
    return offer.bindable or not STEPS[stage].for_bindings


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
    Stage.BINDING: Step(_enter_binding, Stage.READY, bindings=1, for_bindings=True),
    Stage.BOUND: Step(_enter_bound, Stage.BINDING, bindings=3, for_bindings=True),
    Stage.UNBINDING: Step(_enter_unbinding, Stage.BOUND, for_bindings=True),
    Stage.UNBOUND: Step(_enter_unbound, Stage.UNBINDING, for_bindings=True),
    Stage.IDLE: Step(_settle_bindings, Stage.READY),
    Stage.LAST_BINDING: Step(
        _enter_last_binding, Stage.IDLE, _leave_last_binding, bindings=1, for_bindings=True
    ),
    Stage.DELETING: Step(_enter_deleting, Stage.IDLE),
    Stage.DELETED: Step(_enter_deleted, Stage.DELETING),
    Stage.ORPHAN: Step(_enter_orphan, instances=1),
}
"""In the order in which they are gone through."""
