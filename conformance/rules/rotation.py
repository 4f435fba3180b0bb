"""Rotation of bindings (OSB 2.17, Binding Rotation)."""

from __future__ import annotations

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
