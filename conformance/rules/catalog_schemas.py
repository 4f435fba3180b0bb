"""The schemas of parameters in the catalog (OSB, Schemas Object)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs

from alibroker.conformance.checks import (
    Findings,
    Level,
    NotApplicableError,
    Problem,
    Stage,
    check,
)
from alibroker.conformance.rules.catalog import plans
from alibroker.conformance.session import Session

MAX_BYTES: Final = 65_536

_PLACES: Final = (
    ("service_instance", "create"),
    ("service_instance", "update"),
    ("service_binding", "create"),
)
_DRAFT_4: Final = ("http://json-schema.org/draft-04/schema", "http://json-schema.org/schema")


@check(
    "SCH-1",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Schemas are objects at the places the specification names",
)
def schemas_are_objects(session: Session) -> Findings:
    """Look at everything between `schemas` and `parameters`."""
    for place, of, action, parent in _parents(session):
        if not isinstance(parent, dict):
            yield Problem(f"plan {place}: {of}.{action} is no object")
        elif not isinstance(parent.get("parameters", {}), dict):
            yield Problem(f"plan {place}: {of}.{action}.parameters is no object")


@check(
    "SCH-2",
    level=Level.MUST,
    stage=Stage.CATALOG,
    title="Each schema names its draft, refers to nothing outside, and has at most 64 kB",
)
def schemas_stand_alone(session: Session) -> Findings:
    """Look into each schema."""
    for place, schema in _schemas(session):
        if not isinstance(schema.get("$schema"), str):
            yield Problem(f"{place}: has no $schema")
        size = len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode())
        if size > MAX_BYTES:
            yield Problem(f"{place}: has {size} bytes")
        for reference in _references(schema):
            if not reference.startswith("#"):
                yield Problem(f"{place}: refers to {reference!r}")


@check(
    "SCH-3",
    level=Level.SHOULD,
    stage=Stage.CATALOG,
    title="Each schema is valid in draft 4, which is what all platforms know",
)
def schemas_are_draft_4(session: Session) -> Findings:
    """Hold each schema against the metaschema."""
    for place, schema in _schemas(session):
        draft = str(schema.get("$schema", "")).rstrip("#")
        if draft not in _DRAFT_4:
            yield Problem(f"{place}: $schema is {draft!r}")
            continue
        try:
            jsonschema_rs.Draft4Validator(schema)
        except (jsonschema_rs.ValidationError, ValueError) as ex:
            reason = str(ex).splitlines()[0]
            yield Problem(f"{place}: {reason}")


def _parents(session: Session) -> list[tuple[str, str, str, Any]]:
    found = []
    for place, _, plan in plans(session):
        schemas = plan.get("schemas")
        if isinstance(schemas, dict):
            for of, action in _PLACES:
                outer = schemas.get(of, {})
                parent = outer.get(action, {}) if isinstance(outer, dict) else outer
                found.append((place, of, action, parent))
    if not found:
        raise NotApplicableError("no plan has schemas")
    return found


def _schemas(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, of, action, parent in _parents(session):
        schema = parent.get("parameters") if isinstance(parent, dict) else None
        if isinstance(schema, dict):
            yield f"plan {place}, schema {of}.{action}", schema


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref" and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
