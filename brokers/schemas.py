"""The JSON Schemas that a plan publishes for parameters, and what they say of given ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs

from alibroker.brokers.api import Json, OperationKind, Plan

DRAFT_04: Final = "http://json-schema.org/draft-04/schema#"
"""The draft that every platform knows (Cloud Foundry checks against its metaschema)."""
MAX_SCHEMA_SIZE: Final = 65_536
"""Bytes (OSB, Schemas object)."""

_PLACES: Final[Mapping[OperationKind, tuple[str, str]]] = {
    OperationKind.PROVISION: ("service_instance", "create"),
    OperationKind.UPDATE: ("service_instance", "update"),
    OperationKind.BIND: ("service_binding", "create"),
}
_MAX_FAULTS: Final = 5
_MAX_TEXT: Final = 300
_MANY: Final = 500
"""Members and items of parameters of which not all faults are gathered."""


class SchemaError(ValueError):
    """A plan's schema breaks a rule; the text says which schema and which rule."""


def published_schemas(plan: Plan) -> dict[OperationKind, Json]:
    """Return the schemas of `plan` by the kind of operation that they check.

    Raises:
        SchemaError: Something stands where no schema belongs.
    """
    known: dict[str, set[str]] = {}
    for resource, verb in _PLACES.values():
        known.setdefault(resource, set()).add(verb)
    for resource, verbs in plan.schemas.items():
        _expect_keys("schemas", {resource}, set(known))
        _expect_keys(f"schemas.{resource}", verbs, known[resource])
        for verb, schema in verbs.items():
            place = f"schemas.{resource}.{verb}"
            _expect_keys(place, schema, {"parameters"})
            if not isinstance(schema.get("parameters"), dict):
                raise SchemaError(f"{place}.parameters is no JSON Schema object")
    found = {}
    for kind, (resource, verb) in _PLACES.items():
        schema = plan.schemas.get(resource, {}).get(verb, {}).get("parameters")
        if schema is not None:
            found[kind] = schema
    return found


def _expect_keys(place: str, value: Any, keys: set[str]) -> None:
    if not isinstance(value, (dict, set)):
        raise SchemaError(f"{place} is no object")
    for key in value:
        if key not in keys:
            raise SchemaError(f"{place} has the unknown key {key!r}")


def compile_schema(schema: Json) -> jsonschema_rs.Validator:
    """Check that `schema` may be published (OSB, Schemas object), and compile it.

    Raises:
        SchemaError: It may not.
    """
    if schema.get("$schema") != DRAFT_04:
        raise SchemaError(f"schemas: $schema is not {DRAFT_04}")
    if len(json.dumps(schema).encode()) > MAX_SCHEMA_SIZE:
        raise SchemaError(f"schemas: one is larger than {MAX_SCHEMA_SIZE} bytes")
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise SchemaError(f"schemas: the reference {reference!r} points outside the schema")
    try:
        return jsonschema_rs.Draft4Validator(dict(schema), mask="the value", offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise SchemaError(f"schemas: not a valid draft-04 schema: {error}") from error


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def not_given(validator: jsonschema_rs.Validator, schema: Json, parameters: Json) -> frozenset[str]:
    """Return the names of parameters that are null where the schema wants none, or another value.

    It is how a form, or a platform written in Go, says that a parameter is not to be there.
    """
    absent = frozenset(name for name, value in parameters.items() if value is None)
    if not absent:
        return absent
    # No others: all their faults would be gathered as well.
    faults = validator.iter_errors(dict.fromkeys(absent))
    refused = {fault.instance_path[0] for fault in faults if len(fault.instance_path) == 1}
    return absent & refused - frozenset(schema.get("required", ()))


def describe_faults(
    validator: jsonschema_rs.Validator, schema: Json, parameters: Json
) -> str | None:
    """Say what to change in `parameters`, or return None if there is nothing.

    No value of a parameter is repeated: it may be a secret, and the text goes into logs. Of many
    parameters it is only the first fault, since all of them could be a second's work.
    """
    texts: list[str] = []
    for fault in _faults(validator, dict(parameters)):
        if len(texts) == _MAX_FAULTS:
            texts.append("and more")
            break
        place = "/".join(["parameters", *(str(part) for part in fault.instance_path)])
        text = f"{place}: {fault.message}"
        if fault.kind.name == "additionalProperties" and not fault.instance_path:
            text += f" (known: {', '.join(sorted(schema.get('properties', {}))) or 'none'})"
        texts.append(text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…")
    return "; ".join(texts) or None


def _faults(validator: jsonschema_rs.Validator, parameters: Json) -> list[Any]:
    if _is_large(parameters, _MANY):
        try:
            validator.validate(parameters)
        except jsonschema_rs.ValidationError as fault:
            return [fault]
        return []
    return list(validator.iter_errors(parameters))


def _is_large(value: Any, bound: int) -> bool:
    """Whether a value has more members and items than `bound`, its inner ones included."""
    inner: list[Any] = [value]
    for one in inner:
        if isinstance(one, dict | list):
            inner += one.values() if isinstance(one, dict) else one
        if len(inner) > bound:
            return True
    return False
