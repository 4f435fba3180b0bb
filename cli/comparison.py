"""Two records of whole lives, held against each other: where two clouds behave differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from alibroker.brokers.alibabacloud.errors import Kind
from alibroker.brokers.alibabacloud.transcript import Call
from alibroker.cli.trial import Life

_MOMENTARY: Final = frozenset({Kind.RETRY.value, Kind.THROTTLED.value, Kind.NOT_FOUND.value})
"""Kinds of errors that come and go by themselves while one waits."""


def differences(one: Iterable[Life], other: Iterable[Life]) -> Iterator[str]:
    """Yield what differs, life by life: outcomes, actions, error codes, fields and states.

    How often something was asked, when, and how long it took is a matter of moments, and so is what
    the cloud was busy with just then: all that is left out.
    """
    others = {(life.plugin, life.plan): life for life in other}
    for life in one:
        place = f"{life.plugin} {life.plan}"
        twin = others.get((life.plugin, life.plan))
        if twin is None:
            yield f"{place}: only in one of them"
            continue
        for text in (*_of_phases(life, twin), *_of_calls(life, twin)):
            yield f"{place}: {text}"


def _of_phases(one: Life, other: Life) -> Iterator[str]:
    outcomes = {phase.name: phase.outcome for phase in other.phases}
    for phase in one.phases:
        there = outcomes.get(phase.name, "left out")
        if phase.outcome != there:
            yield f"{phase.name}: {phase.outcome!r} here, {there!r} there"


def _of_calls(one: Life, other: Life) -> Iterator[str]:
    here, there = _by_action(one), _by_action(other)
    for action in sorted(here.keys() | there.keys()):
        if action not in here or action not in there:
            yield f"{action} is called only {'here' if action in here else 'there'}"
            continue
        for what, mine, theirs in (
            ("code", _codes(here[action]), _codes(there[action])),
            ("field", _fields(here[action]), _fields(there[action])),
        ):
            for text in sorted(mine - theirs):
                yield f"{action}: {what} {text} only here"
            for text in sorted(theirs - mine):
                yield f"{action}: {what} {text} only there"


def _by_action(life: Life) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for phase in life.phases:
        for call in phase.calls:
            found.setdefault(f"{call.product}:{call.action}", []).append(call)
    return found


def _codes(calls: Iterable[Call]) -> set[str]:
    return {call.code for call in calls if call.kind not in _MOMENTARY}


def _fields(calls: Iterable[Call]) -> set[str]:
    """Return the paths of all fields of answers, with their types, or their states."""
    return {path for call in calls for path in _paths(call.answer, "")}


def _paths(shape: Any, path: str) -> Iterator[str]:
    if isinstance(shape, Mapping):
        for name, inner in shape.items():
            yield from _paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(shape, list):
        for inner in shape:
            yield from _paths(inner, f"{path}[]")
    elif path:
        yield f"{path} = {shape}"
