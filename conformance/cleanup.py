"""Deletes what a run has created, whatever became of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from alibroker.conformance.ledger import Entry
from alibroker.conformance.platform import finish, pause, remove
from alibroker.conformance.session import Session
from alibroker.conformance.subject import listed

MAX_ATTEMPTS = 5
"""Deletes that may be answered with an error, or end in failure."""


@dataclass(frozen=True)
class Leftover:
    """Something that could not be deleted."""

    entry: Entry
    reason: str


def clean_up(session: Session, say: Callable[[str], None]) -> list[Leftover]:
    """Delete what is left, bindings first; returns what could not be deleted.

    A second Ctrl-C ends it; what is left then is returned as well.
    """
    reasons: dict[Entry, str] = {}
    try:
        for entry in session.ledger.entries():
            say(f"Deleting {entry.kind} {entry.binding or entry.instance}")
            reasons[entry] = _delete(session, entry)
    except KeyboardInterrupt:
        say("Interrupted again: what is left stays")
    return [Leftover(entry, reasons.get(entry, "not tried")) for entry in session.ledger.entries()]


def _delete(session: Session, entry: Entry) -> str:
    """Delete until it is gone; returns why it is not, if so."""
    resource = listed(entry)
    deadline = time.monotonic() + session.settings.timeout
    reason = ""
    attempts = 0
    while attempts < MAX_ATTEMPTS and time.monotonic() < deadline:
        exchange = remove(session, resource)
        if exchange.status in (HTTPStatus.OK, HTTPStatus.GONE):
            session.ledger.gone(entry.instance, entry.binding)
            return ""
        if exchange.status == HTTPStatus.ACCEPTED:
            outcome = finish(session, resource)
            if outcome == "succeeded":
                return ""
            reason = f"its deletion was accepted: {outcome}"
            attempts += 1
        elif exchange.refused_for_now:
            reason = exchange.outcome
        else:
            reason = f"{exchange.outcome} {exchange.text('description')}".strip()
            attempts += 1
        if attempts < MAX_ATTEMPTS:
            time.sleep(pause(session, exchange))
    return session.masker.text(reason)
