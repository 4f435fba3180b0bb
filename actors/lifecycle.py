"""The state machine of instances and bindings: what may happen, and what comes of it.

Pure functions from a record (or none), a command and the time to a decision. No I/O, no clock, no
threads, no HTTP: `http/` turns verdicts into status codes. Sources: OSB sections Provisioning,
Updating, Binding, Unbinding, Deprovisioning, Blocking Operations and Orphan Mitigation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar
from zlib import crc32

from msgspec.structs import replace

from alibroker.actors.commands import (
    Again,
    Answer,
    Bind,
    Command,
    Decision,
    Deprovision,
    Provision,
    Report,
    Unbind,
    Update,
    Verdict,
)
from alibroker.actors.records import (
    MAX_EVENTS,
    Binding,
    Event,
    Instance,
    Operation,
    OperationState,
    Private,
    Record,
    Status,
    Wanted,
)
from alibroker.brokers.api import NOTHING, Failed, InProgress, OperationKind, Succeeded

R = TypeVar("R", bound=Record)

CREATIONS = (OperationKind.PROVISION, OperationKind.BIND)
DELETIONS = (OperationKind.DEPROVISION, OperationKind.UNBIND)
UNDO_SHARE = 0.25
"""The part of a creation's time that is kept for removing what a failed one had created."""
MAX_BACK_OFF = 60.0


def provision(instance: Instance | None, command: Provision, now: float) -> Decision:
    """Decide on a request to create an instance."""
    if instance is None or instance.status is Status.DELETED:
        return _started(_new_instance(command, now))
    same = (
        instance.service_id == command.service_id
        and instance.plan_id == command.plan_id
        and instance.organization_guid == command.organization_guid
        and instance.space_guid == command.space_guid
        and same_json(instance.private.parameters, command.parameters)
    )
    if instance.status is Status.CREATION_FAILED and same and instance.clean:
        return _started(_new_instance(command, now))
    return _repeated(instance, same=same)


def update(instance: Instance | None, command: Update, now: float) -> Decision:
    """Decide on a request to change an instance.

    What is wanted is kept apart from what is in force until the update has succeeded.
    """
    if instance is None or instance.status is Status.DELETED:
        return _refused(Verdict.UNKNOWN, f"There is no instance {command.instance_id}.")
    if instance.service_id != command.service_id:
        return _refused(Verdict.MISMATCH, "service_id is not the one of the instance.")
    wanted = Wanted(
        plan_id=command.plan_id or instance.plan_id,
        maintenance_version=command.maintenance_version or instance.maintenance_version,
        context=command.context or instance.context,
    )
    parameters = {**instance.private.parameters, **command.parameters}
    if instance.operation.in_progress:
        same = (
            instance.wanted is not None
            and replace(instance.wanted, context=wanted.context) == wanted
            and same_json(instance.private.wanted, parameters)
        )
        return Decision(Answer(Verdict.JOINED, record=instance)) if same else _busy(instance)
    if instance.status is Status.CREATION_FAILED:
        return _refused(Verdict.UNSUPPORTED, "The instance was never created: deprovision it.")
    new_parameters = not same_json(parameters, instance.private.parameters)
    if wanted.plan_id != instance.plan_id and not command.may_change_plan:
        return _refused(Verdict.UNSUPPORTED, "Instances of this plan cannot change to another.")
    if new_parameters and not command.may_change_parameters:
        return _refused(Verdict.UNSUPPORTED, "The parameters of this plan cannot be changed.")
    if (
        wanted.plan_id == instance.plan_id
        and wanted.maintenance_version == instance.maintenance_version
        and not new_parameters
    ):
        if same_json(wanted.context, instance.context):
            return Decision(Answer(Verdict.DONE, record=instance))
        changed = _noted(replace(instance, context=wanted.context), now, "context updated")
        return Decision(Answer(Verdict.DONE, record=changed), changed)
    begun = replace(
        instance,
        operation=_begin(command, OperationKind.UPDATE, now),
        wanted=wanted,
        private=replace(instance.private, wanted=parameters, state=NOTHING),
    )
    return _started(_noted(begun, now, "update accepted"))


