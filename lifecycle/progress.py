"""How an operation goes on: what its steps report, what takes too long, what is forgotten.

Pure functions from a record, what came of a step and the time to the next record. Which operations
may begin at all is in `lifecycle`.
"""

from __future__ import annotations

from zlib import crc32

from msgspec.structs import replace

from alibroker.brokers.api import NOTHING, Failed, InProgress, Succeeded
from alibroker.lifecycle.commands import Again, Report
from alibroker.lifecycle.records import (
    DELETIONS,
    MAX_EARLIER_PLANS,
    Binding,
    Instance,
    Operation,
    OperationState,
    Private,
    R,
    Record,
    Status,
    noted,
    same_json,
)

UNDO_SHARE = 0.25
"""The part of a creation's time that is kept for removing what a failed one had created."""
MAX_BACK_OFF = 60.0
FREE_CHAIN = 50
"""Steps in a row that may each follow the one before at once."""
CHAIN_PAUSE = 0.25
"""Seconds from one to the next in a longer row: a plugin that never waits must not keep workers and
store from the others."""
MAX_REASON = 1_000
"""Characters of what a step said that are kept where other texts are put around it."""


def advance(record: R, report: Report, now: float) -> R | None:
    """Take in what came of a step. Returns the record to store, None if there is nothing to store.

    The result of a step that is not the one waited for comes from an abandoned attempt. Of it only
    the facts about the cloud are kept, and that an answer never came, so that what it may have
    created can be removed.
    """
    operation, result = record.operation, report.result
    due = operation.in_progress and operation.id == report.operation_id
    if not due or report.step != operation.step:
        return absorbed(record, report, now)
    taken = replace(operation, step=operation.step + 1, tries=0, due_at=now, poll_after=0.0)
    match result:
        case Again():
            tries = operation.tries + 1
            pause = _back_off(operation.id, tries, result.after)
            description = f"{result.reason} Trying again."
            taken = replace(
                taken,
                tries=tries,
                due_at=now + pause,
                description=description,
                last_word=_bounded(result.reason),
            )
            unanswered = result.unanswered and not operation.removing
            unanswered_at = now if unanswered else record.unanswered_at
            return replace(record, operation=taken, unanswered_at=unanswered_at)
        case InProgress():
            return _going_on(record, taken, result, now)
        case Succeeded() if operation.undoing:
            ended = _ended(record, taken, OperationState.FAILED, operation.failure, now)
            return replace(ended, resource=NOTHING, clean=True, unanswered_at=0.0)
        case Succeeded():
            return _succeeded(record, taken, result, now)
        case Failed() if operation.undoing:
            reason = f"{operation.failure} What was created could not be removed: {result.reason}"
            return _ended(record, taken, OperationState.FAILED, reason, now)
        case Failed() if operation.creating:
            return _undo(record, taken, result.reason, now)
        case Failed():
            taken = replace(
                taken,
                instance_usable=result.instance_usable,
                update_repeatable=result.update_repeatable,
            )
            ended = _ended(record, taken, OperationState.FAILED, result.reason, now)
            if isinstance(ended, Instance) and not result.instance_usable:
                ended = replace(ended, usable=False)
            return ended


def absorbed(record: R, report: Report, now: float) -> R | None:
    """Take in what came of an abandoned attempt: facts about the cloud, and a missing answer.

    Returns the record to store, None if there is nothing to store.
    """
    if isinstance(report.result, Again) and report.result.unanswered:
        return replace(record, unanswered_at=now)
    facts = getattr(report.result, "resource", NOTHING)
    if record.status is Status.DELETED or not facts:
        return None
    merged = {**record.resource, **facts}
    if same_json(merged, record.resource):
        return None
    return noted(
        replace(record, resource=merged, clean=False), now, "a step ended after it was given up"
    )


def with_result(report: Report, result: Failed) -> Report:
    """Return the report with another result."""
    return replace(report, result=result)


def next_deadline(operation: Operation) -> float:
    """Return the time at which `expire` has something to do to an operation in progress."""
    if operation.creating and not operation.failure:
        return operation.deadline - UNDO_SHARE * (operation.deadline - operation.started_at)
    return operation.deadline


def due_in(operation: Operation, now: float) -> float:
    """Return the seconds until the next step is due, 0 if it is.

    Never more than can have been meant: by the clock of whoever wrote it, the time may have been
    another.
    """
    longest = operation.poll_after
    if operation.tries:
        longest = MAX_BACK_OFF
    elif operation.chain > FREE_CHAIN:
        longest = CHAIN_PAUSE
    return min(max(0.0, operation.due_at - now), longest)


