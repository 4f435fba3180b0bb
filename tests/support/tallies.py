"""What was seen of the cloud's APIs: actions, their parameters, and fields of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Action = tuple[str, str]
"""Product and action."""


@dataclass
class Tally:
    """Names by action; fields are paths such as /Items/DBInstance/Engine."""

    parameters: dict[Action, set[str]] = field(default_factory=dict)
    fields: dict[Action, set[str]] = field(default_factory=dict)

    def add(self, action: Action, parameters: Iterable[str], fields: Iterable[str]) -> None:
        """Count what one call had."""
        self.parameters.setdefault(action, set()).update(parameters)
        self.fields.setdefault(action, set()).update(fields)

    def merge(self, dumped: Mapping[str, Any]) -> None:
        """Add what another process has dumped."""
        for product, action, parameters, fields in dumped["calls"]:
            self.add((product, action), parameters, fields)

    def dump(self) -> dict[str, Any]:
        """Return it as plain lists."""
        return {
            "calls": [
                [*action, sorted(names), sorted(self.fields.get(action, ()))]
                for action, names in sorted(self.parameters.items())
            ]
        }

    def __str__(self) -> str:
        """Say how many there are."""
        parameters, fields = (
            sum(map(len, some.values())) for some in (self.parameters, self.fields)
        )
        return (
            f"{len(self.parameters)} actions, {parameters} parameters, {fields} fields of answers"
        )


def paths(shape: Any, place: str = "") -> Iterator[str]:
    """Yield the paths of the fields in a document of objects and lists, null ones left out."""
    if isinstance(shape, list):
        for one in shape:
            yield from paths(one, place)
    elif isinstance(shape, dict):
        for name, inner in shape.items():
            if inner is not None:
                yield f"{place}/{name}"
                yield from paths(inner, f"{place}/{name}")
