"""Who is let in (OSB, Authentication)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Final

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
from alibroker.conformance.platform import INCOMPLETE
from alibroker.conformance.session import VERSION, Session, basic

# Those that could create something come last: a check stops at the first that is let in.
_ENDPOINTS: Final = (
    Kind.CATALOG,
    Kind.POLL_INSTANCE,
    Kind.FETCH_INSTANCE,
    Kind.POLL_BINDING,
    Kind.FETCH_BINDING,
    Kind.DEPROVISION,
    Kind.UNBIND,
    Kind.UPDATE,
    Kind.BIND,
    Kind.PROVISION,
)
# What a broker without updates, or without asynchronous binds, may answer whoever asks.
_NOT_IMPLEMENTED: Final = {Kind.UPDATE: (405, 501), Kind.POLL_BINDING: (404, 405, 501)}


@check(
    "AUTH-3",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="Bad credentials are answered with 401, on every endpoint",
)
def bad_credentials_are_refused(session: Session) -> Findings:
    """Try bad credentials in requests that are otherwise right.

    All kinds on the catalog; on the other endpoints a wrong password, none, and one of the others
    in turn, for brokers may slow down, or lock out, whoever guesses often.
    """
    kinds = list(_bad(session))
    others = kinds[2:]
    for number, endpoint in enumerate(_ENDPOINTS):
        if not _is_offered(session, endpoint):
            continue
        tried = [*kinds[:2], others[number % len(others)]] if number else kinds
        for what, authorization in tried:
            exchange = _valid(session, endpoint, authorization)
            if not exchange.has(401, *_NOT_IMPLEMENTED.get(endpoint, ())):
                where = endpoint.name.lower().replace("_", " ")
                yield Problem(f"{where} with {what}: {exchange.outcome}, not 401", (exchange,))
                break


@check(
    "AUTH-7",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="401 tells how to authenticate, and not what was wrong",
)
def refusals_tell_how(session: Session) -> Findings:
    """Compare the answers to wrong names and wrong passwords."""
    bad = dict(_bad(session))
    missing, name, password = (
        session.call(Kind.CATALOG, headers={"Authorization": bad[what]})
        for what in ("no credentials", "a wrong name", "a wrong password")
    )
    if not any(one.has(401) for one in (missing, name, password)):
        raise NotApplicableError("the catalog is never answered 401")
    if missing.has(401) and not missing.header("WWW-Authenticate"):
        yield Problem("401 has no WWW-Authenticate", (missing,))
    if name.answer and password.answer and name.answer.body != password.answer.body:
        yield Problem("A wrong name is answered otherwise than a wrong password", (name, password))


@check(
    "AUTH-7",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="The scheme of the credentials may be written in any case",
)
def scheme_has_no_case(session: Session) -> Findings:
    """Write `basic` in small letters."""
    small = session.authorization.replace("Basic", "basic")
    exchange = session.call(Kind.CATALOG, headers={"Authorization": small})
    yield from unless(exchange, (200,), "catalog with the scheme in small letters")


@check(
    "AUTH-8",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="Credentials are looked at before version, body and path",
)
def credentials_come_first(session: Session) -> Findings:
    """Make a second mistake with each request."""
    wrong = {"Authorization": basic(session.settings.user, "wrong")}
    instance = str(uuid.uuid4())
    for what, exchange in (
        ("garbage as version", session.call(Kind.CATALOG, headers={**wrong, VERSION: "garbage"})),
        ("no version", session.call(Kind.CATALOG, headers={**wrong, VERSION: None})),
        (
            "a broken body",
            session.call(Kind.PROVISION, instance, raw=b"{", query=(INCOMPLETE,), headers=wrong),
        ),
        ("an unknown path", session.call(Kind.OTHER, method="GET", path="/v2/x", headers=wrong)),
    ):
        yield from unless(exchange, (401,), f"bad credentials and {what}")


@check(
    "AUTH-3",
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="Odd credentials are no reason for a server error",
)
def odd_credentials_break_nothing(session: Session) -> Findings:
    """Send values that a parser may stumble over."""
    for value in ("Basic " + "A" * 6000, "Basic \xff\xfe", "Basic", "Bearer a b c", "Digest a=b"):
        exchange = session.call(Kind.CATALOG, headers={"Authorization": value})
        yield from if_broken(exchange, f"Authorization {value[:16]!r}")


def _is_offered(session: Session, endpoint: Kind) -> bool:
    if endpoint is Kind.FETCH_INSTANCE:
        offered = any(offer.instances_retrievable for offer in session.offers)
    elif endpoint is Kind.FETCH_BINDING:
        offered = any(offer.bindings_retrievable for offer in session.offers)
    else:
        return endpoint is not Kind.POLL_BINDING or session.speaks(2, 14)
    return offered and session.speaks(2, 14)


def _bad(session: Session) -> Iterator[tuple[str, str | None]]:
    user, password = session.settings.user, session.settings.password
    yield "a wrong password", basic(user, password + "x")
    yield "no credentials", None
    yield "a wrong name", basic(user + "x", password)
    yield "an empty password", basic(user, "")
    yield "another scheme", session.authorization.replace("Basic", "Bearer")
    yield "no Base64", "Basic !!!"
    yield "no colon", "Basic " + base64.b64encode(user.encode()).decode()
    yield "no text", "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()


def _valid(session: Session, kind: Kind, authorization: str | None) -> Exchange:
    """Send a request that is right but for its credentials."""
    instance, binding = str(uuid.uuid4()), str(uuid.uuid4())
    body = None
    query = [INCOMPLETE]
    if kind is Kind.PROVISION:
        body = session.subject.main.body if session.subjects else {}
    elif kind is Kind.BIND:
        body = session.subject.first.body if session.subjects else {}
    elif kind is Kind.UPDATE:
        body = {"service_id": session.subject.offer.service_id} if session.subjects else {}
    elif kind is not Kind.CATALOG and session.subjects:
        query += list(session.subject.offer.ids.items())
    return session.call(
        kind,
        instance,
        binding if "{binding}" in kind.path else "",
        query=() if kind is Kind.CATALOG else query,
        body=body,
        headers={"Authorization": authorization},
    )
