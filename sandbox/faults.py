"""Faults that are injected on request: errors, throttling, hangs, resets, wrong answers."""

from __future__ import annotations

import asyncio
import fnmatch
import itertools
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from alibroker.sandbox.wire import Response


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do to which calls.

    Attributes:
        action: Action ("CreateDBInstance", "oss:PutBucket", "ram:*", "*"); wildcards are allowed.
        kind: What happens.
        when: Before the action takes effect, or after it, to its answer.
        times: How many calls are hit; None for all.
        skip: How many matching calls pass first.
        status: HTTP status of the wrong answer.
        code: Error code of the wrong answer.
        message: Its text.
        seconds: Length of a hang or a delay, or the wait that a throttled answer asks for.
    """

    action: str
    kind: Literal["error", "throttle", "hang", "reset", "garbage", "empty", "latency"]
    when: Literal["before", "after"] = "before"
    times: Annotated[int, Meta(ge=1)] | None = 1
    skip: Annotated[int, Meta(ge=0)] = 0
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    code: str | None = None
    message: str | None = None
    seconds: Annotated[float, Meta(ge=0, le=3600)] | None = None


class Armed(msgspec.Struct):
    """A fault in force and how often it has matched and hit."""

    id: str
    fault: Fault
    matched: int = 0
    hit: int = 0


class Faults:
    """The faults in force; the first that matches a call is applied."""

    def __init__(self) -> None:
        self._armed: dict[str, Armed] = {}
        self._ids = itertools.count(1)

    def arm(self, fault: Fault) -> Armed:
        """Put a fault in force."""
        armed = Armed(f"fault-{next(self._ids)}", fault)
        self._armed[armed.id] = armed
        return armed

    def find(self, name: str) -> Armed | None:
        """Return a fault that is in force or was used up."""
        return self._armed.get(name)

    def all(self) -> list[Armed]:
        """Return the faults, used-up ones included."""
        return list(self._armed.values())

    def disarm(self, name: str) -> bool:
        """Remove a fault; False when there is none of that name."""
        return self._armed.pop(name, None) is not None

    def clear(self) -> None:
        """Remove all faults."""
        self._armed.clear()

    def match(self, product: str, action: str) -> Fault | None:
        """Return the fault that hits this call, and count it."""
        for armed in self._armed.values():
            fault = armed.fault
            if fault.times is not None and armed.hit >= fault.times:
                continue
            full = f"{product}:{action}"
            if not (
                fnmatch.fnmatchcase(full, fault.action) or fnmatch.fnmatchcase(action, fault.action)
            ):
                continue
            armed.matched += 1
            if armed.matched > fault.skip:
                armed.hit += 1
                return fault
        return None


class ConnectionLostError(Exception):
    """The fault demands that the connection ends without an answer."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "hang")
        self.reset = reset


async def strike(fault: Fault) -> Response | None:
    """Do what the fault demands; return the wrong answer, if it is one.

    Errors and throttling are not rendered here, since their form depends on the protocol.

    Raises:
        ConnectionLostError: For a reset, and at the end of a hang.
    """
    if fault.kind == "latency":
        await asyncio.sleep(1.0 if fault.seconds is None else fault.seconds)
        return None
    if fault.kind == "hang":
        await asyncio.sleep(60.0 if fault.seconds is None else fault.seconds)
        raise ConnectionLostError(reset=False)
    if fault.kind == "reset":
        raise ConnectionLostError(reset=True)
    if fault.kind == "empty":
        return Response(fault.status or 200, code="Fault.Empty")
    page = b"<html><head><title>502 Bad Gateway</title></head><body>\xff\xfe</body></html>"
    if fault.message is not None:
        page = fault.message.encode()
    return Response(
        fault.status or 502, page, [("content-type", "text/html")], code="Fault.Garbage"
    )
