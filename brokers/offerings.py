"""Read service offerings from a YAML file, strictly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from alibroker.brokers.api import Plan, ServiceOffering
from alibroker.brokers.documents import CatalogError, located, read_document
from alibroker.brokers.overlay import Overlay
from alibroker.brokers.schemas import SchemaError, compile_schema, published_schemas

MAX_DESCRIPTION = 255
"""Characters (OSB, catalog: strings should not be longer)."""

_ID = re.compile(r"[A-Za-z0-9._~-]{1,255}")  # unreserved in URLs (RFC 3986): nobody need encode it
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,254}")  # valid under every version of the OSB API
_SEMVER = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_REQUIRES = frozenset({"syslog_drain", "route_forwarding", "volume_mount"})


class _CatalogFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    services: tuple[ServiceOffering, ...]


MoreFaults = Callable[[Iterable[ServiceOffering]], Iterator[str]]


def load_offerings(
    path: Path, more_faults: MoreFaults | None = None, overlay: Overlay | None = None
) -> tuple[ServiceOffering, ...]:
    """Read and check the offerings in the file at `path`, as `overlay` changes them.

    `more_faults` yields what a broker finds wrong besides, each with its place as `faults` does.

    Raises:
        CatalogError: The file cannot be read, has a key that does not exist, or breaks a rule of
            the OSB API (Catalog Management) or of the platforms known to be strict; or it does so
            after the changes. The text names file and line.
    """
    text, document = read_document(path)
    services, fault = _checked(document, more_faults)
    if fault:
        raise CatalogError(located(path, text, fault))
    if overlay is None:
        return services
    services, fault = _checked(overlay.applied(document), more_faults)
    if fault:
        raise overlay.blamed(fault)
    return services


def _checked(
    document: Any, more_faults: MoreFaults | None
) -> tuple[tuple[ServiceOffering, ...], str]:
    """Return the services that a document describes, and the first thing that is wrong."""
    try:
        services = msgspec.convert(document, _CatalogFile).services
    except msgspec.ValidationError as error:
        return (), str(error)
    found = (*faults(services), *(more_faults(services) if more_faults else ()))
    return services, next(iter(found), "")


def faults(services: Iterable[ServiceOffering]) -> Iterator[str]:
    """Yield what breaks a rule in `services`, each with its place."""
    seen: dict[str, str] = {}
    for service in services:
        place = f"service {service.name!r}"
        yield from _faults_of_both(service, place)
        yield from _repeated(seen, f"service name {service.name}", place)
        yield from _repeated(seen, f"id {service.id}", place)
        for feature in service.requires:
            if feature not in _REQUIRES:
                yield f"{place}: requires {feature!r}, not one of {', '.join(sorted(_REQUIRES))}"
        if not service.plans:
            yield f"{place}: has no plan"
        for plan in service.plans:
            where = f"{place}, plan {plan.name!r}"
            yield from _faults_of_both(plan, where)
            yield from _repeated(seen, f"plan name {service.name}/{plan.name}", where)
            yield from _repeated(seen, f"id {plan.id}", where)
            yield from _faults_of_plan(plan, where)


def _repeated(seen: dict[str, str], what: str, place: str) -> Iterator[str]:
    if what in seen:
        yield f"{place}: {what} is used by {seen[what]} already"
    seen[what] = place


def _faults_of_both(item: ServiceOffering | Plan, place: str) -> Iterator[str]:
    if not _ID.fullmatch(item.id):
        yield f"{place}: id {item.id!r} is not 1 to 255 letters, digits and . _ ~ -"
    if not _NAME.fullmatch(item.name):
        yield f"{place}: name is not 1 to 255 of a-z, 0-9 and -"
    if not 0 < len(item.description) <= MAX_DESCRIPTION:
        yield f"{place}: description is not 1 to {MAX_DESCRIPTION} characters long"


def _faults_of_plan(plan: Plan, place: str) -> Iterator[str]:
    if plan.maximum_polling_duration <= 0:
        yield f"{place}: maximum_polling_duration is not above 0 seconds"
    if plan.maintenance_info:
        unknown = sorted(set(plan.maintenance_info) - {"version", "description"})
        if unknown:
            yield f"{place}: maintenance_info has the unknown key {unknown[0]!r}"
        if not _SEMVER.fullmatch(str(plan.maintenance_info.get("version"))):
            yield f"{place}: maintenance_info.version is not a semantic version"
    try:
        for schema in published_schemas(plan).values():
            compile_schema(schema)
    except SchemaError as error:
        yield f"{place}: {error}"