def deprovision(
    instance: Instance | None, bindings: Iterable[Binding], command: Deprovision, now: float
) -> Decision:
    """Decide on a request to delete an instance; one that is being created stops being created."""
    if instance is None or instance.status is Status.DELETED:
        return _refused(Verdict.GONE, f"There is no instance {command.instance_id}.")
    if (instance.service_id, instance.plan_id) != (command.service_id, command.plan_id):
        return _refused(Verdict.MISMATCH, "service_id or plan_id are not those of the instance.")
    if instance.status is Status.UPDATING:
        return _busy(instance)
    left = [binding for binding in bindings if _holds_something(binding)]
    if any(binding.operation.in_progress for binding in left):
        return _refused(Verdict.BUSY, "A binding of the instance is being created or deleted.")
    if left:
        names = ", ".join(binding.binding_id for binding in left[:10])
        return _refused(
            Verdict.BINDINGS_LEFT, f"The instance has {len(left)} binding(s); unbind first: {names}"
        )
    return _deletion(instance, command, OperationKind.DEPROVISION, now)


def bind(
    instance: Instance | None,
    binding: Binding | None,
    predecessor: Binding | None,
    command: Bind,
    now: float,
) -> Decision:
    """Decide on a request to create a binding, be it in place of an earlier one."""
    if instance is None or instance.status is Status.DELETED:
        return _refused(Verdict.UNKNOWN, f"There is no instance {command.instance_id}.")
    matches = (instance.service_id, instance.plan_id) == (command.service_id, command.plan_id)
    if binding is not None and binding.status is not Status.DELETED:
        same = matches and _same_binding(binding, command)
        again = binding.status is Status.CREATION_FAILED and same and binding.clean
        if not again:
            return _repeated(binding, same=same)
    elif not matches:
        return _refused(Verdict.MISMATCH, "service_id or plan_id are not those of the instance.")
    if instance.operation.in_progress:
        return _busy(instance)
    if instance.status is not Status.READY or not instance.usable:
        return _refused(Verdict.UNUSABLE, "The instance is not usable: deprovision it.")
    parameters, bind_resource = command.parameters, command.bind_resource
    if command.predecessor_binding_id:
        if predecessor is not None and predecessor.status is Status.CREATING:
            return _busy(predecessor)
        if (
            predecessor is None
            or predecessor.status is not Status.READY
            or predecessor.binding_id == command.binding_id
        ):
            return _refused(
                Verdict.MISMATCH, "predecessor_binding_id is not a binding that can be replaced."
            )
        parameters = parameters or predecessor.private.parameters
        bind_resource = bind_resource or predecessor.bind_resource
    return _started(
        Binding(
            instance_id=command.instance_id,
            binding_id=command.binding_id,
            service_id=command.service_id,
            plan_id=command.plan_id,
            bind_resource=bind_resource,
            context=command.context,
            predecessor_binding_id=command.predecessor_binding_id,
            private=Private(parameters=parameters),
            operation=_begin(command, OperationKind.BIND, now),
            events=(Event(now, "bind accepted"),),
        )
    )


def unbind(binding: Binding | None, command: Unbind, now: float) -> Decision:
    """Decide on a request to delete a binding; one that is being created stops being created."""
    if binding is None or binding.status is Status.DELETED:
        return _refused(Verdict.GONE, f"There is no binding {command.binding_id}.")
    if (binding.service_id, binding.plan_id) != (command.service_id, command.plan_id):
        return _refused(Verdict.MISMATCH, "service_id or plan_id are not those of the binding.")
    return _deletion(binding, command, OperationKind.UNBIND, now)


