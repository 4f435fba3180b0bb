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
    if_broken,
    unless,
    unless_refused,
)
from alibroker.conformance.platform import delete, fetch, poll
from alibroker.conformance.rules import deletion
from alibroker.conformance.rules.applicability import (
    need_another,
    need_asynchronous_deletion,
    need_retrievable,
    need_undeleted,
)
from alibroker.conformance.session import Session


@check(
    "DEP-1",
    level=Level.MUST,
    stage=Stage.IDLE,
    title="A deprovision without service_id or plan_id is refused with 400",
)
def incomplete_deprovisions_are_refused(session: Session) -> Findings:
    """Leave out, and empty, each of them."""
    need_undeleted(session.subject.main)
    yield from deletion.needs_both_ids(session, session.subject.main, "deprovision")


@check(
    "DEP-7",
    level=Level.SHOULD,
    stage=Stage.IDLE,
    title="A deprovision that names another plan is refused, and not as if there were nothing",
)
def deprovisions_of_another_plan_are_refused(session: Session) -> Findings:
    """Name a plan that the instance does not have: after 410 a platform would forget it."""
    main = session.subject.main
    need_undeleted(main)
    exchange = delete(session, main, ids=need_another(session.offers, main.offer).ids)
    deletion.adopt(main, exchange)
    yield from unless_refused(exchange, "deprovision with another plan")
    if exchange.has(410):
        yield Problem("The instance is there, but said to be gone: 410", (exchange,))


@check(
    "DEP-4",
    level=Level.SHOULD,
    stage=Stage.LAST_BINDING,
    title="A deprovision of what is still bound is accepted, or refused with a reason",
)
def bound_instances_are_kept_for_a_reason(session: Session) -> Findings:
    """Delete the instance of a binding: platforms unbind first, but may be wrong about it."""
    main = session.subject.main
    exchange = delete(session, main)
    if deletion.adopt(main, exchange):
        yield Remark("accepted")
        return
    yield Remark(f"answered {exchange.outcome}")
    yield from unless_refused(exchange, "deprovision of what is bound")
    if exchange.has(404, 410):
        yield Problem(f"What is bound is there, but: {exchange.outcome}", (exchange,))
    elif exchange.refused and not exchange.text("description"):
        yield Problem("The refusal does not say that there are bindings", (exchange,))


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
    return deletion.joins(session, session.subject.main, "deprovision")


@check(
    "DEP-2",
    "DEP-3",
    level=Level.MUST,
    stage=Stage.DELETING,
    title="An accepted deprovision comes to a good end",
)
def deprovision_succeeds(session: Session) -> Findings:
    """Wait for it."""
    return deletion.succeeds(session, session.subject.main, "deprovision")


@check(
    "DEP-3",
    level=Level.MUST,
    stage=Stage.DELETED,
    title="The same deprovision again, afterwards, is answered with 410",
)
def deprovisioned_instances_are_gone(session: Session) -> Findings:
    """Repeat the deprovision."""
    return deletion.leaves_nothing_to_delete(session, session.subject.main, "deprovision")


@check(
    "FI-4",
    level=Level.MUST,
    stage=Stage.DELETED,
    since=(2, 14),
    title="A deleted instance cannot be fetched: 404",
)
def deprovisioned_instances_are_not_found(session: Session) -> Findings:
    """Fetch it."""
    return deletion.leaves_nothing_to_fetch(session, session.subject.main)


@check(
    "LI-6",
    "LI-7",
    "LI-9",
    level=Level.MUST,
    stage=Stage.DELETED,
    title="A poll after a deprovision is answered with 200, 410 or 404",
)
def polls_after_deprovision(session: Session) -> Findings:
    """Poll after the end."""
    return deletion.can_be_polled(session, session.subject.main, "a deprovision")


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
    need_asynchronous_deletion(main)
    yield from unless(poll(session, main), (200, 410), "poll after a deprovision")


@check(
    "DEP-4",
    level=Level.SHOULD,
    stage=Stage.DELETED,
    since=(2, 14),
    title="Bindings that were there when an instance was deleted cannot be fetched any more",
)
def bindings_do_not_outlive_their_instance(session: Session) -> Findings:
    """Fetch the last binding, and delete it for good."""
    last = session.subject.last
    if last.accepted is None or last.removed:
        raise NotApplicableError("there were no bindings any more")
    need_retrievable(last)
    exchange = fetch(session, last)
    if exchange.has(200):
        yield Problem("The binding is there, but its instance is not", (exchange,))
    yield from if_broken(delete(session, last), "unbind without instance")
