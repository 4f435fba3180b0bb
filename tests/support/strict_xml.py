"""Has the vendor's newer OSS client refuse what it would pass over in an XML answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from alibabacloud_oss_v2 import serde


@contextmanager
def strict_xml() -> Iterator[None]:
    """Within, each element of an answer must be one that the client's models name, and in kind.

    Its models are dictionaries from its own names to those of elements, which may be paths.
    """
    read = serde._deserialize_xml_model

    def check(root: Element, into: Any) -> None:
        wrong = list(faults(root, into))
        assert not wrong, f"{type(into).__name__}: {', '.join(wrong)}"
        read(root, into)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serde, "_deserialize_xml_model", check)
        yield


def faults(root: Element, into: Any) -> Iterator[str]:
    """Yield the elements below `root` that the model `into` does not read, or not as they are."""
    fields = {
        field.get("rename", name): str(field.get("type", "str")).split(",")[0]
        for name, field in into._attribute_map.items()
        if field.get("tag") == "xml"
    }
    for path, elements in _leaves(root, "", fields).items():
        kind = fields.get(path)
        if kind is None:
            yield f"{path} is not read"
            continue
        if len(elements) > 1 and not kind.startswith("["):
            yield f"{path} is there {len(elements)} times"
        for element in elements:
            if kind.strip("[]").islower() and len(element):
                yield f"{path} has elements in it"
            if kind == "bool" and element.text not in ("true", "false"):
                yield f"{path} is {element.text}"
            if kind == "int" and not re.fullmatch(r"(-?\d+)?", element.text or ""):
                yield f"{path} is {element.text}"


def _leaves(root: Element, prefix: str, fields: dict[str, str]) -> dict[str, list[Element]]:
    """Return the elements by path, following paths as far as a field leads along them."""
    found: dict[str, list[Element]] = {}
    for element in root:
        path = prefix + element.tag
        if any(name.startswith(f"{path}/") for name in fields):
            for inner, elements in _leaves(element, f"{path}/", fields).items():
                found.setdefault(inner, []).extend(elements)
        else:
            found.setdefault(path, []).append(element)
    return found