def advance(record: R, report: Report, now: float) -> R | None:
    """Take in what came of a step. Returns the record to store, None if there is nothing to store.

    The result of a step that is not the one waited for comes from an abandoned attempt. Of it only
    the facts about the cloud are kept, so that what it may have created can be removed.
    """
    operation, result = record.operation, report.result
    due = operation.in_progress and operation.id == report.operation_id
    if not due or report.step != operation.step:
        return _absorbed(record, report, now)
    taken = replace(operation, step=operation.step + 1, tries=0, due_at=now, poll_after=0.0)
    match result:
        case Again():
            tries = operation.tries + 1
            pause = _back_off(operation.id, tries, result.after)
            description = f"{result.reason} Trying again."
            taken = replace(taken, tries=tries, due_at=now + pause, description=description)
            return replace(record, operation=taken)
        case InProgress():
            description = operation.failure or result.description
            if operation.failure:
                description = f"{operation.failure} Removing what was created: {result.description}"
            taken = replace(
                taken,
                description=description,
                due_at=now + result.poll_after,
                poll_after=result.poll_after,
            )
            record = replace(
                record,
                operation=taken,
                resource={**record.resource, **result.resource},
                private=replace(record.private, state=result.state),
            )
            if operation.description == description:
                return record
            return _noted(record, now, result.description)
        case Succeeded() if operation.undoing:
            ended = _ended(record, taken, OperationState.FAILED, operation.failure, now)
            return replace(ended, resource=NOTHING, clean=True)
        case Succeeded():
            return _succeeded(record, taken, result, now)
        case Failed() if operation.undoing:
            reason = f"{operation.failure} What was created could not be removed: {result.reason}"
            return _ended(record, taken, OperationState.FAILED, reason, now)
        case Failed() if operation.kind in CREATIONS:
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


def with_result(report: Report, result: Failed) -> Report:
    """Return the report with another result."""
    return replace(report, result=result)


def next_deadline(operation: Operation) -> float:
    """Return the time at which `expire` has something to do to an operation in progress."""
    if operation.kind in CREATIONS and not operation.failure:
        return operation.deadline - UNDO_SHARE * (operation.deadline - operation.started_at)
    return operation.deadline


def expire(record: R, now: float) -> R | None:
    """End what has taken too long: a creation is undone first. None if there is time left."""
    operation = record.operation
    if not operation.in_progress or now < next_deadline(operation):
        return None
    late = replace(operation, step=operation.step + 1, due_at=now, tries=0, poll_after=0.0)
    spent = f"It did not end within {round(now - operation.started_at)} seconds."
    if operation.kind in CREATIONS and not operation.undoing and now < operation.deadline:
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


