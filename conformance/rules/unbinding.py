"""Unbinding (OSB, Unbinding)."""

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
)
from alibroker.conformance.platform import (
    delete,
    fetch,
    finish,
    is_running,
    note_operation,
    poll,
    remove,
)
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
    for name in second.offer.ids:
        for what, ids in (
            ("missing", {key: id_ for key, id_ in second.offer.ids.items() if key != name}),
            ("empty", {**second.offer.ids, name: ""}),
        ):
            exchange = delete(session, second, ids=ids)
            yield from unless(exchange, (400,), f"unbind with {name} {what}")
            if exchange.accepted:
                second.removed.append(exchange)
                note_operation(second, exchange)
                return


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
    first = session.subject.first
    if first.removal is None or not first.removal.has(202):
        raise NotApplicableError("nothing is deleted asynchronously")
    exchange = delete(session, first)
    if not is_running(session, first):
        raise NotApplicableError("the operation ended too soon to look at it")
    yield from unless(exchange, (202,), "the same unbind again")
    if exchange.has(202) and exchange.text("operation") != (first.operation or ""):
        yield Problem("The operation is another one", (first.removal, exchange))


@check(
    "UNB-3",
    level=Level.MUST,
    stage=Stage.UNBINDING,
    title="An accepted unbind comes to a good end",
)
def unbind_succeeds(session: Session) -> Findings:
    """Wait for it."""
    first = session.subject.first
    if first.removal is None:
        raise NotApplicableError("the unbind was not accepted")
    outcome = finish(session, first)
    if outcome != "succeeded":
        yield Problem(f"unbind: {outcome}", (first.last_poll or first.removal,))


@check(
    "UNB-3",
    level=Level.MUST,
    stage=Stage.UNBOUND,
    title="The same unbind again, afterwards, is answered with 410",
)
def unbound_bindings_are_gone(session: Session) -> Findings:
    """Repeat the unbind."""
    yield from unless(delete(session, session.subject.first), (410,), "the same unbind again")


@check(
    "FB-4",
    level=Level.MUST,
    stage=Stage.UNBOUND,
    since=(2, 14),
    title="A deleted binding cannot be fetched: 404",
)
def unbound_bindings_are_not_found(session: Session) -> Findings:
    """Fetch it."""
    first = session.subject.first
    if not first.offer.bindings_retrievable:
        raise NotApplicableError("bindings are not retrievable")
    yield from unless(fetch(session, first), (404,), "fetching a deleted binding")


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
    first = session.subject.first
    if first.removal is None or not first.removal.has(202):
        raise NotApplicableError("nothing was deleted asynchronously")
    exchange = poll(session, first)
    yield from unless(exchange, (200, 404, 410), "poll after an unbind")
    yield Remark(f"answers {exchange.outcome} {exchange.text('state')}".strip())
