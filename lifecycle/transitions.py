"""The state machine of instances and bindings: what may happen, and what comes of it.

Pure functions from a record (or none), a command and the time to a decision. No I/O, no clock, no
threads, no HTTP: `http/` turns verdicts into status codes. Sources: OSB sections Provisioning,
Updating, Binding, Unbinding, Deprovisioning, Blocking Operations and Orphan Mitigation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from alibroker.brokers.api import NOTHING, OperationKind
from alibroker.lifecycle.commands import (
    Answer,
    Bind,
    Command,
    Decision,
    Deprovision,
    Provision,
    Unbind,
    Update,
    Verdict,
)
from alibroker.lifecycle.records import (
    Binding,
    Event,
    Instance,
    Operation,
    Private,
    R,
    Record,
    Status,
    Wanted,
    noted,
    same_json,
)


def provision(instance: Instance | None, command: Provision, now: float) -> Decision:
    """Decide on a request to create an instance."""
    if instance is None or instance.status is Status.DELETED:
        return started(_new_instance(command, now))
    same = (
        instance.service_id == command.service_id
        and instance.plan_id == command.plan_id
        and instance.organization_guid == command.organization_guid
        and instance.space_guid == command.space_guid
        and same_json(instance.private.parameters, command.parameters)
    )
    if instance.status is Status.CREATION_FAILED and same and instance.clean:
        return started(_new_instance(command, now))
    return _repeated(instance, same=same)


def update(instance: Instance | None, command: Update, now: float) -> Decision:
    """Decide on a request to change an instance.

    What is wanted is kept apart from what is in force until the update has succeeded.
    """
    if instance is None or instance.status is Status.DELETED:
        return refused(Verdict.UNKNOWN, f"There is no instance {command.instance_id}.")
    if instance.service_id != command.service_id:
        return refused(Verdict.MISMATCH, "service_id is not the one of the instance.")
    wanted = Wanted(
        plan_id=command.plan_id or instance.plan_id,
        maintenance_version=command.maintenance_version or instance.maintenance_version,
        context=command.context or instance.context,
    )
    parameters = {
        name: value
        for name, value in {**instance.private.parameters, **command.parameters}.items()
        if name not in command.unset
    }
    if instance.operation.in_progress:
        same = (
            instance.wanted is not None
            and replace(instance.wanted, context=wanted.context) == wanted
            and same_json(instance.private.wanted, parameters)
        )
        return Decision(Answer(Verdict.JOINED, record=instance)) if same else _busy(instance)
    if instance.status is Status.CREATION_FAILED:
        return refused(Verdict.UNSUPPORTED, "The instance was never created: deprovision it.")
    new_parameters = not same_json(parameters, instance.private.parameters)
    if wanted.plan_id != instance.plan_id and not command.may_change_plan:
        return refused(Verdict.UNSUPPORTED, "Instances of this plan cannot change to another.")
    if new_parameters and not command.may_change_parameters:
        return refused(Verdict.UNSUPPORTED, "The parameters of this plan cannot be changed.")
    if (
        wanted.plan_id == instance.plan_id
        and wanted.maintenance_version == instance.maintenance_version
        and not new_parameters
    ):
        if same_json(wanted.context, instance.context):
            return Decision(Answer(Verdict.DONE, record=instance))
        changed = noted(replace(instance, context=wanted.context), now, "context updated")
        return Decision(Answer(Verdict.DONE, record=changed), changed)
    begun = replace(
        instance,
        operation=begin(command, OperationKind.UPDATE, now),
        wanted=wanted,
        private=replace(instance.private, wanted=parameters, state=NOTHING),
    )
    return started(noted(begun, now, "update accepted"))


def deprovision(
    instance: Instance | None, bindings: Iterable[Binding], command: Deprovision, now: float
) -> Decision:
    """Decide on a request to delete an instance; one that is being created stops being created.

    Soon after a change of plan, or of one whose answer was lost, platforms may name the old one.
    """
    if instance is None or instance.status is Status.DELETED:
        return refused(Verdict.GONE, f"There is no instance {command.instance_id}.")
    plans = (instance.plan_id, *instance.earlier_plans)
    if instance.service_id != command.service_id or command.plan_id not in plans:
        return refused(Verdict.MISMATCH, "service_id or plan_id are not those of the instance.")
    if instance.status is Status.UPDATING:
        return _busy(instance)
    left = [binding for binding in bindings if binding.holds_something]
    if any(binding.operation.in_progress for binding in left):
        return refused(Verdict.BUSY, "A binding of the instance is being created or deleted.")
    if left:
        names = ", ".join(binding.binding_id for binding in left[:10])
        return refused(
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
        return refused(Verdict.UNKNOWN, f"There is no instance {command.instance_id}.")
    matches = (instance.service_id, instance.plan_id) == (command.service_id, command.plan_id)
    if binding is not None and binding.status is not Status.DELETED:
        # It may have been made before a change of the instance's plan; its repeat names either.
        matches |= (binding.service_id, binding.plan_id) == (command.service_id, command.plan_id)
        same = matches and _same_binding(binding, command)
        again = binding.status is Status.CREATION_FAILED and same and binding.clean
        if not again:
            return _repeated(binding, same=same)
    elif not matches:
        return refused(Verdict.MISMATCH, "service_id or plan_id are not those of the instance.")
    if instance.operation.in_progress:
        return _busy(instance)
    if instance.status is not Status.READY or not instance.usable:
        return refused(Verdict.UNUSABLE, "The instance is not usable: deprovision it.")
    parameters, bind_resource = command.parameters, command.bind_resource
    if command.predecessor_binding_id:
        if predecessor is not None and predecessor.status is Status.CREATING:
            return _busy(predecessor)
        if (
            predecessor is None
            or predecessor.status is not Status.READY
            or predecessor.binding_id == command.binding_id
        ):
            return refused(
                Verdict.MISMATCH, "predecessor_binding_id is not a binding that can be replaced."
            )
        parameters = parameters or predecessor.private.parameters
        bind_resource = bind_resource or predecessor.bind_resource
    return started(
        Binding(
            instance_id=command.instance_id,
            binding_id=command.binding_id,
            service_id=command.service_id,
            plan_id=instance.plan_id,
            bind_resource=bind_resource,
            context=command.context,
            predecessor_binding_id=command.predecessor_binding_id,
            private=Private(parameters=parameters),
            operation=begin(command, OperationKind.BIND, now),
            events=(Event(now, "bind accepted"),),
        )
    )


def unbind(
    instance: Instance | None, binding: Binding | None, command: Unbind, now: float
) -> Decision:
    """Decide on a request to delete a binding; one that is being created stops being created.

    After a change of the instance's plan, platforms name the new one.
    """
    if binding is None or binding.status is Status.DELETED:
        return refused(Verdict.GONE, f"There is no binding {command.binding_id}.")
    plans = {binding.plan_id, instance.plan_id} if instance else {binding.plan_id}
    if binding.service_id != command.service_id or command.plan_id not in plans:
        return refused(Verdict.MISMATCH, "service_id or plan_id are not those of the binding.")
    return _deletion(binding, command, OperationKind.UNBIND, now)


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
        operation=begin(command, OperationKind.PROVISION, now),
        events=(Event(now, "provision accepted"),),
    )


def begin(command: Command, kind: OperationKind, now: float) -> Operation:
    """Return the operation that a command starts."""
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
        operation=begin(command, kind, now),
        private=replace(record.private, state=NOTHING),
        clean=False,
    )
    return started(noted(begun, now, note))


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
            return refused(
                Verdict.DIFFERENT,
                "Its creation failed and something may be left of it: delete it first.",
            )
    return refused(Verdict.DIFFERENT, "The id is in use with other attributes.")


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
    return {name: bind_resource[name] for name in ("app_guid", "route") if bind_resource.get(name)}


def started(record: Record) -> Decision:
    """Accept: the record has an operation in progress now."""
    return Decision(Answer(Verdict.STARTED, record=record), record)


def _busy(record: Record) -> Decision:
    return refused(
        Verdict.BUSY, f"Its {record.operation.kind} is in progress: wait until it has ended."
    )


def refused(verdict: Verdict, description: str) -> Decision:
    """Answer with the reason, and change nothing."""
    return Decision(Answer(verdict, description))