def same_json(one: Any, other: Any) -> bool:
    """Compare as JSON: key order is irrelevant, 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def _new_instance(command: Provision, now: float) -> Instance:
    return Instance(
        instance_id=command.instance_id,
        service_id=command.service_id,
        plan_id=command.plan_id,
        organization_guid=command.organization_guid,
        space_guid=command.space_guid,
        context=command.context,
        maintenance_version=command.maintenance_version,
        private=Private(parameters=command.parameters),
        operation=_begin(command, OperationKind.PROVISION, now),
        events=(Event(now, "provision accepted"),),
    )


def _begin(command: Command, kind: OperationKind, now: float) -> Operation:
    return Operation(
        id=command.operation_id,
        kind=kind,
        started_at=now,
        deadline=now + command.duration,
        due_at=now,
        requested_by=command.requested_by,
        description="Accepted.",
    )


def _deletion(record: R, command: Command, kind: OperationKind, now: float) -> Decision:
    if record.status is Status.DELETING:
        return Decision(Answer(Verdict.JOINED, record=record))
    note = f"{kind} accepted"
    if record.operation.in_progress:
        note += f", {record.operation.kind} stopped"
    begun = replace(
        record,
        operation=_begin(command, kind, now),
        private=replace(record.private, state=NOTHING),
        clean=False,
    )
    return _started(_noted(begun, now, note))


def _repeated(record: Record, *, same: bool) -> Decision:
    """Answer a request to create what is there already (OSB, idempotency of PUT)."""
    match record.status:
        case Status.CREATING if same:
            return Decision(Answer(Verdict.JOINED, record=record))
        case Status.READY if same:
            return Decision(Answer(Verdict.DONE, record=record))
        case Status.UPDATING | Status.DELETING:
            return _busy(record)
        case Status.CREATION_FAILED if same:
            return _refused(
                Verdict.DIFFERENT,
                "Its creation failed and something may be left of it: delete it first.",
            )
    return _refused(Verdict.DIFFERENT, "The id is in use with other attributes.")


def _undo(record: R, operation: Operation, reason: str, now: float) -> R:
    undoing = replace(operation, failure=reason, description=f"{reason} Removing what was created.")
    record = replace(record, operation=undoing, private=replace(record.private, state=NOTHING))
    return _noted(record, now, f"{operation.kind} failed: {reason}")


def _succeeded(record: R, operation: Operation, result: Succeeded, now: float) -> R:
    ended = _ended(record, operation, OperationState.SUCCEEDED, "", now)
    if operation.kind in DELETIONS:
        ended = replace(ended, resource=NOTHING, metadata=NOTHING, private=Private())
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
    wanted = record.wanted if isinstance(record, Instance) else None
    if wanted is None:
        return ended
    return replace(
        ended,
        plan_id=wanted.plan_id,
        maintenance_version=wanted.maintenance_version,
        context=wanted.context,
        private=replace(ended.private, parameters=record.private.wanted),
    )


def _ended(
    record: R, operation: Operation, state: OperationState, description: str, now: float
) -> R:
    ended = replace(
        operation, state=state, description=description, failure="", due_at=0.0, ended_at=now
    )
    private = replace(record.private, state=NOTHING, wanted=NOTHING)
    record = replace(record, operation=ended, private=private)
    if isinstance(record, Instance):
        record = replace(record, wanted=None)
    return _noted(record, now, f"{operation.kind} {state}" + (description and f": {description}"))


def _absorbed(record: R, report: Report, now: float) -> R | None:
    facts = getattr(report.result, "resource", NOTHING)
    if record.status is Status.DELETED or not facts:
        return None
    merged = {**record.resource, **facts}
    if same_json(merged, record.resource):
        return None
    return _noted(
        replace(record, resource=merged, clean=False), now, "a step ended after it was given up"
    )


def _noted(record: R, now: float, what: str) -> R:
    return replace(record, events=(*record.events, Event(now, what))[-MAX_EVENTS:])


def _holds_something(binding: Binding) -> bool:
    return not (
        binding.status is Status.DELETED
        or (binding.status is Status.CREATION_FAILED and binding.clean)
    )


def _same_binding(binding: Binding, command: Bind) -> bool:
    if binding.predecessor_binding_id != command.predecessor_binding_id:
        return False
    # What a rotation leaves out it takes over from the predecessor.
    rotation = bool(command.predecessor_binding_id)
    same_parameters = same_json(binding.private.parameters, command.parameters)
    same_scope = same_json(_scope(binding.bind_resource), _scope(command.bind_resource))
    return (same_parameters or (rotation and not command.parameters)) and (
        same_scope or (rotation and not command.bind_resource)
    )


def _scope(bind_resource: Any) -> dict[str, Any]:
    """Return what the credentials are for, which is what makes two bind requests the same."""
    return {name: bind_resource[name] for name in ("app_guid", "route") if name in bind_resource}


def _back_off(operation_id: str, tries: int, after: float | None) -> float:
    """Return seconds to wait: doubling to a minute, spread so that operations do not march."""
    pause = min(MAX_BACK_OFF, 2.0 ** min(tries - 1, 10))
    spread = crc32(f"{operation_id}{tries}".encode()) / 2**32
    return max(after or 0.0, pause * (0.5 + 0.5 * spread)) + (spread if after else 0.0)


def _started(record: Record) -> Decision:
    return Decision(Answer(Verdict.STARTED, record=record), record)


def _busy(record: Record) -> Decision:
    return _refused(
        Verdict.BUSY, f"Its {record.operation.kind} is in progress: wait until it has ended."
    )


def _refused(verdict: Verdict, description: str) -> Decision:
    return Decision(Answer(verdict, description))
