"""What platforms send: request bodies, their shapes and their bounds."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Final, TypeVar

import falcon
import falcon.asgi
import msgspec

from alibroker.http.errors import OsbError, bad_request

B = TypeVar("B", bound=msgspec.Struct)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Object = dict[str, Any]
MAX_DEPTH = 50
MAX_MEMBERS = 10_000
"""Members of objects and items of arrays, together; to look at each takes time."""
MAX_ID = 512
MAX_DIGITS = 300
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_OWN_OBJECTS = frozenset({"bind_resource", "maintenance_info"})
"""Members whose members the API defines; those of others are the platform's and the plan's own."""


class MaintenanceInfo(msgspec.Struct, frozen=True):
    """Only the version counts (OSB, Maintenance Info Object)."""

    version: Text | None = None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What all bodies name."""

    service_id: Text
    plan_id: Text


class ProvisionBody(Offer, frozen=True, kw_only=True):
    """Body of a provision request."""

    organization_guid: Text
    space_guid: Text
    context: Object | None = None
    parameters: Object | None = None
    maintenance_info: MaintenanceInfo | None = None


class UpdateBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of an update request."""

    service_id: Text
    plan_id: Text | None = None
    context: Object | None = None
    parameters: Object | None = None
    previous_values: Object | None = None
    maintenance_info: MaintenanceInfo | None = None


class BindBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a bind request; a rotation may leave the ids to its predecessor."""

    service_id: Text | None = None
    plan_id: Text | None = None
    app_guid: Text | None = None
    bind_resource: Object | None = None
    context: Object | None = None
    parameters: Object | None = None
    predecessor_binding_id: Text | None = None


async def read_body(req: falcon.asgi.Request, kind: type[B], max_bytes: int) -> B:
    """Read and check a body.

    Raises:
        OsbError: 400, 413 or 415; the description says what to change, and repeats no value.

    What is empty is not given: platforms written in Go send `""` and `null` for absent members.
    """
    if (req.get_header("Content-Encoding") or "identity").strip().lower() != "identity":
        raise OsbError(
            415,
            "UnsupportedMediaType",
            "The Content-Encoding is not supported: send the body as it is.",
            headers={"Accept-Encoding": "identity"},
        )
    content_type = (req.content_type or falcon.MEDIA_JSON).partition(";")[0].strip().lower()
    if content_type != falcon.MEDIA_JSON:
        raise bad_request("The Content-Type has to be application/json.")
    document = strict_json(await _read(req, max_bytes))
    if isinstance(document, dict):
        document = _given(document)
    try:
        body = msgspec.convert(document, type=kind)
    except msgspec.ValidationError as ex:
        raise bad_request(f"The body is not as it should be: {ex}.") from None
    # A context is the platform's own, whatever is in it; parameters go on to others.
    if not _fits_64_bits(getattr(body, "parameters", None)):
        raise bad_request("The parameters have a number that needs more than 64 bits.")
    return body


def strict_json(data: bytes) -> Any:
    """Decode JSON that every reader understands in the same way, and that can be written again.

    Raises:
        OsbError: 400; it is not JSON in UTF-8, is nested too deep, has too many members, names one
            twice, or has a number or a text that JSON cannot carry.
    """
    if _members(data) > MAX_MEMBERS:
        raise bad_request(f"The body has more than {MAX_MEMBERS} members and items.")
    try:
        # A byte order mark may be ignored (RFC 8259, section 8.1), and some editors write one.
        document = _DECODER.decode(data.decode("utf-8-sig"))
        if b"\\u" in data:
            # Halves of characters can be written as escapes, but are no text.
            msgspec.json.encode(document)
    except RecursionError:
        raise bad_request(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except (UnicodeError, json.JSONDecodeError):
        raise bad_request("The body is not valid JSON in UTF-8.") from None
    # Each level begins with a bracket of its own.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(document) > MAX_DEPTH:
        raise bad_request(f"The body is nested deeper than {MAX_DEPTH} levels.")
    return document


def checked_id(name: str, value: str) -> str:
    """Return an id from the URL if it can be one.

    Raises:
        OsbError: 400.
    """
    if not value or len(value) > MAX_ID:
        raise bad_request(f"{name} has to have 1 to {MAX_ID} characters.")
    if not value.isprintable() or "\ufffd" in value:
        raise bad_request(f"{name} has characters that an id cannot have.")
    return value


def query(req: falcon.asgi.Request, name: str) -> str:
    """Return a query parameter, the first if there are several, empty if there is none."""
    values = req.params.get(name, "")
    return (values[0] if values else "") if isinstance(values, list) else values


def required_query(req: falcon.asgi.Request, name: str) -> str:
    """Return a query parameter.

    Raises:
        OsbError: 400, it is missing or empty.
    """
    value = query(req, name)
    if not value:
        raise bad_request(f"The query parameter {name} is required.")
    return value


def accepts_incomplete(req: falcon.asgi.Request) -> bool:
    """Whether the platform lets the operation go on after the answer; only `true` says so."""
    return query(req, "accepts_incomplete") == "true"


def _given(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that say something, of the API's own nested objects as well."""
    given = {name: value for name, value in members.items() if value is not None and value != ""}
    for name in _OWN_OBJECTS & given.keys():
        if isinstance(given[name], dict):
            given[name] = _given(given[name])
    return given


def _members(data: bytes) -> int:
    """Return how many members and items there are at the most, in a few milliseconds at worst."""

    def separators(text: bytes) -> int:
        return sum(map(text.count, (b",", b"[", b"{")))

    found = separators(data)
    return found if found <= MAX_MEMBERS else separators(_TEXTS.sub(b"", data))


def _distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise bad_request("The body names a member of an object twice.")
    return found


def _bounded_int(text: str) -> int:
    if len(text) <= MAX_DIGITS:
        return int(text)
    raise bad_request(f"The body has a number of more than {MAX_DIGITS} digits.")


def _fits_64_bits(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_fits_64_bits, value.values()))
    if isinstance(value, list):
        return all(map(_fits_64_bits, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _finite(text: str) -> float:
    number = float(text)
    if math.isfinite(number):
        return number
    raise bad_request("The body has a number that is none, or is too large.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_distinct,
    parse_int=_bounded_int,
    parse_float=_finite,
    parse_constant=_finite,
)


async def _read(req: falcon.asgi.Request, max_bytes: int) -> bytes:
    if (req.content_length or 0) <= max_bytes:
        data: bytes = await req.stream.read(max_bytes + 1)
        if len(data) <= max_bytes:
            return data
    raise OsbError(413, "PayloadTooLarge", f"The body has more than {max_bytes} bytes.")


def _depth(value: Any) -> int:
    """Return how deep arrays and objects are nested, without recursion; stops at the bound."""
    depth = 0
    level = [value]
    while level and depth <= MAX_DEPTH:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth
