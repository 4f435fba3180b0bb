"""Unbinding (OSB, Unbinding)."""

from __future__ import annotations

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Remark,
    Stage,
    check,
    unless,
)
from alibroker.conformance.platform import finish, remove
from alibroker.conformance.rules import deletion
from alibroker.conformance.session import Session


@check(
    "UNB-1",
    level=Level.MUST,
    stage=Stage.BOUND,
    title="An unbind without service_id or plan_id is refused with 400",
)
def incomplete_unbinds_are_refused(session: Session) -> Findings:
    """Leave out, and empty, each of them for a binding that nobody needs any more."""
    second = session.subject.second
    if second.accepted is None or finish(session, second) != "succeeded":
        raise NotApplicableError("there is no second binding")
    yield from deletion.needs_both_ids(session, second, "unbind")


@check(
    "UNB-3",
    "ASY-2",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 14),
    title="Without accepts_incomplete an unbind is done at once, or refused: AsyncRequired",
)
def synchronous_unbind_is_done_or_refused(session: Session) -> Findings:
    """Delete the second binding synchronously."""
    second = session.subject.second
    held = session.ledger.holds(second.instance, second.binding)
    if second.accepted is None or second.removed or not held:
        raise NotApplicableError("there is no second binding")
    exchange = remove(session, second, incomplete=False)
    if exchange.needs_asynchrony:
        yield Remark("asynchronous only")
    elif not exchange.refused_for_now:
        yield from unless(exchange, (200,), "unbind without accepts_incomplete")


@check(
    "UNB-3",
    level=Level.MUST,
    stage=Stage.UNBINDING,
    title="An unbind is answered with 200 or 202",
)
def unbind_is_accepted(session: Session) -> Findings:
    """Look at the answer."""
    yield from unless(session.subject.first.removed[-1], (200, 202), "unbind")


@check(
    "UNB-3",
    "OP-5",
    level=Level.MUST,
    stage=Stage.UNBINDING,
    since=(2, 14),
    title="The same unbind again, while it runs, is answered with 202 and the same operation",
)
def repeated_unbind_joins(session: Session) -> Findings:
    """Repeat the unbind."""
    return deletion.joins(session, session.subject.first, "unbind")


@check(
    "UNB-3",
    level=Level.MUST,
    stage=Stage.UNBINDING,
    title="An accepted unbind comes to a good end",
)
def unbind_succeeds(session: Session) -> Findings:
    """Wait for it."""
    return deletion.succeeds(session, session.subject.first, "unbind")


@check(
    "UNB-3",
    level=Level.MUST,
    stage=Stage.UNBOUND,
    title="The same unbind again, afterwards, is answered with 410",
)
def unbound_bindings_are_gone(session: Session) -> Findings:
    """Repeat the unbind."""
    return deletion.leaves_nothing_to_delete(session, session.subject.first, "unbind")


@check(
    "FB-4",
    level=Level.MUST,
    stage=Stage.UNBOUND,
    since=(2, 14),
    title="A deleted binding cannot be fetched: 404",
)
def unbound_bindings_are_not_found(session: Session) -> Findings:
    """Fetch it."""
    return deletion.leaves_nothing_to_fetch(session, session.subject.first)


@check(
    "LI-6",
    "LI-9",
    level=Level.MUST,
    stage=Stage.UNBOUND,
    since=(2, 14),
    title="A poll after an unbind is answered with 200, 410 or 404",
)
def polls_after_unbind(session: Session) -> Findings:
    """Poll after the end."""
    return deletion.can_be_polled(session, session.subject.first, "an unbind")
