"""Holds what the sandbox was asked, and what it answered, against the vendor's newest models.

The sandboxes that tests start write a journal; after each test its new lines are judged here, and
the test fails if the vendor's own client could not have sent the request, or could not have read
the answer. Requests that a sandbox has refused are not judged where a test sends them to be refused
(marked `refusals`); nobody tests that way what a broker sends.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import disagreements
import vendor_models
from tallies import Action, Tally, paths
from vendor_models import Field, Model

_COMMON = frozenset(("Action", "Version", "Format", "SecurityToken", "RegionId")) | frozenset(
    ("SignatureMethod", "SignatureType", "SignatureVersion")
)
"""Parameters of the protocol, and the region, which the older SDK adds to each call."""
_TYPES = {"str": "str", "int": "int", "float": "float", "bool": "bool"}


def judge(line: Mapping[str, Any], *, refusals: bool = False) -> list[str]:
    """Return what is wrong with a line of the journal, but for known disagreements."""
    product, action, code = line["product"], line["action"], line["code"]
    if product == "oss":
        wrong = _check_oss(line) if code == "OK" else []
        return [one for one in wrong if one not in disagreements.KNOWN]
    if product == "unknown":
        return [] if refusals else [f"{action}: of no product that is known here"]
    wrong: list[str] = []
    if code == "OK" or not refusals:
        wrong += check_request(product, action, line["parameters"])
    if line["answer"] is not None:
        wrong += check_answer(product, action, line["answer"])
    return [one for one in wrong if one not in disagreements.KNOWN]


def _check_oss(line: Mapping[str, Any]) -> list[str]:
    # Imported when first wanted: not every run asks OSS, and the client is large.
    check = importlib.import_module("oss_models").check
    found: list[str] = check(line["action"], line["parameters"], line["answer"], line["body"])
    return found


def check_request(product: str, action: str, parameters: Mapping[str, str]) -> list[str]:
    """Return how a request differs from one of the vendor's client."""
    model = vendor_models.request(product, action)
    if model is None:
        return [f"{action}: the vendor's {product} has no such action"]
    place = f"{action} of {product}"
    given = {name: value for name, value in parameters.items() if name not in _COMMON}
    wrong = [
        one for name, value in given.items() for one in _parameter(product, model, name, value)
    ]
    heads = {name.partition(".")[0] for name in parameters}
    for name, field in model.items():
        if field.required and name not in heads and name != "RegionId":
            wrong.append(f"{name} is required")
    return [f"{place}: {one}" for one in wrong]


def _parameter(product: str, model: Model, name: str, value: str) -> Iterator[str]:
    """Yield what is wrong with a parameter, whose name may be Tag.1.Key."""
    head, _, tail = name.partition(".")
    field = model.get(head)
    if field is None:
        yield f"{head} is not a parameter"
        return
    if field.style == "json":
        yield from _json(product, field, name, value)
        return
    if field.style:
        if tail:
            yield f"{head} is one parameter with commas in between, not {name}"
        return
    if field.is_list:
        number, _, tail = tail.partition(".")
        if not re.fullmatch(r"[1-9]\d*", number):
            yield f"{head} is a list, written as {head}.1, {head}.2, not {name}"
            return
    inner = vendor_models.model(product, field.kind)
    if inner is not None:
        for one in _parameter(product, inner, tail, value) if tail else ["has members"]:
            yield f"{head}: {one}"
    elif tail:
        yield f"{head} has no members, such as {tail}"
    else:
        yield from _scalar(field, value)


def _json(product: str, field: Field, name: str, value: str) -> Iterator[str]:
    if name != field.name:
        yield f"{field.name} is one parameter of JSON text, not {name}"
        return
    try:
        listed = json.loads(value)
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        yield f"{field.name} is a list in JSON text"
        return
    inner = vendor_models.model(product, field.kind)
    for member in listed if inner is not None else []:
        for key in member:
            if key not in inner:
                yield f"{field.name}: {key} is not a parameter"


def _scalar(field: Field, value: str) -> Iterator[str]:
    if field.kind == "int" and not re.fullmatch(r"-?\d+", value):
        yield f"{field.name} is a whole number"
    # The vendor's own client for Python writes a large letter, those for other languages do not.
    if field.kind == "bool" and value not in ("true", "false", "True", "False"):
        yield f"{field.name} is true or false"
    if field.kind != "bool" and value != "***":
        yield from _one_of(field, value)


