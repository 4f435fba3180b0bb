"""How what was found in the cloud, and no record knows, gets a record; be it to be deleted.

Pure, as `lifecycle`: from records, the operator's command and the time to a decision. What is
deleted goes through an ordinary deprovision or unbind, so no crash leaves a part of it behind.
"""

from __future__ import annotations

from msgspec.structs import replace

from alibroker.brokers.api import NOTHING, OperationKind
from alibroker.lifecycle.commands import Adopt, Answer, Decision, Verdict
from alibroker.lifecycle.records import (
    Binding,
    Event,
    Instance,
    OperationState,
    Private,
    Record,
    Status,
    noted,
)
from alibroker.lifecycle.transitions import begin, refused, started


def adopt(instance: Instance | None, record: Record | None, command: Adopt, now: float) -> Decision:
    """Decide on the adoption of what `record` (the instance itself, or a binding of it) may know.

    Of an instance whose creation failed and left something, only the deletion is taken up again.
    """
    if record is not None and record.holds_something:
        if not command.delete or record.status is not Status.CREATION_FAILED:
            return refused(Verdict.DIFFERENT, f"There is a record of it: {record.status}.")
        parameters = {**record.private.parameters, **command.parameters}
        begun = replace(
            record,
            operation=begin(command, _deletion(command), now),
            private=replace(record.private, state=NOTHING, parameters=parameters),
        )
        return started(noted(begun, now, "deletion taken up again by an operator"))
    if not command.binding_id:
        return _adopt_instance(command, now)
    if not command.delete and (instance is None or instance.status is not Status.READY):
        return refused(Verdict.UNKNOWN, "Adopt the instance first: its binding needs it.")
    if instance is not None and not command.delete:
        known = instance.resource
        if any(known.get(fact) != value for fact, value in command.within.items()):
            text = f"It is part of something else than the instance's {command.within}."
            return refused(Verdict.DIFFERENT, text)
    return _adopt_binding(command, now)


def _adopt_instance(command: Adopt, now: float) -> Decision:
    kind = OperationKind.DEPROVISION if command.delete else OperationKind.PROVISION
    record = Instance(
        instance_id=command.instance_id,
        service_id=command.service_id,
        plan_id=command.plan_id,
        organization_guid=command.organization_guid,
        space_guid=command.space_guid,
        resource=command.resource,
        private=Private(parameters=command.parameters),
        operation=begin(command, kind, now),
        events=(_note(command, now),),
    )
    if command.delete:
        return started(record)
    ended = replace(record.operation, state=OperationState.SUCCEEDED, due_at=0.0, ended_at=now)
    ready = replace(record, created=True, operation=replace(ended, description="Adopted."))
    return Decision(Answer(Verdict.DONE, record=ready), ready)


def _adopt_binding(command: Adopt, now: float) -> Decision:
    kind = OperationKind.UNBIND if command.delete else OperationKind.BIND
    return started(
        Binding(
            instance_id=command.instance_id,
            binding_id=command.binding_id,
            service_id=command.service_id,
            plan_id=command.plan_id,
            resource=command.resource,
            private=Private(parameters=command.parameters),
            operation=replace(begin(command, kind, now), adopting=not command.delete),
            events=(_note(command, now),),
        )
    )


def _deletion(command: Adopt) -> OperationKind:
    return OperationKind.UNBIND if command.binding_id else OperationKind.DEPROVISION


def _note(command: Adopt, now: float) -> Event:
    purpose = "to be deleted" if command.delete else "adopted"
    return Event(now, f"found in the cloud without a record, {purpose}")
