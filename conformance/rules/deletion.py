"""What holds of any deletion: the checks of deprovisioning and unbinding are made of this."""

from __future__ import annotations

from alibroker.conformance.checks import Findings, NotApplicableError, Problem, Remark, unless
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import (
    delete,
    fetch,
    finish,
    is_running,
    note_operation,
    poll,
)
from alibroker.conformance.rules.applicability import need_asynchronous_deletion, need_retrievable
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource


def needs_both_ids(session: Session, resource: Resource, what: str) -> Findings:
    """Leave out, and empty, each of the ids, until a deletion is accepted all the same."""
    ids = resource.offer.ids
    for name in ids:
        others = {key: id_ for key, id_ in ids.items() if key != name}
        for how, tried in (("missing", others), ("empty", {**ids, name: ""})):
            exchange = delete(session, resource, ids=tried)
            yield from unless(exchange, (400,), f"{what} with {name} {how}")
            if adopt(resource, exchange):
                return


def adopt(resource: Resource, exchange: Exchange) -> bool:
    """Take a deletion that should have been refused for the one that the walk would ask for."""
    if exchange.accepted:
        resource.removed.append(exchange)
        note_operation(resource, exchange)
    return exchange.accepted


def joins(session: Session, resource: Resource, what: str) -> Findings:
    """Repeat the deletion while it runs."""
    need_asynchronous_deletion(resource)
    exchange = delete(session, resource)
    if not is_running(session, resource):
        raise NotApplicableError("the operation ended too soon to look at it")
    yield from unless(exchange, (202,), f"the same {what} again")
    if exchange.has(202) and exchange.text("operation") != (resource.operation or ""):
        first = (resource.removal,) if resource.removal else ()
        yield Problem("The operation is another one", (*first, exchange))


def succeeds(session: Session, resource: Resource, what: str) -> Findings:
    """Wait for the end."""
    if resource.removal is None:
        raise NotApplicableError(f"the {what} was not accepted")
    outcome = finish(session, resource)
    if outcome != "succeeded":
        yield Problem(f"{what}: {outcome}", (resource.last_poll or resource.removal,))


def leaves_nothing_to_delete(session: Session, resource: Resource, what: str) -> Findings:
    """Repeat the deletion after its end."""
    yield from unless(delete(session, resource), (410,), f"the same {what} again")


def leaves_nothing_to_fetch(session: Session, resource: Resource) -> Findings:
    """Fetch it after its end."""
    need_retrievable(resource)
    yield from unless(fetch(session, resource), (404,), "fetching what was deleted")


def can_be_polled(session: Session, resource: Resource, what: str) -> Findings:
    """Poll after the end: the specification can be read in three ways."""
    need_asynchronous_deletion(resource)
    exchange = poll(session, resource)
    yield from unless(exchange, (200, 404, 410), f"poll after {what}")
    yield Remark(f"answers {exchange.outcome} {exchange.text('state')}".strip())
