"""What the catalog should be beyond its form: limits of platforms, conditional requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Stage,
    check,
    unless,
)
from alibroker.conformance.exchange import Kind
from alibroker.conformance.rules.catalog import catalog_of, plans, services
from alibroker.conformance.session import Session

RECOMMENDED_LENGTH: Final = 255
MAX_DESCRIPTION: Final = 10_000
MAX_TAGS: Final = 2048
MAX_MAINTENANCE_INFO: Final = 2000
"""Characters (limits of Cloud Foundry's cloud controller)."""

_CLI_FRIENDLY = re.compile(r"[A-Za-z0-9.-]+")


@check(
    "CAT-6",
    level=Level.SHOULD,
    stage=Stage.CATALOG,
    title="Names, ids and descriptions have no more than 255 characters",
)
def strings_are_short(session: Session) -> Findings:
    """Measure strings."""
    for place, item in _items(session):
        for name in ("id", "name", "description"):
            value = item.get(name)
            if isinstance(value, str) and len(value) > RECOMMENDED_LENGTH:
                yield Problem(f"{place}: {name} has {len(value)} characters")


@check(
    "CAT-8",
    level=Level.SHOULD,
    stage=Stage.CATALOG,
    title="Names are easy to type: letters, digits, periods and hyphens",
)
def names_are_easy_to_type(session: Session) -> Findings:
    """Look at names."""
    for place, item in _items(session):
        name = item.get("name")
        if isinstance(name, str) and name and (not _CLI_FRIENDLY.fullmatch(name) or name == "-"):
            yield Problem(f"{place}: name {name!r}")


@check(
    "CF-1",
    level=Level.SHOULD,
    stage=Stage.CATALOG,
    title="The catalog keeps to the limits beyond which Cloud Foundry refuses a broker",
)
def catalog_suits_cloud_foundry(session: Session) -> Findings:
    """Compare with what the cloud controller validates."""
    for place, item in _items(session):
        description = item.get("description")
        if isinstance(description, str) and len(description) > MAX_DESCRIPTION:
            yield Problem(f"{place}: description has {len(description)} characters")
    for service in services(session):
        tags = service.get("tags")
        length = sum(len(str(tag)) for tag in tags) if isinstance(tags, list) else 0
        if length > MAX_TAGS:
            yield Problem(f"service {service.get('name')}: tags have {length} characters together")
        client = service.get("dashboard_client")
        if client is not None:
            complete = isinstance(client, dict) and all(
                client.get(name) for name in ("id", "secret", "redirect_uri")
            )
            if not complete:
                yield Problem(f"service {service.get('name')}: dashboard_client is not complete")
    for place, _, plan in plans(session):
        info = plan.get("maintenance_info")
        if isinstance(info, dict):
            if set(info) - {"version", "description"}:
                yield Problem(f"plan {place}: maintenance_info has members of its own")
            if len(json.dumps(info)) > MAX_MAINTENANCE_INFO:
                yield Problem(f"plan {place}: maintenance_info is too long")


@check(
    "CAT-2",
    level=Level.SHOULD,
    stage=Stage.CATALOG,
    since=(2, 16),
    title="A catalog with an ETag is not sent again to who has it",
)
def etag_is_honoured(session: Session) -> Findings:
    """Ask again with If-None-Match."""
    tag = catalog_of(session).header("ETag")
    if not tag:
        raise NotApplicableError("the catalog has no ETag")
    again = session.call(Kind.CATALOG, headers={"If-None-Match": tag})
    if not again.has(200) or again.header("ETag") == tag:
        yield from unless(again, (304,), "catalog with If-None-Match")
    other = session.call(Kind.CATALOG, headers={"If-None-Match": '"conformance"'})
    yield from unless(other, (200,), "catalog with If-None-Match of another ETag")


@check(
    "CAT-4",
    level=Level.MUST,
    stage=Stage.AUDIT,
    title="Offerings and plans keep their ids during the run",
)
def ids_stay(session: Session) -> Findings:
    """Fetch the catalog again and compare ids of what has the same name."""
    before = _ids(list(services(session)))
    again = session.call(Kind.CATALOG)
    found = again.members.get("services")
    after = _ids(found if isinstance(found, list) else [])
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield Problem(f"{name}: id was {before[name]!r} and is {after[name]!r}", (again,))


def _items(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    for service in services(session):
        yield f"service {service.get('name')}", service
    for place, _, plan in plans(session):
        yield f"plan {place}", plan


def _ids(found: list[Any]) -> dict[str, Any]:
    ids = {}
    for service in found:
        if isinstance(service, dict):
            ids[f"service {service.get('name')}"] = service.get("id")
            some = service.get("plans")
            for plan in some if isinstance(some, list) else []:
                if isinstance(plan, dict):
                    ids[f"plan {service.get('name')}/{plan.get('name')}"] = plan.get("id")
    return ids
