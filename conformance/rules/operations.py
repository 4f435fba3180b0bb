"""What holds of every asynchronous answer, poll and binding: looked for in the whole run."""

from __future__ import annotations

import re
from typing import Any, Final

from alibroker.conformance.checks import Findings, Level, Stage, check
from alibroker.conformance.exchange import Exchange, Kind
from alibroker.conformance.rules.answers import Texts, collected
from alibroker.conformance.session import Session

MAX_OPERATION: Final = 10_000

STATES: Final = ("in progress", "succeeded", "failed")

_POLLS: Final = (Kind.POLL_INSTANCE, Kind.POLL_BINDING)
_BINDINGS: Final = (Kind.BIND, Kind.FETCH_BINDING)
_BINDING_DATA: Final = (
    "credentials",
    "syslog_drain_url",
    "route_service_url",
    "volume_mounts",
    "endpoints",
)
_FORMED: Final = ("endpoints", "volume_mounts", "metadata")
_PERMISSIONS: Final = {
    "syslog_drain_url": "syslog_drain",
    "route_service_url": "route_forwarding",
    "volume_mounts": "volume_mount",
}
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_PORTS = re.compile(r"\d{1,5}(-\d{1,5})?")


@check(
    "ASY-2",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="202 is answered only where accepts_incomplete=true was in the query",
)
def asynchrony_was_permitted(session: Session) -> Findings:
    """Look at all requests that were answered 202."""

    def find(exchange: Exchange) -> Texts:
        if not exchange.request.incomplete:
            yield "asynchronous without permission"

    return collected(session, "answer 202", lambda one: one.has(202), find)


@check(
    "OP-3",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="operation is a string of 1 to 10,000 characters, where it is given",
)
def operations_are_short(session: Session) -> Findings:
    """Look at all answers 202."""

    def about(exchange: Exchange) -> bool:
        return exchange.has(202) and exchange.members.get("operation") is not None

    def find(exchange: Exchange) -> Texts:
        value = exchange.members["operation"]
        if not isinstance(value, str):
            yield "operation is no string"
        elif not 0 < len(value) <= MAX_OPERATION:
            yield f"operation has {len(value)} characters"

    return collected(session, "answer 202 with an operation", about, find)


@check(
    "LI-2",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="A poll answered with 200 has one of the three states",
)
def polls_have_a_state(session: Session) -> Findings:
    """Look at all polls."""

    def find(exchange: Exchange) -> Texts:
        state = exchange.members.get("state")
        if state not in STATES:
            yield f"state is {state!r}"

    return collected(session, "poll answered 200", _is_state, find)


@check(
    "LI-3",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    title="A poll's description, where it is given, is a string that is not empty",
)
def polls_have_a_description(session: Session) -> Findings:
    """Look at all polls."""

    def about(exchange: Exchange) -> bool:
        return _is_state(exchange) and "description" in exchange.members

    def find(exchange: Exchange) -> Texts:
        value = exchange.members["description"]
        if not isinstance(value, str) or not value:
            yield f"description is {value!r}"

    return collected(session, "poll with a description", about, find)


@check(
    "POLL-2",
    "LI-8",
    level=Level.SHOULD,
    stage=Stage.AUDIT,
    title="Retry-After, where polls have it, is a whole number of seconds",
)
def retry_after_is_a_number(session: Session) -> Findings:
    """Look at all polls."""

    def about(exchange: Exchange) -> bool:
        return exchange.request.kind in _POLLS and exchange.header("Retry-After") is not None

    def find(exchange: Exchange) -> Texts:
        value = exchange.header("Retry-After") or ""
        if not value.isdecimal():
            yield f"Retry-After is {value!r}"

    return collected(session, "poll with Retry-After", about, find)


@check(
    "BND-7",
    level=Level.MUST,
    stage=Stage.AUDIT,
    since=(2, 14),
    title="An asynchronous bind's answer has no credentials or other data",
)
def no_credentials_too_early(session: Session) -> Findings:
    """Look at all binds answered 202."""

    def about(exchange: Exchange) -> bool:
        return exchange.request.kind is Kind.BIND and exchange.has(202)

    def find(exchange: Exchange) -> Texts:
        for name in _BINDING_DATA:
            if exchange.members.get(name) is not None:
                yield f"has {name}"

    return collected(session, "bind answered 202", about, find)


@check(
    "BND-9",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="Bindings have log drains, routes and volumes only where the catalog requires them",
)
def bindings_keep_to_permissions(session: Session) -> Findings:
    """Compare bindings with the permissions of any service that was tried."""
    granted: set[Any] = set()
    for subject in session.subjects:
        required = subject.offer.service.get("requires")
        granted.update(one for one in (required or ()) if isinstance(one, str))

    def find(exchange: Exchange) -> Texts:
        for name, permission in _PERMISSIONS.items():
            if exchange.members.get(name) and permission not in granted:
                yield f"{name} without {permission}"

    return collected(session, "binding to look into", _is_binding, find)


@check(
    "BND-10",
    "BND-11",
    "BND-12",
    level=Level.MUST,
    stage=Stage.AUDIT,
    since=(2, 15),
    title="Volumes, endpoints and times of expiry have the form that the specification gives them",
)
def binding_data_has_its_form(session: Session) -> Findings:
    """Look into bindings."""

    def about(exchange: Exchange) -> bool:
        return _is_binding(exchange) and any(exchange.members.get(name) for name in _FORMED)

    def find(exchange: Exchange) -> Texts:
        for endpoint in _items(exchange.members.get("endpoints")):
            yield from _endpoint_faults(endpoint)
        for volume in _items(exchange.members.get("volume_mounts")):
            yield from _volume_faults(volume)
        metadata = exchange.members.get("metadata")
        for name in ("expires_at", "renew_before"):
            value = metadata.get(name) if isinstance(metadata, dict) else None
            if value is not None and not (isinstance(value, str) and _UTC.fullmatch(value)):
                yield f"metadata.{name} is no time in UTC"

    return collected(session, "binding with any of them", about, find)


def _is_state(exchange: Exchange) -> bool:
    return exchange.request.kind in _POLLS and exchange.has(200)


def _is_binding(exchange: Exchange) -> bool:
    return exchange.request.kind in _BINDINGS and exchange.accepted


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _endpoint_faults(endpoint: Any) -> Texts:
    if not isinstance(endpoint, dict) or not isinstance(endpoint.get("host"), str):
        yield "an endpoint has no host"
        return
    ports = endpoint.get("ports")
    if not isinstance(ports, list) or not ports:
        yield "an endpoint has no ports"
    elif not all(isinstance(port, str) and _PORTS.fullmatch(port) for port in ports):
        yield "a port is no string with a number or a range"
    if endpoint.get("protocol", "tcp") not in ("tcp", "udp", "all"):
        yield "an endpoint's protocol is unknown"


def _volume_faults(volume: Any) -> Texts:
    if not isinstance(volume, dict):
        yield "a volume is no object"
        return
    for name in ("driver", "container_dir"):
        if not isinstance(volume.get(name), str):
            yield f"a volume has no {name}"
    if volume.get("mode") not in ("r", "rw"):
        yield "a volume's mode is neither r nor rw"
    device = volume.get("device")
    if volume.get("device_type") != "shared" or not isinstance(device, dict):
        yield "a volume's device is not a shared one"
    elif not isinstance(device.get("volume_id"), str):
        yield "a volume has no volume_id"
