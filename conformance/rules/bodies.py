"""Bodies of requests that cannot be accepted, none of which creates anything."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Stage,
    check,
    if_broken,
    unless,
)
from alibroker.conformance.exchange import Exchange, Kind
from alibroker.conformance.platform import delete, fetch, poll, put
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource

OVERSIZED: Final = 4 * 1024 * 1024
"""Bytes of a body that no platform sends."""

UNKNOWN: Final = dict.fromkeys(("service_id", "plan_id"), "conformance-unknown")

_NOT_JSON: Final = {
    "cut off": b'{"service_id": ',
    "text": b"service_id=1",
    "empty": b"",
    "an array": b"[]",
    "a string": b'"text"',
    "null": b"null",
}
_ODD: Final = {
    "not UTF-8": b'{"service_id": "\xff\xfe"}',
    "a lone surrogate": rb'{"service_id": "\ud800", "plan_id": "\ud800"}',
    "a NUL": rb'{"service_id": "a\u0000b", "plan_id": "\u0000"}',
    "nested deeply": b'{"context": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "NaN": b'{"service_id": NaN}',
    "a member twice": b'{"service_id": "a", "service_id": "b"}',
    "a huge number": b'{"service_id": ' + b"9" * 5000 + b"}",
}


def _new_instance(session: Session) -> Resource:
    if not session.subjects:
        raise NotApplicableError("the catalog offers nothing")
    return session.subject.instance()


@check(
    "PRO-3",
    "BODY-3",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="A provision body that is no JSON object is refused with 400",
)
def bodies_that_are_no_objects_are_refused(session: Session) -> Findings:
    """Send bodies of other forms."""
    instance = _new_instance(session)
    for what, raw in _NOT_JSON.items():
        yield from unless(put(session, instance, raw=raw), (400,), f"body that is {what}")


@check(
    "PRO-1",
    "PRO-3",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="A provision without a mandatory member is refused with 400",
)
def missing_members_are_refused(session: Session) -> Findings:
    """Leave out, and empty, each mandatory member."""
    for name in ("service_id", "plan_id", "organization_guid", "space_guid"):
        for what, body in _mutilated(session, name):
            instance = session.subject.instance()
            exchange = put(session, instance, body=body(instance.body))
            yield from unless(exchange, (400,), f"{name} {what}")


@check(
    "PRO-3",
    "BODY-8",
    level=Level.MUST,
    stage=Stage.REFUSED,
    title="A provision with members of the wrong type is refused with 400",
)
def wrong_types_are_refused(session: Session) -> Findings:
    """Send members of other types."""
    wrong: dict[str, Any] = {
        "service_id": 1,
        "plan_id": ["a"],
        "organization_guid": {},
        "parameters": "text",
        "context": [],
    }
    for name, value in wrong.items():
        instance = session.subject.instance()
        exchange = put(session, instance, body={**instance.body, name: value})
        yield from unless(exchange, (400,), f"{name} is {type(value).__name__}")


@check(
    "PRO-3",
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="Odd JSON is no reason for a server error",
)
def odd_json_breaks_nothing(session: Session) -> Findings:
    """Send what parsers stumble over."""
    instance = _new_instance(session)
    for what, raw in _ODD.items():
        yield from if_broken(put(session, instance, raw=raw), f"body with {what}")


@check(
    "BODY-3",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="Another content type is refused with 400, or the body is looked at anyway",
)
def other_content_types_are_refused_properly(session: Session) -> Findings:
    """Send a body that is wrong whatever its type is."""
    instance = _new_instance(session)
    body = {**instance.body, **UNKNOWN}
    for value in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "garbage"):
        exchange = put(session, instance, body=body, headers={"Content-Type": value})
        yield from unless(exchange, (400,), f"Content-Type {value}")


@check(
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="A body far too large is refused with 400 or 413",
)
def oversized_bodies_are_refused(session: Session) -> Findings:
    """Send a body of 4 MiB that would be wrong if it were small."""
    instance = _new_instance(session)
    body = {**instance.body, **UNKNOWN, "filler": "x" * OVERSIZED}
    exchange = put(session, instance, raw=json.dumps(body).encode())
    if exchange.answer is not None or "within" in exchange.trouble:
        # A server that closes the connection while the body is on its way has refused it.
        yield from unless(exchange, (400, 413), f"body of {OVERSIZED} bytes")


@check(
    "UPD-8",
    "BODY-3",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="Update and bind bodies that are no JSON object are refused with 400",
)
def other_bodies_that_are_no_objects_are_refused(session: Session) -> Findings:
    """Send them for an instance that does not exist, which may be said first (404).

    A broker need not have updates, and answers 405 or 501 then.
    """
    _new_instance(session)
    for kind in (Kind.UPDATE, Kind.BIND):
        for what, raw in _NOT_JSON.items():
            exchange = _send(session, kind, raw)
            allowed = (400, 404, 405, 501) if kind is Kind.UPDATE else (400, 404)
            yield from unless(exchange, allowed, f"{kind.name.lower()} body that is {what}")


@check(
    "ERR-6",
    level=Level.MUST,
    stage=Stage.REFUSED,
    since=(2, 16),
    title="A refused provision leaves nothing behind",
)
def refusals_leave_nothing_behind(session: Session) -> Findings:
    """Look for an instance after its requests were refused."""
    instance = session.subject.instance()
    bad: list[Any] = [
        {**instance.body, "plan_id": "conformance-unknown"},
        {**instance.body, "parameters": "text"},
        session.subject.without(instance.body, "space_guid"),
    ]
    refusals = [put(session, instance, body=body) for body in bad]
    if not all(one.refused for one in refusals):
        raise NotApplicableError("the requests were not refused")
    looks = [poll(session, instance, ())]
    if session.subject.offer.instances_retrievable:
        looks.append(fetch(session, instance))
    looks.append(delete(session, instance))
    for look in looks:
        if look.status in (200, 202):
            yield Problem("There is an instance after its provision was refused", (look,))


def _send(session: Session, kind: Kind, raw: bytes) -> Exchange:
    binding = str(uuid.uuid4()) if kind is Kind.BIND else ""
    query = (("accepts_incomplete", "true"),)
    return session.call(kind, str(uuid.uuid4()), binding, query=query, raw=raw)


def _mutilated(session: Session, name: str) -> list[tuple[str, Any]]:
    def without(body: dict[str, Any]) -> dict[str, Any]:
        return session.subject.without(body, name)

    def emptied(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, name: ""}

    return [("missing", without), ("empty", emptied)]
