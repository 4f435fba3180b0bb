"""What holds while an instance or a binding is being created asynchronously.

A request is judged only if a poll *after* it still says that the creation is in progress.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.platform import fetch, finish, is_running, poll, put
from alibroker.conformance.rules.applicability import need_retrievable
from alibroker.conformance.rules.provisioning import put_different
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Resource


@check(
    "PRO-4",
    "OP-5",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="The same provision again, while it runs, is answered with 202 and the same operation",
)
def repeated_provision_joins(session: Session) -> Findings:
    """Repeat the provision."""
    return _joins(session, session.subject.main)


@check(
    "PRO-4",
    level=Level.MUST,
    stage=Stage.CREATING,
    since=(2, 15),
    title="Another provision with the same id, while it runs, is answered with 409",
)
def different_provision_conflicts_while_creating(session: Session) -> Findings:
    """Ask for the instance with other attributes."""
    main = session.subject.main
    exchange = _while_running(session, main, lambda: put_different(session, main))
    if not exchange.refused_for_now:
        yield from unless(exchange, (409,), "another provision")


@check(
    "FI-4",
    level=Level.MUST,
    stage=Stage.CREATING,
    since=(2, 14),
    title="An instance cannot be fetched while it is being created: 404",
)
def unfinished_instances_are_not_found(session: Session) -> Findings:
    """Fetch it."""
    main = session.subject.main
    need_retrievable(main)
    exchange = _while_running(session, main, lambda: fetch(session, main))
    yield from unless(exchange, (404,), "fetching an instance that is being created")


@check(
    "LI-5",
    "OP-7",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="A poll with an unknown operation is answered neither with 400 nor with 5xx",
)
def unknown_operations_break_no_poll(session: Session) -> Findings:
    """Poll with the names of operations that some platforms make up."""
    main = session.subject.main
    if not main.asynchronous:
        raise NotApplicableError("nothing is created asynchronously")
    for operation in ("provision", "conformance unknown+ü", "a" * 200):
        exchange = poll(session, main, [*main.offer.ids.items(), ("operation", operation)])
        if exchange.has(400):
            yield Problem(f"poll with operation {operation[:24]!r}: 400", (exchange,))
        yield from if_broken(exchange, f"poll with operation {operation[:24]!r}")


@check(
    "LI-1",
    "POLL-6",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="A poll needs no query: service, plan and operation are optional",
)
def polls_need_no_query(session: Session) -> Findings:
    """Poll with nothing but the id."""
    main = session.subject.main
    if not main.asynchronous:
        raise NotApplicableError("nothing is created asynchronously")
    yield from unless(poll(session, main, ()), (200,), "poll without query")


@check(
    "PRO-7",
    level=Level.MUST,
    stage=Stage.CREATING,
    title="An accepted provision comes to a good end",
)
def provision_succeeds(session: Session) -> Findings:
    """Wait for it."""
    return _succeeds(session, session.subject.main, "provision")


@check(
    "BND-6",
    "OP-5",
    level=Level.MUST,
    stage=Stage.BINDING,
    since=(2, 14),
    title="The same bind again, while it runs, is answered with 202 and the same operation",
)
def repeated_bind_joins(session: Session) -> Findings:
    """Repeat the bind."""
    return _joins(session, session.subject.first)


@check(
    "BND-6",
    level=Level.MUST,
    stage=Stage.BINDING,
    since=(2, 15),
    title="Another bind with the same id, while it runs, is answered with 409",
)
def different_bind_conflicts_while_binding(session: Session) -> Findings:
    """Ask for the binding for another app."""
    first = session.subject.first
    body = for_another_app(first)
    exchange = _while_running(session, first, lambda: put(session, first, body=body))
    if not exchange.refused_for_now:
        yield from unless(exchange, (409,), "another bind")


@check(
    "FB-4",
    level=Level.MUST,
    stage=Stage.BINDING,
    since=(2, 14),
    title="A binding cannot be fetched while it is being created: 404",
)
def unfinished_bindings_are_not_found(session: Session) -> Findings:
    """Fetch it."""
    first = session.subject.first
    need_retrievable(first)
    exchange = _while_running(session, first, lambda: fetch(session, first))
    yield from unless(exchange, (404,), "fetching a binding that is being created")


@check(
    "BND-6",
    level=Level.MUST,
    stage=Stage.BINDING,
    title="An accepted bind comes to a good end",
)
def bind_succeeds(session: Session) -> Findings:
    """Wait for it."""
    return _succeeds(session, session.subject.first, "bind")


def for_another_app(binding: Resource) -> dict[str, Any]:
    """Return a body that differs in every place that names the app."""
    return {
        **binding.body,
        "app_guid": "conformance-other-app",
        "bind_resource": {"app_guid": "conformance-other-app"},
    }


def _while_running(
    session: Session, resource: Resource, request: Callable[[], Exchange]
) -> Exchange:
    if not resource.asynchronous:
        raise NotApplicableError("nothing is created asynchronously")
    if resource.outcome:
        raise NotApplicableError("the operation has ended")
    exchange = request()
    if not is_running(session, resource):
        raise NotApplicableError("the operation ended too soon to look at it")
    return exchange


def _joins(session: Session, resource: Resource) -> Findings:
    exchange = _while_running(session, resource, lambda: put(session, resource))
    yield from unless(exchange, (202,), "the same request again")
    if exchange.has(202) and exchange.text("operation") != (resource.operation or ""):
        first = (resource.accepted,) if resource.accepted else ()
        yield Problem("The operation is another one", (*first, exchange))


def _succeeds(session: Session, resource: Resource, what: str) -> Findings:
    if resource.accepted is None:
        raise NotApplicableError(f"the {what} was not accepted")
    outcome = finish(session, resource)
    if outcome != "succeeded":
        shown = (resource.last_poll,) if resource.last_poll else ()
        yield Problem(f"{what}: {outcome}", shown)
