"""Holds what OSS was asked, and what the sandbox answered, against the models of its newest client.

The journal has a sample of each value in its place: x, 1, true, or a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from alibabacloud_oss_v2 import models
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
_ROUTE = frozenset(["list-type", "comp"])
"""What tells an action from another one, beside names without a value."""


def check(action: str, parameters: Mapping[str, str], answer: str | None) -> list[str]:
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
