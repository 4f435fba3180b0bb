"""Ids in paths and queries (OSB, URL Properties)."""

from __future__ import annotations

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
from alibroker.conformance.exchange import Kind
from alibroker.conformance.platform import poll
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource

_ODD: Final = {
    "a blank": "a%20b",
    "a slash": "a%2Fb",
    "a percent sign": "a%25b",
    "a question mark": "a%3Fb",
    "a NUL": "a%00b",
    "a line break": "a%0D%0Ab",
    "no UTF-8": "%FF%FE",
    "a broken escape": "a%zz",
    "an umlaut": "%C3%BC",
    "dots": "..%2F..",
    "5000 characters": "x" * 5000,
}


@check(
    "URL-3",
    "URL-6",
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="Odd ids are no reason for a server error",
)
def odd_ids_break_nothing(session: Session) -> Findings:
    """Poll and delete what cannot exist; what breaks with any id is not the id's fault."""
    query = "service_id=a&plan_id=b&accepts_incomplete=true"
    requests = (
        ("GET", "/v2/service_instances/{id}/last_operation"),
        ("DELETE", "/v2/service_instances/{id}?" + query),
        ("DELETE", "/v2/service_instances/{id}/service_bindings/{id}?" + query),
    )
    looked_at = 0
    for method, path in requests:
        if session.call(Kind.OTHER, method=method, path=path.format(id="conformance")).broken:
            yield Remark(f"{method} {path.partition('?')[0]} breaks with any unknown id")
            continue
        looked_at += 1
        for what, odd in _ODD.items():
            exchange = session.call(Kind.OTHER, method=method, path=path.format(id=odd))
            yield from if_broken(exchange, f"{method} with {what} in an id")
    if not looked_at:
        raise NotApplicableError("nothing can be asked about an unknown id without a server error")


@check(
    "URL-6",
    level=Level.SHOULD,
    stage=Stage.BOUND,
    title="Ids need not be GUIDs",
)
def ids_need_not_be_guids(session: Session) -> Findings:
    """Look at the binding whose id is none."""
    return _id_accepted(session.subject.second)


@check(
    "URL-1",
    "URL-3",
    level=Level.SHOULD,
    stage=Stage.BOUND,
    title="Ids may have characters that are percent-encoded in URLs",
)
def ids_may_be_percent_encoded(session: Session) -> Findings:
    """Look at the binding whose id has such characters."""
    return _id_accepted(session.subject.third)


@check(
    "URL-7",
    level=Level.SHOULD,
    stage=Stage.READY,
    title="A query parameter that comes twice is no reason for an error",
)
def repeated_query_parameters_break_nothing(session: Session) -> Findings:
    """Poll with everything twice."""
    main = session.subject.main
    query = [*main.offer.ids.items()] * 2
    exchange = poll(session, main, query)
    plain = poll(session, main, tuple(main.offer.ids.items()))
    yield from unless(exchange, (plain.status,), "poll with ids twice")


@check(
    "ERR-1",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="Paths and methods that do not exist are answered with 404 and 405",
)
def unknown_paths_are_not_found(session: Session) -> Findings:
    """Ask for what is not in the OSB API."""
    exchange = session.call(Kind.OTHER, method="GET", path="/v2/conformance")
    yield from unless(exchange, (404,), "an unknown path")
    exchange = session.call(Kind.OTHER, method="POST", path="/v2/catalog", raw=b"{}")
    yield from unless(exchange, (404, 405), "POST to the catalog")


def _id_accepted(binding: Resource) -> Findings:
    exchange = binding.requested[0]
    if exchange.has(400):
        yield Problem(f"binding {binding.binding!r} was refused", (exchange,))
    elif exchange.refused_for_now:
        raise NotApplicableError("one binding at a time")
    elif not exchange.accepted:
        yield Remark(f"answered {exchange.outcome}")
