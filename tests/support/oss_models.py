"""Holds what OSS was asked, and what the sandbox answered, against the models of its newest client.

The journal has a sample of each value in its place: x, 1, true, or a time.
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from xml.etree import ElementTree as ET

from alibabacloud_oss_v2 import models, serde
from strict_xml import faults

_NAMES = {
    "GetBucketTagging": "GetBucketTags",
    "PutBucketTagging": "PutBucketTags",
    "DeleteBucketTagging": "DeleteBucketTags",
}
"""Actions are called as in policies; where the client has other words for them."""
_UNMODELLED = frozenset(["PostObject"])
"""What browsers send and no client does."""
_SOURCE = "x-oss-copy-source"
"""The client makes this header of a bucket and a key."""
_SAMPLES = {int: ("1",), bool: ("true", "false", "True", "False")}
"""oss2 writes large letters, which the cloud takes: its tests read back what they wrote."""
_ROUTE = frozenset(["list-type", "comp"])
"""What tells an action from another one, beside names without a value."""


def check(
    action: str, parameters: Mapping[str, str], answer: str | None, body: str | None = None
) -> list[str]:
    """Return what the newest client could not have sent, or could not have read."""
    if action in _UNMODELLED:
        return []
    name = _NAMES.get(action, action)
    if action == "UploadPart" and _SOURCE in parameters:
        name = "UploadPartCopy"
    request = getattr(models, f"{name}Request", None)
    if request is None:
        return [f"{action}: the newest client of OSS has no such operation"]
    wrong = list(_parameters(request._attribute_map, parameters))
    if body is not None:
        wrong += _body(request, body)
    if answer is not None:
        wrong += _answer(getattr(models, f"{name}Result")(), answer)
    return [f"{action} of oss: {one}" for one in wrong]


def _parameters(
    fields: Mapping[str, Mapping[str, str]], parameters: Mapping[str, str]
) -> Iterator[str]:
    known = {
        field["rename"]: field.get("type", "str")
        for field in fields.values()
        if field.get("position") in ("query", "header") and "rename" in field
    }
    if "source_key" in fields:
        known[_SOURCE] = "str"
    for name, sample in parameters.items():
        if name in ("Action", *_ROUTE) or not sample:
            continue
        kind = known.get("x-oss-meta-" if name.startswith("x-oss-meta-") else name)
        if kind is None:
            yield f"{name} is not a parameter"
        elif kind == "int" and sample != "1":
            yield f"{name} is a whole number"
        elif kind == "bool" and sample not in ("true", "false"):
            yield f"{name} is true or false"


def _answer(result: Any, text: str) -> Iterator[str]:
    root = ET.fromstring(text)  # noqa: S314 - of the sandbox
    fields = result._attribute_map.values()
    expected = getattr(result, "_xml_map", {}).get("name")
    if not any(field.get("tag") == "xml" for field in fields):
        bodies = [field for field in fields if "xml" in str(field.get("type", "")).split(",")]
        if not bodies:
            yield f"the answer is {root.tag}, of which nothing is read"
            return
        (body,) = bodies
        expected = body.get("rename")
        result = result._dependency_map[body["type"].split(",")[0]]["new"]()
    if expected and root.tag != expected:
        yield f"the answer is {root.tag}, not {expected}"
    for one in faults(root, result):
        yield f"answers {one}"


def _body(request: type[Any], text: str) -> Iterator[str]:
    root = ET.fromstring(text)  # noqa: S314 - an outline of what a test has sent
    for name, field in request._attribute_map.items():
        model, _ = _kind(request, name)
        if field.get("position") == "body" and issubclass(model, serde.Model):
            if root.tag != model._xml_map["name"]:
                yield f"the body is {root.tag}, not {model._xml_map['name']}"
            yield from _elements(root, model)
            return
    yield f"{root.tag} is sent, which has no body"


def _elements(root: ET.Element, model: type[Any]) -> Iterator[str]:
    """Yield what is wrong with elements, those below `root`, which the client makes of `model`."""
    names = {
        field.get("rename", name): name
        for name, field in model._attribute_map.items()
        if field.get("tag") == "xml"
    }
    for tag, times in Counter(child.tag for child in root).items():
        if tag not in names:
            yield f"{root.tag}/{tag} is not known"
        elif times > 1 and not _kind(model, names[tag])[1]:
            yield f"{root.tag}/{tag} is there {times} times"
    for child in root:
        place = f"{root.tag}/{child.tag}"
        if child.tag not in names:
            continue
        kind, _ = _kind(model, names[child.tag])
        if issubclass(kind, serde.Model):
            if child.text:
                yield f"{place} has a text"
            yield from _elements(child, kind)
        elif len(child):
            yield f"{place} has elements in it"
        elif child.text not in _SAMPLES.get(kind, (child.text,)):
            yield f"{place} is {child.text}"


@cache
def _kind(model: type[Any], name: str) -> tuple[type[Any], bool]:
    """Return the type of a field, and whether there may be several, as the client declares it."""
    hint = typing.get_type_hints(model.__init__).get(name, str)
    is_list = False
    while arguments := [one for one in typing.get_args(hint) if one is not type(None)]:
        is_list = is_list or typing.get_origin(hint) is list
        # Of a text or an enumeration it is the one or the other.
        hint = arguments[0]
    return hint, is_list
