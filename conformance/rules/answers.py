"""What holds of every answer: looked for in all exchanges of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Stage,
    check,
)
from alibroker.conformance.exchange import Exchange, Kind
from alibroker.conformance.session import Session

Texts = Iterable[str]

MAX_SHOWN: Final = 5
"""Problems of one kind that are listed."""

CODES: Final = frozenset(
    {"AsyncRequired", "ConcurrencyError", "RequiresApp", "MaintenanceInfoConflict"}
)
LITERAL: Final = {
    "AsyncRequired": (
        "This service plan requires client support for asynchronous service operations."
    ),
    "ConcurrencyError": (
        "The Service Broker does not support concurrent requests that mutate the same resource."
    ),
    "RequiresApp": (
        "This service supports generation of credentials through binding an application only."
    ),
}
"""Descriptions that the Kubernetes client library compares."""

_REJECTED_NULLS: Final = {
    Kind.PROVISION: ("operation",),
    Kind.UPDATE: ("operation",),
    Kind.DEPROVISION: ("operation",),
    Kind.BIND: ("operation",),
    Kind.UNBIND: ("operation",),
    Kind.FETCH_INSTANCE: ("dashboard_url", "parameters", "service_id", "plan_id"),
    Kind.FETCH_BINDING: ("syslog_drain_url", "route_service_url", "volume_mounts", "parameters"),
}


def answered(session: Session) -> Iterator[Exchange]:
    """Yield the exchanges with the OSB API that have an answer with a body to look at."""
    for exchange in session.exchanges:
        known = exchange.request.kind is not Kind.OTHER
        if known and exchange.answer is not None and not exchange.has(304):
            yield exchange


def collected(
    session: Session,
    what: str,
    about: Callable[[Exchange], bool],
    find: Callable[[Exchange], Texts],
) -> Findings:
    """Find problems in all answers of a kind; the same one is shown once per endpoint and status.

    Args:
        session: the whole run.
        what: names the kind, for runs in which there was none.
        about: whether an answer is of that kind.
        find: returns what is wrong with one.
    """
    exchanges = [exchange for exchange in answered(session) if about(exchange)]
    if not exchanges:
        raise NotApplicableError(f"there was no {what}")
    seen: set[tuple[str, Kind, int]] = set()
    for exchange in exchanges:
        for text in find(exchange):
            kind = (text, exchange.request.kind, exchange.status)
            if kind not in seen and len(seen) < MAX_SHOWN:
                seen.add(kind)
                where = exchange.request.kind.name.lower().replace("_", " ")
                yield Problem(f"{where}, {exchange.status}: {text}", (exchange,))


def is_error(exchange: Exchange) -> bool:
    """Tell whether an answer says that something went wrong."""
    return exchange.status >= HTTPStatus.BAD_REQUEST


@check(
    "BODY-5",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="Answers that say yes, or 409, 410 or 422, are JSON objects",
)
def answers_are_objects(session: Session) -> Findings:
    """Look at the bodies that platforms read."""

    def about(exchange: Exchange) -> bool:
        return exchange.accepted or exchange.has(409, 410, 422)

    return collected(session, "such answer", about, _no_object)


@check(
    "BODY-5",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    title="All other answers are JSON objects too",
)
def errors_are_objects(session: Session) -> Findings:
    """Look at the bodies of errors."""
    return collected(session, "error", is_error, _no_object)


def _no_object(exchange: Exchange) -> Texts:
    if not isinstance(exchange.document, dict):
        yield "no JSON object"


@check(
    "BODY-1",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    since=(2, 14),
    title="Answers have the content type application/json",
)
def answers_say_that_they_are_json(session: Session) -> Findings:
    """Look at the header."""

    def about(exchange: Exchange) -> bool:
        return exchange.answer is not None and bool(exchange.answer.body)

    def find(exchange: Exchange) -> Texts:
        value = (exchange.header("Content-Type") or "").partition(";")[0].strip().lower()
        if value != "application/json":
            yield f"Content-Type {value!r}"

    return collected(session, "answer with a body", about, find)


@check(
    "ERR-2",
    level=Level.MUST,
    stage=Stage.AUDIT,
    since=(2, 14),
    title="error and description, where errors have them, are strings that are not empty",
)
def errors_have_texts(session: Session) -> Findings:
    """Look at the members of errors."""

    def find(exchange: Exchange) -> Texts:
        for name in ("error", "description"):
            value = exchange.members.get(name, "-")
            if not isinstance(value, str) or not value:
                yield f"{name} is {value!r}"
        if len(exchange.text("error").split()) > 1:
            yield "error is more than one word"

    return collected(session, "error", is_error, find)


@check(
    "ERR-2",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    title="Refusals tell the user what is wrong",
)
def refusals_have_a_description(session: Session) -> Findings:
    """Look for a description in refusals that users get to see."""

    def find(exchange: Exchange) -> Texts:
        if not exchange.text("description"):
            yield "no description"

    return collected(session, "such refusal", lambda one: one.has(400, 409, 422), find)


@check(
    "ERR-3",
    level=Level.MUST,
    stage=Stage.AUDIT,
    since=(2, 14),
    title="The error codes of the specification come with 422",
)
def codes_come_with_their_status(session: Session) -> Findings:
    """Look at known codes."""

    def find(exchange: Exchange) -> Texts:
        if not exchange.has(422):
            yield exchange.text("error")

    return collected(session, "such error code", lambda one: one.text("error") in CODES, find)


@check(
    "ERR-8",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    title="Descriptions of these codes are those that the Kubernetes client compares",
)
def descriptions_are_literal(session: Session) -> Findings:
    """Compare descriptions."""

    def about(exchange: Exchange) -> bool:
        return exchange.has(422) and exchange.text("error") in LITERAL

    def find(exchange: Exchange) -> Texts:
        if exchange.text("description") != LITERAL[exchange.text("error")]:
            yield f"{exchange.text('error')} with another description"

    return collected(session, "such error code", about, find)


@check(
    "ERR-4",
    "ERR-5",
    "LI-4",
    level=Level.MUST,
    stage=Stage.AUDIT,
    since=(2, 16),
    title="instance_usable and update_repeatable are where the specification allows them",
)
def usability_is_where_it_belongs(session: Session) -> Findings:
    """Look for them in answers about anything but a failed update or deprovision."""
    allowed = {
        "instance_usable": (Kind.UPDATE, Kind.DEPROVISION, Kind.POLL_INSTANCE),
        "update_repeatable": (Kind.UPDATE, Kind.POLL_INSTANCE),
    }

    def find(exchange: Exchange) -> Texts:
        failed = is_error(exchange) or exchange.text("state") == "failed"
        for name in allowed.keys() & exchange.members.keys():
            if not (failed and exchange.request.kind in allowed[name]):
                yield name
            elif not isinstance(exchange.members[name], bool):
                yield f"{name} is no boolean"

    def about(exchange: Exchange) -> bool:
        return not allowed.keys().isdisjoint(exchange.members)

    return collected(session, "answer that has them", about, find)


@check(
    "BODY-7",
    "OP-4",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    title="No member is null where Cloud Foundry takes that for a malformed answer",
)
def no_nulls(session: Session) -> Findings:
    """Look for null."""

    def about(exchange: Exchange) -> bool:
        return exchange.accepted and exchange.request.kind in _REJECTED_NULLS

    def find(exchange: Exchange) -> Texts:
        for name in _REJECTED_NULLS[exchange.request.kind]:
            if name in exchange.members and exchange.members[name] is None:
                yield f"{name} is null"

    return collected(session, "accepted request", about, find)


@check(
    "DASH-1",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="dashboard_url is a string that is not empty, where it is given",
)
def dashboard_is_a_url(session: Session) -> Findings:
    """Look at provision, update and fetch."""

    def about(exchange: Exchange) -> bool:
        return exchange.accepted and exchange.members.get("dashboard_url") is not None

    def find(exchange: Exchange) -> Texts:
        value: Any = exchange.members["dashboard_url"]
        if not isinstance(value, str) or not value:
            yield f"dashboard_url is {value!r}"

    return collected(session, "answer with a dashboard_url", about, find)
