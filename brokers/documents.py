"""Reads YAML documents that people write, strictly."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from alibroker.brokers.lines import line_of_fault

try:
    # Ten times as fast, wherever PyYAML was built with libyaml.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]  # it does the same


class CatalogError(ValueError):
    """A catalog cannot be published as it is; the text names the file and the place."""


class _Loader(SafeLoader):
    """Refuses a key that stands twice, where YAML's usual loader takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in own:
            if own.count(name) > 1:
                raise CatalogError(f"line {node.start_mark.line + 1}: {name!r} stands there twice")
        return super().construct_mapping(node, deep)


def read_document(path: Path) -> tuple[str, Any]:
    """Return the text of a YAML file, and what it says as JSON would have it.

    Members of the outermost object that begin with x- are for anchors, as in Compose files, and
    are left out.

    Raises:
        CatalogError: It cannot be read, or says something that JSON cannot.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
        # Through JSON, so that YAML's dates, odd keys and infinities are found here.
        document = json.loads(json.dumps(document, allow_nan=False))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        raise CatalogError(f"{path}: {error}") from error
    if isinstance(document, dict):
        document = {key: document[key] for key in document if not key.startswith("x-")}
    return text, document


def located(path: Path | None, text: str, fault: str) -> str:
    """Return a fault with the file, and the line if the fault names a place that is found there."""
    line = line_of_fault(text, fault)
    return f"{path}, line {line}: {fault}" if line else f"{path}: {fault}"
