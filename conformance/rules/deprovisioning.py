"""Deprovisioning (OSB, Deprovisioning)."""

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
from alibroker.conformance.platform import delete, fetch, finish, is_running, poll
from alibroker.conformance.session import Session


@check(
    "DEP-1",
    level=Level.MUST,
    stage=Stage.IDLE,
    title="A deprovision without service_id or plan_id is refused with 400",
)
def incomplete_deprovisions_are_refused(session: Session) -> Findings:
    """Leave out, and empty, each of them."""
    main = session.subject.main
    for name in main.offer.ids:
        for what, ids in (
            ("missing", {key: id_ for key, id_ in main.offer.ids.items() if key != name}),
            ("empty", {**main.offer.ids, name: ""}),
        ):
            exchange = delete(session, main, ids=ids)
            yield from unless(exchange, (400,), f"deprovision with {name} {what}")
            if exchange.accepted:
                session.subject.spoilt = "the instance was deleted by a request without ids"
                return


@check(
    "DEP-3",
    level=Level.MUST,
    stage=Stage.DELETING,
    title="A deprovision is answered with 200 or 202",
)
def deprovision_is_accepted(session: Session) -> Findings:
    """Look at the answers; one without accepts_incomplete may have been refused before."""
    main = session.subject.main
    yield from unless(main.removed[-1], (200, 202), "deprovision")
    if main.removed[0].status not in (200, 202) and not main.removed[0].needs_asynchrony:
        yield Problem(
            f"deprovision without accepts_incomplete: {main.removed[0].outcome}",
            (main.removed[0],),
        )


@check(
    "DEP-3",
    "OP-5",
    level=Level.MUST,
    stage=Stage.DELETING,
    title="The same deprovision again, while it runs, is answered with 202 and the same operation",
)
def repeated_deprovision_joins(session: Session) -> Findings:
    """Repeat the deprovision."""
    main = session.subject.main
    if main.removal is None or not main.removal.has(202):
        raise NotApplicableError("nothing is deleted asynchronously")
    exchange = delete(session, main)
    if not is_running(session, main):
        raise NotApplicableError("the operation ended too soon to look at it")
    yield from unless(exchange, (202,), "the same deprovision again")
    if exchange.has(202) and exchange.text("operation") != (main.operation or ""):
        yield Problem("The operation is another one", (main.removal, exchange))


@check(
    "DEP-2",
    "DEP-3",
    level=Level.MUST,
    stage=Stage.DELETING,
    title="An accepted deprovision comes to a good end",
)
def deprovision_succeeds(session: Session) -> Findings:
    """Wait for it."""
    main = session.subject.main
    if main.removal is None:
        raise NotApplicableError("the deprovision was not accepted")
    outcome = finish(session, main)
    if outcome != "succeeded":
        yield Problem(f"deprovision: {outcome}", (main.last_poll or main.removal,))


@check(
    "DEP-3",
    level=Level.MUST,
    stage=Stage.DELETED,
    title="The same deprovision again, afterwards, is answered with 410",
)
def deprovisioned_instances_are_gone(session: Session) -> Findings:
    """Repeat the deprovision."""
    yield from unless(delete(session, session.subject.main), (410,), "the same deprovision again")


@check(
    "FI-4",
    level=Level.MUST,
    stage=Stage.DELETED,
    since=(2, 14),
    title="A deleted instance cannot be fetched: 404",
)
def deprovisioned_instances_are_not_found(session: Session) -> Findings:
    """Fetch it."""
    main = session.subject.main
    if not main.offer.instances_retrievable:
        raise NotApplicableError("instances are not retrievable")
    yield from unless(fetch(session, main), (404,), "fetching a deleted instance")


@check(
    "LI-6",
    "LI-7",
    "LI-9",
    level=Level.MUST,
    stage=Stage.DELETED,
    title="A poll after a deprovision is answered with 200, 410 or 404",
)
def polls_after_deprovision(session: Session) -> Findings:
    """Poll after the end: the specification can be read in three ways."""
    main = session.subject.main
    if main.removal is None or not main.removal.has(202):
        raise NotApplicableError("nothing was deleted asynchronously")
    exchange = poll(session, main)
    yield from unless(exchange, (200, 404, 410), "poll after a deprovision")
    yield Remark(f"answers {exchange.outcome} {exchange.text('state')}".strip())


@check(
    "LI-9",
    level=Level.SHOULD,
    stage=Stage.DELETED,
    since=(2, 16),
    title="The result of a deprovision is not forgotten at once",
)
def results_are_not_forgotten(session: Session) -> Findings:
    """Poll after the end: after 404 Cloud Foundry would go on polling for days."""
    main = session.subject.main
    if main.removal is None or not main.removal.has(202):
        raise NotApplicableError("nothing was deleted asynchronously")
    yield from unless(poll(session, main), (200, 410), "poll after a deprovision")
