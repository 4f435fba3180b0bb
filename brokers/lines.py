"""Where in a YAML file something stands, for messages that name the line."""

from __future__ import annotations

import re
from typing import Final

import yaml

_PATH: Final = re.compile(r"`\$([^`]*)`")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_PLACE: Final = re.compile(r"service '([^']*)'(?:, plan '([^']*)')?")


def line_of_fault(text: str, fault: str) -> int | None:
    """Return the line that a fault is about, from 1; None if the fault names no place.

    A place is a path as msgspec writes it (`$.services[0].id`), or the names of a service and a
    plan. Where the path leads out of what is written there, the line is that of the last part.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    if root is None:
        return None
    path, place = _PATH.search(fault), _PLACE.search(fault)
    if path is not None:
        node: yaml.Node | None = root
        for name, index in _STEP.findall(path[1]):
            inner = _inner(node, int(index) if index else name)
            if inner is None:
                break
            node = inner
    elif place is not None:
        service = _named(_inner(root, "services"), place[1])
        node = _named(_inner(service, "plans"), place[2]) if place[2] else service
        node = node or service
    else:
        return None
    return None if node is None else int(node.start_mark.line) + 1


def _inner(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                inner: yaml.Node = value
                return inner
    return None


def _named(node: yaml.Node | None, name: str) -> yaml.Node | None:
    for one in node.value if isinstance(node, yaml.SequenceNode) else []:
        found = _inner(one, "name")
        if found is not None and found.value == name:
            item: yaml.Node = one
            return item
    return None