def _one_of(field: Field, value: str) -> Iterator[str]:
    """Yield what is wrong with a text, if the documentation enumerates what there is."""
    # Some may name several, with commas in between.
    parts = {part for part in value.split(",") if part}
    # The documentation is not of one mind about True and true: its client writes what it is given.
    known = {one.lower() if one in ("True", "False") else one for one in field.values}
    if known:
        for part in sorted(parts - field.values - known):
            yield f"{field.name} is one of {', '.join(sorted(field.values))}, not {part}"


def check_answer(product: str, action: str, shape: Any) -> list[str]:
    """Return how the shape of an answer differs from what the vendor's client reads."""
    model = vendor_models.answer(product, action)
    if model is None:
        return [f"{action}: the vendor's {product} has no such action"]
    place = f"{action} of {product}"
    return [f"{place} answers {one}" for one in _fields(product, model, shape, "")]


def _fields(product: str, model: Model, shape: Any, place: str) -> Iterator[str]:
    if not isinstance(shape, dict):
        yield f"{place or 'something'}, which is an object"
        return
    for name, inner in shape.items():
        field = model.get(name)
        path = f"{place}/{name}"
        if field is None:
            yield f"{path}, which is not a field"
        elif field.is_list and not isinstance(inner, list):
            yield f"{path}, which is a list"
        else:
            for one in inner if field.is_list else [inner]:
                yield from _value(product, field, one, path)


def _value(product: str, field: Field, shape: Any, path: str) -> Iterator[str]:
    model = vendor_models.model(product, field.kind)
    if model is not None:
        yield from _fields(product, model, shape, path)
    elif field.kind in _TYPES and shape != field.kind:
        yield f"{path} as {shape if isinstance(shape, str) else 'an object'}, which is {field.kind}"


def check_values(product: str, action: str, content: Mapping[str, Any]) -> list[str]:
    """Return which texts of a whole answer are none of those that the documentation enumerates."""
    return list(_texts(product, vendor_models.answer(product, action) or {}, content))


def _texts(product: str, model: Model, content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        field = model[name]
        inner = vendor_models.model(product, field.kind)
        for one in value if field.is_list else [value]:
            if inner is not None:
                yield from _texts(product, inner, one)
            elif isinstance(one, str):
                yield from _one_of(field, one)


@cache
def _judge_text(text: str, *, refusals: bool) -> tuple[str, ...]:
    return tuple(judge(json.loads(text), refusals=refusals))


@cache
def _counted(text: str) -> tuple[Action, frozenset[str], frozenset[str]] | None:
    """Return what is in a line that was answered, of those that are judged."""
    line = json.loads(text)
    if line["code"] != "OK" or line["product"] == "unknown":
        return None
    names = {name.partition(".")[0] for name in line["parameters"]} - _COMMON
    if line["product"] == "oss":
        root = ET.fromstring(line["answer"] or "<Nothing/>")  # noqa: S314 - of the sandbox
        fields = frozenset(paths(_tree(root)))
    else:
        fields = frozenset(paths(line["answer"]))
    return (line["product"], line["action"]), frozenset(names), fields


def _tree(element: ET.Element) -> Any:
    """Return elements as objects with lists, their texts as true."""
    if not len(element):
        return True
    found: dict[str, list[Any]] = {}
    for child in element:
        found.setdefault(child.tag, []).append(_tree(child))
    return found


class Witness:
    """Reads a journal as it grows.

    Attributes:
        lines: How many there were.
        judged: What was in those that were answered.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._read = 0
        self.lines = 0
        self.judged = Tally()

    def complaints(self, *, refusals: bool = False) -> list[str]:
        """Return what is wrong with what was written since the last time."""
        if not self._journal.exists():
            return []
        with self._journal.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        found: dict[str, None] = {}
        for line in whole.splitlines():
            self.lines += 1
            text = line.decode()
            found |= dict.fromkeys(_judge_text(text, refusals=refusals))
            if (counted := _counted(text)) is not None:
                self.judged.add(*counted)
        return list(found)
