"""What a platform does with an instance or a binding: create, fetch, poll, wait, delete."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from alibroker.conformance.exchange import Exchange, Kind
from alibroker.conformance.session import Query, Session
from alibroker.conformance.subject import Resource

DEFAULT_POLL_INTERVAL: Final = 2.0
MAX_POLL_INTERVAL: Final = 60.0
"""Seconds beyond which a broker's suggestion is not followed."""

MAX_STRANGE: Final = 5
"""Polls in a row without a state, after which an operation is given up."""
GONE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
"""Statuses of a poll after a delete: both are in the OSB API."""

IN_PROGRESS: Final = "in progress"
INCOMPLETE: Final = ("accepts_incomplete", "true")


def kind_of(resource: Resource, of_instance: Kind, of_binding: Kind) -> Kind:
    """Return the endpoint of an instance or that of a binding."""
    return of_binding if resource.binding else of_instance


def put(
    session: Session,
    resource: Resource,
    *,
    body: Any = None,
    incomplete: bool | None = None,
    **more: Any,
) -> Exchange:
    """Ask for it, asynchronously where the version spoken has that; see `Session.call`."""
    query = more.pop("query", None)
    if query is None:
        query = (INCOMPLETE,) if _incomplete(session, resource, incomplete) else ()
    if "raw" not in more and body is None:
        body = resource.body
    return session.call(
        kind_of(resource, Kind.PROVISION, Kind.BIND),
        resource.instance,
        resource.binding,
        query=query,
        body=body,
        ids=resource.offer.ids,
        **more,
    )


def create(session: Session, resource: Resource, **more: Any) -> Exchange:
    """Ask for it and take note of the answer."""
    exchange = put(session, resource, **more)
    note_request(resource, exchange)
    return exchange


def note_request(resource: Resource, exchange: Exchange) -> None:
    """Take note of an answer to a request that was to create it."""
    resource.requested.append(exchange)
    if exchange.accepted:
        note_operation(resource, exchange)


def note_operation(resource: Resource, exchange: Exchange) -> None:
    """Take note of the operation that an answer names."""
    resource.outcome = "" if exchange.has(202) else "succeeded"
    resource.operation = exchange.text("operation") or None


def patch(session: Session, resource: Resource, body: Any, **more: Any) -> Exchange:
    """Ask for a change."""
    return session.call(Kind.UPDATE, resource.instance, query=(INCOMPLETE,), body=body, **more)


def fetch(session: Session, resource: Resource, query: Query = ()) -> Exchange:
    """Fetch it."""
    kind = kind_of(resource, Kind.FETCH_INSTANCE, Kind.FETCH_BINDING)
    return session.call(kind, resource.instance, resource.binding, query=query)


def poll(session: Session, resource: Resource, query: Query | None = None) -> Exchange:
    """Ask for the state of its last operation."""
    if query is None:
        operation = [("operation", resource.operation)] if resource.operation else []
        query = [*resource.offer.ids.items(), *operation]
    kind = kind_of(resource, Kind.POLL_INSTANCE, Kind.POLL_BINDING)
    return session.call(kind, resource.instance, resource.binding, query=query)


def delete(
    session: Session,
    resource: Resource,
    *,
    incomplete: bool | None = None,
    ids: Mapping[str, str] | None = None,
    **more: Any,
) -> Exchange:
    """Ask for its end."""
    query = list((resource.offer.ids if ids is None else ids).items())
    if _incomplete(session, resource, incomplete):
        query.append(INCOMPLETE)
    kind = kind_of(resource, Kind.DEPROVISION, Kind.UNBIND)
    return session.call(kind, resource.instance, resource.binding, query=query, **more)


def remove(session: Session, resource: Resource, **more: Any) -> Exchange:
    """Ask for its end and take note of the answer."""
    exchange = delete(session, resource, **more)
    resource.removed.append(exchange)
    if exchange.accepted:
        note_operation(resource, exchange)
    return exchange


def is_running(session: Session, resource: Resource) -> bool:
    """Tell whether its operation is in progress, by a poll."""
    return poll(session, resource).text("state") == IN_PROGRESS


def wait_until_idle(session: Session, resource: Resource) -> None:
    """Wait as long as its operation is in progress, and no longer than one may take."""
    deadline = time.monotonic() + session.settings.timeout
    while time.monotonic() < deadline:
        exchange = poll(session, resource)
        if exchange.text("state") != IN_PROGRESS:
            return
        time.sleep(pause(session, exchange))


def finish(session: Session, resource: Resource) -> str:
    """Wait for the end of its operation; returns, and keeps, how it ended."""
    deadline = time.monotonic() + session.settings.timeout
    strange = 0
    while not resource.outcome:
        exchange = resource.last_poll = poll(session, resource)
        state = exchange.text("state")
        strange = strange + 1 if exchange.status != HTTPStatus.OK else 0
        if exchange.status in GONE and resource.removed:
            resource.outcome = "succeeded"
        elif exchange.status == HTTPStatus.OK and state in ("succeeded", "failed"):
            resource.outcome = state
        elif exchange.status == HTTPStatus.BAD_REQUEST or strange > MAX_STRANGE:
            resource.outcome = f"not ended: a poll was answered {exchange.outcome}"
        elif time.monotonic() > deadline:
            resource.outcome = f"not ended after {session.settings.timeout:.0f} seconds"
        else:
            time.sleep(pause(session, exchange))
    if resource.removed and resource.outcome == "succeeded":
        session.ledger.gone(resource.instance, resource.binding)
    return resource.outcome


def pause(session: Session, exchange: Exchange) -> float:
    """Return seconds to wait before the next poll."""
    if session.settings.poll_interval is not None:
        return session.settings.poll_interval
    suggested = exchange.header("Retry-After") or ""
    if suggested.isdecimal():
        return min(float(suggested), MAX_POLL_INTERVAL)
    return DEFAULT_POLL_INTERVAL


def _incomplete(session: Session, resource: Resource, wanted: bool | None) -> bool:  # noqa: FBT001 - tells three cases apart
    if wanted is None:
        return not resource.binding or session.speaks(2, 14)
    return wanted