def expire(record: R, now: float) -> R | None:
    """End what has taken too long: a creation is undone first. None if there is time left.

    What its latest step said is kept: it is why the operation took too long.
    """
    operation = record.operation
    if not operation.in_progress or now < next_deadline(operation):
        return None
    late = replace(operation, step=operation.step + 1, due_at=now, tries=0, poll_after=0.0)
    spent = f"It did not end within {round(now - operation.started_at)} seconds."
    if operation.last_word:
        spent += f" Last: {operation.last_word}"
    if operation.creating and not operation.undoing and now < operation.deadline:
        return _undo(record, late, spent, now)
    reason = spent
    if operation.undoing:
        reason = f"{operation.failure} What was created may not have been removed. {spent}"
    return _ended(record, late, OperationState.FAILED, reason, now)


def forget_at(record: Record, lifetime: float) -> float | None:
    """Return the time from which nobody needs the record any more, None while somebody may.

    `lifetime` is how many seconds after its end the result of an operation can still be asked for
    (OSB, Polling Last Operation: results should not be forgotten at once).
    """
    ended = record.operation.ended_at
    if record.status is Status.DELETED:
        return ended + lifetime
    if record.status is Status.CREATION_FAILED and record.clean:
        return ended + lifetime
    return None


def _going_on(record: R, taken: Operation, result: InProgress, now: float) -> R:
    operation = record.operation
    description = result.description
    if operation.failure:
        description = f"{operation.failure} Removing what was created: {description}"
    chain = 0 if result.poll_after else operation.chain + 1
    due_at = now + result.poll_after
    if chain > FREE_CHAIN:
        due_at = max(now, operation.due_at + CHAIN_PAUSE)
    taken = replace(
        taken,
        description=description,
        chain=chain,
        due_at=due_at,
        poll_after=result.poll_after,
        last_word=_bounded(result.description),
    )
    record = replace(
        record,
        operation=taken,
        resource={**record.resource, **result.resource},
        private=replace(record.private, state=result.state),
    )
    if operation.description == description:
        return record
    return noted(record, now, result.description)


def _undo(record: R, operation: Operation, reason: str, now: float) -> R:
    undoing = replace(
        operation,
        failure=reason,
        description=f"{reason} Removing what was created.",
        last_word="",
    )
    record = replace(record, operation=undoing, private=replace(record.private, state=NOTHING))
    return noted(record, now, f"{operation.kind} failed: {reason}")


def _succeeded(record: R, operation: Operation, result: Succeeded, now: float) -> R:
    ended = _ended(record, operation, OperationState.SUCCEEDED, "", now)
    if operation.kind in DELETIONS:
        ended = replace(
            ended, resource=NOTHING, metadata=NOTHING, private=Private(), unanswered_at=0.0
        )
        if isinstance(ended, Instance):
            return replace(ended, context=NOTHING)
        return replace(ended, endpoints=()) if isinstance(ended, Binding) else ended
    ended = replace(
        ended,
        created=True,
        resource={**record.resource, **result.resource},
        metadata=result.metadata or record.metadata,
    )
    if isinstance(ended, Binding):
        return replace(
            ended,
            endpoints=result.endpoints,
            private=replace(ended.private, credentials=result.credentials),
        )
    if not isinstance(record, Instance) or not isinstance(ended, Instance) or not record.wanted:
        return ended
    wanted = record.wanted
    earlier_plans = ended.earlier_plans
    if wanted.plan_id != ended.plan_id:
        others = (plan_id for plan_id in earlier_plans if plan_id != ended.plan_id)
        earlier_plans = (*others, ended.plan_id)[-MAX_EARLIER_PLANS:]
    return replace(
        ended,
        plan_id=wanted.plan_id,
        earlier_plans=earlier_plans,
        maintenance_version=wanted.maintenance_version,
        context=wanted.context,
        private=replace(ended.private, parameters=record.private.wanted),
    )


def _ended(
    record: R, operation: Operation, state: OperationState, description: str, now: float
) -> R:
    ended = replace(
        operation,
        state=state,
        description=description,
        failure="",
        last_word="",
        due_at=0.0,
        ended_at=now,
    )
    private = replace(record.private, state=NOTHING, wanted=NOTHING)
    record = replace(record, operation=ended, private=private)
    if isinstance(record, Instance):
        record = replace(record, wanted=None)
    return noted(record, now, f"{operation.kind} {state}" + (description and f": {description}"))


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…"


def _back_off(operation_id: str, tries: int, after: float | None) -> float:
    """Return seconds to wait: doubling to a minute, spread so that operations do not march."""
    pause = min(MAX_BACK_OFF, 2.0 ** min(tries - 1, 10))
    spread = crc32(f"{operation_id}{tries}".encode()) / 2**32
    return max(after or 0.0, pause * (0.5 + 0.5 * spread)) + (spread if after else 0.0)
