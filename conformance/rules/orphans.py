"""Orphan mitigation: deleting what nobody knows whether it was created (OSB, Orphan Mitigation)."""

from __future__ import annotations

import time
from typing import Final

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
from alibroker.conformance.platform import finish, note_operation, pause, poll, remove
from alibroker.conformance.session import Session

LATE: Final = 1.0
"""Seconds after which a request that was overtaken by its delete has arrived."""


@check(
    "DEP-6",
    "ORP-1",
    level=Level.MUST,
    stage=Stage.ORPHAN,
    title="Deleting an instance whose provision had no answer ends with it gone",
)
def orphans_can_be_deleted(session: Session) -> Findings:
    """Delete right after the provision, again and again, until nothing is left."""
    orphan = session.subject.orphan
    deadline = time.monotonic() + session.settings.timeout
    gone = 0
    while gone < 2:  # noqa: PLR2004 - the provision may have come after the first
        if time.monotonic() > deadline:
            yield Problem("It is not gone in time", tuple(orphan.removed[-1:]))
            return
        exchange = remove(session, orphan)
        if exchange.has(410):
            gone += 1
            time.sleep(0 if gone > 1 else LATE)
        elif exchange.refused_for_now:
            yield Remark("has to wait: ConcurrencyError")
            _wait(session, exchange)
        elif exchange.accepted:
            outcome = finish(session, orphan)
            if outcome != "succeeded":
                yield Problem(f"deprovision: {outcome}", (orphan.last_poll or exchange,))
                return
        else:
            yield from if_broken(exchange, "deprovision")
            yield from unless(exchange, (200, 202, 410, 422), "deprovision")
            return
    session.ledger.gone(orphan.instance)


@check(
    "DEP-6",
    level=Level.MUST,
    stage=Stage.ORPHAN,
    since=(2, 15),
    title="After it, polls do not report that the creation goes on",
)
def creation_does_not_go_on(session: Session) -> Findings:
    """Poll what was deleted."""
    orphan = session.subject.orphan
    if session.ledger.holds(orphan.instance):
        raise NotApplicableError("it was not deleted")
    exchange = poll(session, orphan, ())
    if exchange.text("state") == "in progress":
        yield Problem("Something is still in progress", (exchange,))


def _wait(session: Session, exchange: Exchange) -> None:
    orphan = session.subject.orphan
    found = poll(session, orphan, ())
    if found.text("state") == "in progress":
        note_operation(orphan, Exchange(exchange.request, found.answer))
    time.sleep(pause(session, exchange))
