"""Who asks, and which request it is (OSB, Originating Identity and Request Identity)."""

from __future__ import annotations

import base64
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
from alibroker.conformance.session import ORIGINATING_IDENTITY, REQUEST_IDENTITY, Session


def encoded(value: Any) -> str:
    """Return JSON in Base64."""
    return base64.b64encode(json.dumps(value).encode()).decode()


_KUBERNETES: Final = {
    "username": "duke",
    "uid": "c2dde242-5ce4-11e7-988c-000c2946f14f",
    "groups": ["admin", "dev"],
    "extra": {"mydata": ["data1", "data3"]},
}
_GOOD: Final = (
    "cloudfoundry " + encoded({"user_id": "683ea748-3092-4ff4-b656-39cacc4d5360"}),
    "kubernetes " + encoded(_KUBERNETES),
    "cloudfoundry " + base64.b64encode(b'{\r\n  "user_id": "a",\r\n  "more": 1\r\n}').decode(),
    "elsewhere " + encoded({"name": "ü"}),
)
_BAD: Final = (
    "",
    "cloudfoundry",
    "cloudfoundry ",
    "cloudfoundry !!!",
    "cloudfoundry " + base64.b64encode(b"\xff\xfe").decode(),
    "cloudfoundry " + base64.b64encode(b"no json").decode(),
    "cloudfoundry " + encoded(["no", "object"]),
    "cloudfoundry " + encoded("text"),
    "cloudfoundry " + encoded({"user_id": {"deep": [1, None]}}),
    "\xff " + encoded({}),
    "cloudfoundry " + "A" * 6000,
)


@check(
    "OID-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="A request with an originating identity is answered as one without",
)
def originating_identity_is_accepted(session: Session) -> Findings:
    """Delete what does not exist, as several users."""
    if not session.subjects:
        raise NotApplicableError("the catalog offers nothing")
    plain = _delete(session, {})
    for identity in _GOOD:
        exchange = _delete(session, {ORIGINATING_IDENTITY: identity})
        yield from unless(exchange, (plain.status,), f"with identity {identity[:20]!r}")


@check(
    "OID-7",
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="A malformed originating identity is no reason for a server error",
)
def malformed_identity_breaks_nothing(session: Session) -> Findings:
    """Send what is no identity."""
    if not session.subjects:
        raise NotApplicableError("the catalog offers nothing")
    for identity in _BAD:
        exchange = _delete(session, {ORIGINATING_IDENTITY: identity})
        yield from if_broken(exchange, f"identity {identity[:24]!r}")


@check(
    "RID-2",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    since=(2, 15),
    title="Every answer, those of errors too, carries the request's identity",
)
def request_identity_is_echoed(session: Session) -> Findings:
    """Compare what was sent with what came back, in all exchanges."""
    statuses = set()
    for exchange in session.exchanges:
        sent = exchange.request.headers.get(REQUEST_IDENTITY)
        odd = exchange.answer is None or exchange.request.kind is Kind.OTHER or not _usual(sent)
        if not odd and exchange.header(REQUEST_IDENTITY) != sent:
            if exchange.status not in statuses:
                yield Problem(f"not in an answer {exchange.status}", (exchange,))
            statuses.add(exchange.status)


@check(
    "RID-4",
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    since=(2, 15),
    title="An odd request identity is no reason for a server error",
)
def odd_request_identity_breaks_nothing(session: Session) -> Findings:
    """Send values that need not be echoed."""
    for identity in ("", "a b c", "\xfc", "x" * 6000):
        exchange = session.call(Kind.CATALOG, headers={REQUEST_IDENTITY: identity})
        yield from if_broken(exchange, f"request identity {identity[:16]!r}")


def _usual(identity: str | None) -> bool:
    try:
        return identity is not None and bool(uuid.UUID(identity))
    except ValueError:
        return False


def _delete(session: Session, headers: dict[str, str]) -> Exchange:
    query = (*session.subject.offer.ids.items(), ("accepts_incomplete", "true"))
    return session.call(Kind.DEPROVISION, str(uuid.uuid4()), query=query, headers=headers)
