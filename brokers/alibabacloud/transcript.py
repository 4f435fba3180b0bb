"""What a cloud was asked and how it answered, without values: to hold one against another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from alibroker.brokers.alibabacloud.errors import CloudError


class Call(msgspec.Struct, kw_only=True):
    """One call and its answer."""

    product: str
    action: str
    parameters: tuple[str, ...] = ()
    """Their names."""
    code: str = "OK"
    """The error code of an answer that was none."""
    kind: str = ""
    """What the error means."""
    seconds: float = 0.0
    answer: Any = None
    """Names and types of its fields; states, which are what one waits for, with their values."""


class Transcript:
    """Collects calls. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def taken(self) -> list[Call]:
        """Return the calls since this was last asked."""
        with self._lock:
            calls, self._calls = self._calls, []
        return calls

    @contextmanager
    def call(self, product: str, action: str, parameters: Mapping[str, Any]) -> Iterator[Call]:
        """Note a call that is made inside; what comes of it is filled in there."""
        call = Call(product=product.lower(), action=action, parameters=tuple(sorted(parameters)))
        started = time.monotonic()
        try:
            yield call
        except CloudError as error:
            call.code, call.kind = error.code, error.kind.value
            raise
        finally:
            call.seconds = round(time.monotonic() - started, 3)
            with self._lock:
                self._calls.append(call)


def shape(value: Any, name: str = "") -> Any:
    """Return names and types: objects and lists as such, else the name of the type.

    Of what is named a status the value itself, for that is no secret, and says what happens.
    """
    if isinstance(value, Mapping):
        return {key: shape(inner, key) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        found: list[Any] = []
        for one in (shape(inner, name) for inner in value):
            if one not in found:
                found.append(one)
        return found
    if isinstance(value, str) and name.endswith("Status"):
        return value
    return type(value).__name__
