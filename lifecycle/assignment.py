"""From records to what a step function gets to see."""

from __future__ import annotations

from alibroker.brokers.api import NOTHING, Json, OperationKind, Work
from alibroker.brokers.catalog import Catalog
from alibroker.lifecycle.records import Binding, Instance, Key
from alibroker.lifecycle.view import View

UNDO = {
    OperationKind.PROVISION: OperationKind.DEPROVISION,
    OperationKind.BIND: OperationKind.UNBIND,
}


def work_for(
    view: View,
    catalog: Catalog,
    due: tuple[Key, str, int],
    now: float,
    observation: Json | None = None,
) -> Work | None:
    """Return the work of an operation whose step is due, None if that is no longer so.

    `due` is the record's key, the operation's id and the step. A creation that is being undone
    looks to the plugin like a deletion.
    """
    key, operation_id, step = due
    record = view.get(key)
    if record is None:
        return None
    operation = record.operation
    instance = view.instance(key.instance_id)
    if instance is None:
        # Of a binding that was found in the cloud and is to go; its instance is not known any more.
        instance = Instance(
            instance_id=key.instance_id,
            service_id=record.service_id,
            plan_id=record.plan_id,
            operation=operation,
        )
    if not operation.in_progress or (operation.id, operation.step) != (operation_id, step):
        return None
    # An update works towards what is wanted; everything else is about what is in force.
    updating = operation.kind is OperationKind.UPDATE and instance.wanted is not None
    wanted = instance.wanted if updating else None
    plan_id = wanted.plan_id if wanted else instance.plan_id
    plan = catalog.plan(instance.service_id, plan_id)
    binding = record if isinstance(record, Binding) else None
    return Work(
        operation_id=operation_id,
        kind=UNDO[operation.kind] if operation.undoing else operation.kind,
        instance_id=key.instance_id,
        service_id=instance.service_id,
        plan_id=plan_id,
        plan_settings=plan.settings if plan else NOTHING,
        parameters=instance.private.wanted if wanted else instance.private.parameters,
        previous_plan_id=instance.plan_id if wanted else "",
        previous_parameters=instance.private.parameters if wanted else NOTHING,
        context=instance.context,
        organization_guid=instance.organization_guid,
        space_guid=instance.space_guid,
        requested_by=operation.requested_by,
        resource=instance.resource,
        binding_id=key.binding_id,
        binding_parameters=binding.private.parameters if binding else NOTHING,
        bind_resource=binding.bind_resource if binding else NOTHING,
        binding_resource=binding.resource if binding else NOTHING,
        state=record.private.state,
        observation=observation,
        unanswered_at=record.unanswered_at,
        started_at=operation.started_at,
        now=now,
    )
