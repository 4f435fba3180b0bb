"""From verdicts to responses: the one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import falcon
import falcon.asgi
import msgspec

from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import NOTHING
from alibroker.http.awaited import Awaited
from alibroker.http.errors import ASYNC_REQUIRED, CONCURRENCY, OsbError, behind
from alibroker.lifecycle.commands import Answer, Command, Verdict
from alibroker.lifecycle.records import Operation, OperationState, Record

RETRY_AFTER: Final = {"Retry-After": "5"}
POLL_INTERVAL: Final = 5.0
"""Seconds between polls that are suggested while nothing better is known."""

REFUSALS: Final[dict[Verdict, tuple[int, str, str]]] = {
    # verdict: status, error, description where the verdict's own must not or does not say more
    Verdict.DIFFERENT: (409, "Conflict", ""),
    Verdict.BUSY: (422, "ConcurrencyError", CONCURRENCY),
    Verdict.GONE: (410, "Gone", ""),
    Verdict.UNKNOWN: (404, "NotFound", ""),
    Verdict.MISMATCH: (400, "BadRequest", ""),
    Verdict.BINDINGS_LEFT: (422, "BindingsExist", ""),
    # Not 422: with an unknown code that makes platforms delete what they asked for.
    Verdict.UNUSABLE: (400, "InstanceUnusable", ""),
    Verdict.ASYNC_REQUIRED: (422, "AsyncRequired", ASYNC_REQUIRED),
    Verdict.UNSUPPORTED: (422, "NotSupported", ""),
    # Not 5xx: that makes platforms delete what they asked for.
    Verdict.FULL: (429, "TooManyRequests", ""),
    # 5xx, for the change may have reached the store: a delete is then the right reaction.
    Verdict.UNAVAILABLE: (503, "ServiceUnavailable", ""),
    Verdict.TOO_LARGE: (413, "PayloadTooLarge", ""),
    Verdict.UNREADABLE: (
        500,
        "RecordUnreadable",
        "The broker's record of it cannot be read; its operator has to look at it.",
    ),
    Verdict.ERROR: (500, "InternalError", "An internal error of the broker; its log says more."),
}


async def ask(
    system: BrokerSystem,
    command: Command,
    timeout: float,  # noqa: ASYNC109
    *,
    early: bool = False,
) -> Answer:
    """Submit a command and await its answer, at most `timeout` seconds.

    Args:
        system: the broker.
        command: what is to be done.
        timeout: seconds.
        early: whether nobody has waited until the records are up to date.

    Raises:
        OsbError: The command was refused, failed, or is not through yet.
    """
    reply: Awaited[Answer] = Awaited()
    system.send(command, reply, early=early)
    try:
        answer = await reply.within(timeout)
        if answer.verdict is Verdict.UNSURE:
            await settled(system)
            reply = Awaited()
            system.send(command, reply)
            answer = await reply.within(timeout)
    except TimeoutError:
        # 5xx, for the operation goes on: the platform is to undo what it no longer waits for.
        raise OsbError(
            504, "TimedOut", f"It was not done within {timeout:.0f} seconds and goes on."
        ) from None
    if answer.verdict in REFUSALS:
        status, error, description = REFUSALS[answer.verdict]
        late = status in (429, 503)
        raise OsbError(
            status,
            error,
            description or answer.description,
            headers=RETRY_AFTER if late else None,
        )
    record = answer.record
    if answer.verdict is Verdict.ENDED and record is not None:
        _raise_if_failed(record)
    return answer


async def settled(system: BrokerSystem) -> None:
    """Wait until the records are up to date.

    Raises:
        OsbError: 503, that cannot be seen to now.
    """
    if not await system.up_to_date():
        raise behind()


def send(resp: falcon.asgi.Response, status: int, body: dict[str, Any]) -> None:
    """Answer with a JSON object."""
    resp.status = status
    resp.data = msgspec.json.encode(body)
    resp.content_type = falcon.MEDIA_JSON


def send_outcome(
    resp: falcon.asgi.Response, answer: Answer, *, done: int, body: Mapping[str, Any] = NOTHING
) -> None:
    """Answer a change: 202 while it goes on, 200 if it was so already, else `done`."""
    record = answer.record
    if answer.goes_on and record is not None:
        send(resp, 202, {**body, "operation": record.operation.id})
    else:
        send(resp, done if answer.verdict is Verdict.ENDED else 200, dict(body))


def send_last_operation(
    resp: falcon.asgi.Response, operation: Operation, now: float, *, of_instance: bool
) -> None:
    """Answer a poll (OSB, Polling Last Operation)."""
    body: dict[str, Any] = {"state": operation.state}
    if operation.description:
        body["description"] = operation.description
    if operation.in_progress:
        wait = operation.poll_after or POLL_INTERVAL
        resp.set_header("Retry-After", str(max(1, math.ceil(min(wait, operation.deadline - now)))))
    elif operation.state is OperationState.FAILED and of_instance:
        body |= _usability(operation)
    send(resp, 200, body)


def _usability(operation: Operation) -> dict[str, bool]:
    """Return what a failed update or deprovision, and no other, has to say."""
    said = {}
    if operation.kind in ("update", "deprovision"):
        said["instance_usable"] = operation.instance_usable
    if operation.kind == "update":
        said["update_repeatable"] = operation.update_repeatable
    return said


def _raise_if_failed(record: Record) -> None:
    operation = record.operation
    if operation.state is not OperationState.FAILED:
        return
    # What left nothing behind is a refusal; for anything else the platform's clean-up is wanted.
    harmless = record.clean or record.created
    raise OsbError(
        400 if harmless else 500,
        "OperationFailed",
        operation.description,
        more=_usability(operation),
    )
