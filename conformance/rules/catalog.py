"""The form of the catalog (OSB, Catalog Management)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Remark,
    Stage,
    check,
    unless,
)
from alibroker.conformance.exchange import Exchange, Kind
from alibroker.conformance.offers import objects
from alibroker.conformance.session import Session

REQUIRES: Final = frozenset({"syslog_drain", "route_forwarding", "volume_mount"})

_IDENTIFIERS = r"(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    rf"(-{_IDENTIFIERS}(\.{_IDENTIFIERS})*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)

Json = dict[str, Any]


def catalog_of(session: Session) -> Exchange:
    """Return the catalog as it was fetched first."""
    if session.catalog is None:
        session.catalog = session.call(Kind.CATALOG)
    return session.catalog


def services(session: Session) -> list[Json]:
    """Return the offerings."""
    return list(objects(catalog_of(session).members.get("services")))


def plans(session: Session) -> Iterator[tuple[str, Json, Json]]:
    """Yield each plan with its place and its offering."""
    for service in services(session):
        for plan in objects(service.get("plans")):
            yield f"{service.get('name')}/{plan.get('name')}", service, plan


def is_text(value: Any) -> bool:
    """Tell whether it is a string that is not empty."""
    return isinstance(value, str) and bool(value)


def wrong_types(place: str, item: Json, kinds: dict[str, type]) -> Iterator[Problem]:
    """Yield a problem for each optional member that is there with another type."""
    for name, kind in kinds.items():
        if name in item and not isinstance(item[name], kind):
            yield Problem(f"{place}: {name} is {type(item[name]).__name__}, not {kind.__name__}")


@check(
    "CAT-1",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="The catalog is answered with 200 and an array of services",
)
def catalog_is_an_object_with_services(session: Session) -> Findings:
    """Look at the answer as a whole."""
    exchange = catalog_of(session)
    yield from unless(exchange, (200,), "catalog")
    found = exchange.members.get("services")
    if not isinstance(found, list):
        yield Problem("The answer is no object with an array `services`", (exchange,))
    elif not all(isinstance(service, dict) for service in found):
        yield Problem("A service is no object", (exchange,))
    elif not found:
        yield Remark("The catalog offers nothing")


@check(
    "OFF-1",
    "BND-3",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Offerings have id, name, description, bindable and at least one plan",
)
def offerings_are_complete(session: Session) -> Findings:
    """Look at the members that are required."""
    for number, service in enumerate(services(session)):
        place = f"service {service.get('name', number)}"
        for name in ("id", "name", "description"):
            if not is_text(service.get(name)):
                yield Problem(f"{place}: {name} is no string, or empty")
        if not isinstance(service.get("bindable"), bool):
            yield Problem(f"{place}: bindable is no boolean")
        found = service.get("plans")
        if not isinstance(found, list) or not found:
            yield Problem(f"{place}: plans is no array, or empty")
        elif not all(isinstance(plan, dict) for plan in found):
            yield Problem(f"{place}: a plan is no object")


@check(
    "OFF-2",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Optional members of offerings have the type the specification gives them",
)
def offerings_have_right_types(session: Session) -> Findings:
    """Look at the members that are optional."""
    flags = (
        "instances_retrievable",
        "bindings_retrievable",
        "allow_context_updates",
        "plan_updateable",
    )
    kinds: dict[str, type] = {**dict.fromkeys(flags, bool), "metadata": dict, "tags": list}
    for service in services(session):
        place = f"service {service.get('name')}"
        yield from wrong_types(place, service, kinds)
        tags = service.get("tags")
        if isinstance(tags, list) and not all(isinstance(tag, str) for tag in tags):
            yield Problem(f"{place}: a tag is no string")


@check(
    "OFF-3",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Offerings require nothing but the permissions the specification knows",
)
def offerings_require_what_exists(session: Session) -> Findings:
    """Look at `requires`."""
    for service in services(session):
        required = service.get("requires", [])
        strange = (
            [one for one in required if not isinstance(one, str) or one not in REQUIRES]
            if isinstance(required, list)
            else [required]
        )
        if strange:
            yield Problem(f"service {service.get('name')}: requires {strange}")


@check(
    "CAT-4",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Ids of offerings and plans are unique across the whole catalog",
)
def ids_are_unique(session: Session) -> Findings:
    """Count ids."""
    found = [service.get("id") for service in services(session)]
    found += [plan.get("id") for _, _, plan in plans(session)]
    yield from _repeated("id", found)


@check(
    "OFF-4",
    "CAT-7",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Names are unique: of offerings in the catalog, of plans in their offering",
)
def names_are_unique(session: Session) -> Findings:
    """Count names, in the case they are written in."""
    yield from _repeated("service name", [service.get("name") for service in services(session)])
    for service in services(session):
        names = [plan.get("name") for plan in objects(service.get("plans"))]
        yield from _repeated(f"service {service.get('name')}: plan name", names)


@check(
    "PLN-1",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Plans have id, name and description",
)
def plans_are_complete(session: Session) -> Findings:
    """Look at the members that are required."""
    for place, _, plan in plans(session):
        for name in ("id", "name", "description"):
            if not is_text(plan.get(name)):
                yield Problem(f"plan {place}: {name} is no string, or empty")


@check(
    "PLN-2",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Optional members of plans have the type the specification gives them",
)
def plans_have_right_types(session: Session) -> Findings:
    """Look at the members that are optional."""
    flags = ("free", "bindable", "plan_updateable", "binding_rotatable")
    objects_ = ("metadata", "schemas", "maintenance_info")
    kinds: dict[str, type] = {**dict.fromkeys(flags, bool), **dict.fromkeys(objects_, dict)}
    for place, _, plan in plans(session):
        yield from wrong_types(f"plan {place}", plan, kinds)


@check(
    "POLL-3",
    level=Level.MUST,
    stage=Stage.CATALOG,
    since=(2, 15),
    title="maximum_polling_duration is a whole number of seconds",
)
def polling_duration_is_an_integer(session: Session) -> Findings:
    """Look at the plans that have one."""
    found = _having(session, "maximum_polling_duration")
    for place, value in found:
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            yield Problem(f"plan {place}: maximum_polling_duration is {value!r}")


@check(
    "MI-1",
    level=Level.MUST,
    stage=Stage.CATALOG,
    since=(2, 15),
    title="maintenance_info has a semantic version, and a description that is a string",
)
def maintenance_info_is_semantic(session: Session) -> Findings:
    """Look at the plans that have it."""
    for place, info in _having(session, "maintenance_info"):
        if not isinstance(info, dict):
            continue
        version = info.get("version")
        if not isinstance(version, str) or not _SEMVER.fullmatch(version):
            yield Problem(f"plan {place}: maintenance_info.version is {version!r}")
        if "description" in info and not isinstance(info["description"], str):
            yield Problem(f"plan {place}: maintenance_info.description is no string")


def _having(session: Session, name: str) -> list[tuple[str, Any]]:
    found = [(place, plan[name]) for place, _, plan in plans(session) if name in plan]
    if not found:
        raise NotApplicableError(f"no plan has {name}")
    return found


def _repeated(what: str, values: Iterable[Any]) -> Iterator[Problem]:
    for value, count in Counter(value for value in values if isinstance(value, str)).items():
        if count > 1:
            yield Problem(f"{what} {value!r} is used {count} times")
