"""Rotation of bindings (OSB 2.17, Binding Rotation)."""

from __future__ import annotations

from typing import Any

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
from alibroker.conformance.platform import create, fetch, finish, put
from alibroker.conformance.rules.applicability import need_retrievable, need_rotatable
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource


@check(
    "ROT-2",
    "ROT-4",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 17),
    title="A binding of a rotatable plan can be followed by another",
)
def bindings_can_be_rotated(session: Session) -> Findings:
    """Bind with the first binding as predecessor, and without its parameters."""
    subject = session.subject
    need_rotatable(subject.offer)
    subject.successor.body = {
        **subject.offer.ids,
        "context": subject.context,
        "predecessor_binding_id": subject.first.binding,
    }
    exchange = create(session, subject.successor)
    yield from unless(exchange, (201, 202), "bind with a predecessor")
    if exchange.accepted:
        outcome = finish(session, subject.successor)
        if outcome != "succeeded":
            yield Problem(f"bind with a predecessor: {outcome}", (exchange,))


@check(
    "ROT-3",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 17),
    title="After a rotation the old binding is there as well as the new one",
)
def both_bindings_are_there(session: Session) -> Findings:
    """Fetch both."""
    subject = session.subject
    need_rotatable(subject.offer)
    need_retrievable(subject.first)
    if subject.successor.outcome != "succeeded":
        raise NotApplicableError("there is no second binding")
    yield from unless(fetch(session, subject.first), (200,), "fetching the predecessor")
    yield from unless(fetch(session, subject.successor), (200,), "fetching the successor")


@check(
    "ROT-2",
    "ROT-4",
    level=Level.MUST,
    stage=Stage.CHANGED,
    since=(2, 17),
    title="A binding from before a change of plan can be followed by another",
)
def earlier_bindings_can_be_rotated(session: Session) -> Findings:
    """Name the plan that the instance has now, and a binding from before; then ask again."""
    subject = session.subject
    body = {**subject.changing.offer.ids, "context": subject.context}
    yield from _rotated(session, subject.later, body)


@check(
    "ROT-5",
    level=Level.MAY,
    stage=Stage.CHANGED,
    since=(2, 17),
    title="A rotation need not name service and plan: they are those of the instance",
)
def rotation_takes_the_plan_of_the_instance(session: Session) -> Findings:
    """Name no service and no plan, which not every broker can do without."""
    yield from _rotated(session, session.subject.bare, {})


def _rotated(session: Session, successor: Resource, body: dict[str, Any]) -> Findings:
    """Let a binding follow the one from before the change of plan, twice in the same way."""
    successor.body = {**body, "predecessor_binding_id": session.subject.earlier.binding}
    exchange = create(session, successor)
    yield from unless(exchange, (201, 202), "bind with a predecessor of the earlier plan")
    if not exchange.accepted:
        return
    outcome = finish(session, successor)
    if outcome != "succeeded":
        yield Problem(f"bind with a predecessor of the earlier plan: {outcome}", (exchange,))
        return
    yield from unless(put(session, successor), (200,), "the same once more")


@check(
    "ROT-6",
    level=Level.SHOULD,
    stage=Stage.BOUND,
    since=(2, 17),
    title="A bind with an unknown predecessor is refused",
)
def unknown_predecessors_are_refused(session: Session) -> Findings:
    """Name a predecessor that was never asked for; where nothing is rotatable, any is wrong."""
    subject = session.subject
    binding = subject.bound_to(subject.main)
    body = {**binding.body, "predecessor_binding_id": subject.bound_to(subject.main).binding}
    yield from unless_refused(put(session, binding, body=body), "bind with unknown predecessor")
