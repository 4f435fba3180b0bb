"""Several requests at once (OSB, Blocking Operations)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Remark,
    Stage,
    check,
    if_broken,
    unless,
)
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import fetch, finish, is_running, patch, put, remove
from alibroker.conformance.rules.applicability import need_retrievable
from alibroker.conformance.rules.provisioning import different
from alibroker.conformance.session import Session


@check(
    "OP-5",
    "CON-2",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="Several identical provisions at once make one instance and one operation",
)
def identical_provisions_make_one(session: Session) -> Findings:
    """Look at the answers to the requests that were sent at once."""
    return _one(session.subject.main.requested)


@check(
    "OP-5",
    "CON-2",
    level=Level.MUST,
    stage=Stage.BINDING,
    title="Several identical binds at once make one binding and one operation",
)
def identical_binds_make_one(session: Session) -> Findings:
    """Look at the answers to the requests that were sent at once."""
    return _one(session.subject.first.requested)


@check(
    "CON-2",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="Requests that are in each other's way are refused with ConcurrencyError or 409",
)
def different_requests_are_refused(session: Session) -> Findings:
    """Change, bind and provision otherwise, at once, while the instance is being created."""
    subject = session.subject
    main = subject.main
    if not main.asynchronous or main.outcome:
        raise NotApplicableError("nothing is being created asynchronously")
    update = {"service_id": subject.offer.service_id, "parameters": {}}
    other = different(session, main)[0]
    calls = [partial(patch, session, main, update), partial(put, session, main, body=other)]
    if subject.offer.bindable:
        calls.append(partial(put, session, subject.bound_to(main)))
    exchanges = session.together(calls)
    if not is_running(session, main):
        raise NotApplicableError("the operation ended too soon to look at it")
    for exchange in exchanges:
        what = f"{exchange.request.method} while the instance is being created"
        yield from if_broken(exchange, what)
        if exchange.has(422) and not exchange.text("error"):
            yield Problem(f"{what}: 422 without error code", (exchange,))


@check(
    "UNB-4",
    "DEP-6",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 15),
    title="An unbind while the binding is being created ends with it gone, or has to wait",
)
def unbinding_what_is_being_created(session: Session) -> Findings:
    """Delete the third binding without waiting for it."""
    third = session.subject.third
    if not third.asynchronous:
        raise NotApplicableError("it was not created asynchronously")
    exchange = remove(session, third)
    if exchange.refused_for_now:
        yield Remark("has to wait: ConcurrencyError")
        finish(session, third)
        exchange = remove(session, third)
    yield from unless(exchange, (200, 202), "unbind of a binding that is being created")
    if exchange.accepted and finish(session, third) != "succeeded":
        yield Problem(f"unbind: {third.outcome}", (third.last_poll or exchange,))
    yield from unless(remove(session, third), (410,), "the same unbind again")


@check(
    "CON-2",
    level=Level.MUST,
    stage=Stage.BOUND,
    title="Two different binds at once are accepted, or refused with ConcurrencyError",
)
def different_binds_at_once(session: Session) -> Findings:
    """Look at the answers to the two binds."""
    for binding in (session.subject.second, session.subject.third):
        exchange = binding.requested[0]
        yield from if_broken(exchange, "bind at the same time as another")
        if exchange.has(422) and not exchange.text("error"):
            yield Problem("bind at the same time as another: 422 without error code", (exchange,))


@check(
    "FI-1",
    level=Level.MUST,
    stage=Stage.BOUND,
    since=(2, 14),
    title="Several fetches at once are answered alike",
)
def fetches_at_once(session: Session) -> Findings:
    """Fetch the instance four times at once."""
    main = session.subject.main
    need_retrievable(main)
    exchanges = session.together([partial(fetch, session, main)] * 4)
    odd = [one for one in exchanges if one.status != exchanges[0].status]
    if odd:
        yield Problem("Fetches at once are answered differently", (exchanges[0], odd[0]))


def _one(exchanges: Sequence[Exchange]) -> Findings:
    accepted = [exchange for exchange in exchanges if exchange.accepted]
    if not accepted:
        raise NotApplicableError("none of the requests was accepted")
    for exchange in exchanges:
        if not exchange.accepted and not exchange.refused_for_now:
            yield Problem(f"one of several identical requests: {exchange.outcome}", (exchange,))
    created = [exchange for exchange in exchanges if exchange.has(201)]
    for exchange in created[1:]:
        # Those that waited for one and the same creation may each say that it was theirs.
        if exchange.members.get("credentials") != created[0].members.get("credentials"):
            yield Problem("The answers have different credentials", (created[0], exchange))
    if len(created) > 1:
        yield Remark(f"{len(created)} answers say that they created it")
    running = [exchange for exchange in exchanges if exchange.has(202)]
    if len({exchange.text("operation") for exchange in running}) > 1:
        yield Problem("The answers name different operations", tuple(running[:2]))
    refused = len(exchanges) - len(accepted)
    if refused:
        yield Remark(f"{refused} of {len(exchanges)} had to wait: ConcurrencyError")
