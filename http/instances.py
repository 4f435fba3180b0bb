"""Service instances: provision, fetch, update, deprovision, and their last operation."""

from __future__ import annotations

import time
from typing import Any

import falcon.asgi

from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import NOTHING, OperationKind
from alibroker.http.answers import (
    REFUSALS,
    ask,
    send,
    send_last_operation,
    send_outcome,
    settled,
)
from alibroker.http.bodies import (
    ProvisionBody,
    UpdateBody,
    checked_id,
    read_body,
    required_query,
)
from alibroker.http.checks import (
    check_known,
    check_maintenance_info,
    check_sold,
    common,
    given_parameters,
    maintenance_version,
    offered_plan,
    takes_parameters,
    without_secrets,
)
from alibroker.http.errors import OsbError, bad_request
from alibroker.http.settings import DeletedPoll, EdgeSettings
from alibroker.lifecycle.commands import Answer, Deprovision, Provision, Update, Verdict
from alibroker.lifecycle.records import Key, Operation, Record, Status


class ServiceInstance:
    """`/v2/service_instances/{instance_id}`."""

    def __init__(self, system: BrokerSystem, settings: EdgeSettings) -> None:
        self._system = system
        self._settings = settings

    async def on_put(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Provision."""
        body = await read_body(req, ProvisionBody, self._settings.max_body)
        plan = offered_plan(self._system.catalog, body.service_id, body.plan_id)
        if plan.hidden:
            await settled(self._system)
            check_sold(plan, self._system.view.instance(instance_id))
        check_maintenance_info(plan, body.maintenance_info)
        parameters, _ = given_parameters(
            self._system.catalog, plan.id, OperationKind.PROVISION, body.parameters or NOTHING
        )
        command = Provision(
            instance_id=checked_id("instance_id", instance_id),
            service_id=body.service_id,
            plan_id=body.plan_id,
            organization_guid=body.organization_guid,
            space_guid=body.space_guid,
            context=body.context or NOTHING,
            parameters=parameters,
            maintenance_version=maintenance_version(plan),
            **common(req, plan, OperationKind.PROVISION),
        )
        answer = await ask(self._system, command, self._settings.response_timeout, early=True)
        self._send(resp, answer, ended=201)

    async def on_patch(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Update plan, parameters, maintenance version or context."""
        body = await read_body(req, UpdateBody, self._settings.max_body)
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        catalog = self._system.catalog
        current_id = instance.plan_id if instance else ""
        if catalog.service(body.service_id) is None:
            raise bad_request("service_id is not in the catalog.")
        if body.plan_id is not None and body.plan_id != current_id:
            check_sold(offered_plan(catalog, body.service_id, body.plan_id), instance)
        plan = catalog.plan(body.service_id, body.plan_id or current_id)
        current = catalog.plan(body.service_id, current_id)
        version = check_maintenance_info(plan, body.maintenance_info) if plan else ""
        parameters, unset = given_parameters(
            catalog, plan.id if plan else "", OperationKind.UPDATE, body.parameters or NOTHING
        )
        command = Update(
            instance_id=instance_id,
            service_id=body.service_id,
            plan_id=body.plan_id or "",
            context=body.context or NOTHING,
            parameters=parameters,
            unset=unset,
            maintenance_version=version,
            may_change_plan=current is not None and catalog.plan_updateable(current.id),
            may_change_parameters=takes_parameters(plan),
            **common(req, plan, OperationKind.UPDATE),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        self._send(resp, answer, ended=200)

    async def on_delete(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Deprovision."""
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        if instance is None:
            absent = gone(f"There is no instance {instance_id}.")
            raise unknown(self._system, Key(instance_id), absent)
        service_id = required_query(req, "service_id")
        plan_id = required_query(req, "plan_id")
        check_known(self._system.catalog, instance, service_id, plan_id)
        plan = self._system.catalog.plan(service_id, plan_id)
        command = Deprovision(
            instance_id=instance_id,
            service_id=service_id,
            plan_id=plan_id,
            **common(req, plan, OperationKind.DEPROVISION),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        send_outcome(resp, answer, done=200)

    async def on_get(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Fetch. Parameters that are secrets by their schema are left out."""
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        if instance is None:
            absent = not_found(f"There is no instance {instance_id}.")
            raise unknown(self._system, Key(instance_id), absent)
        check_there(instance, f"Instance {instance_id}")
        body: dict[str, Any] = {"service_id": instance.service_id, "plan_id": instance.plan_id}
        body |= self._settings.dashboard_of(instance_id, instance.service_id)
        plan = self._system.catalog.plan(instance.service_id, instance.plan_id)
        parameters = without_secrets(plan, "service_instance", instance.private.parameters)
        if parameters:
            body["parameters"] = parameters
        if instance.maintenance_version:
            body["maintenance_info"] = {"version": instance.maintenance_version}
        if instance.metadata:
            body["metadata"] = instance.metadata
        send(resp, 200, body)

    on_head = on_get

    def _send(self, resp: falcon.asgi.Response, answer: Answer, *, ended: int) -> None:
        """Answer a provision or an update; `ended` is the status if it was waited for."""
        record = answer.record
        body: dict[str, Any] = {}
        if record is not None:
            body |= self._settings.dashboard_of(record.instance_id, record.service_id)
            if record.metadata and not answer.goes_on:
                body["metadata"] = record.metadata
        send_outcome(resp, answer, done=ended, body=body)


class ServiceInstanceOperation:
    """`/v2/service_instances/{instance_id}/last_operation`."""

    def __init__(self, system: BrokerSystem, settings: EdgeSettings) -> None:
        self._system = system
        self._settings = settings

    async def on_get(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Poll. Touches neither the cloud nor the store."""
        key = Key(checked_id("instance_id", instance_id))
        operation = polled(self._system, key, self._settings, f"instance {instance_id}")
        send_last_operation(resp, operation, time.time(), of_instance=True)

    on_head = on_get


def check_there(record: Record, name: str) -> None:
    """Refuse to fetch what is not there, and say why it is not.

    Raises:
        OsbError: 404.
    """
    if record.status is Status.DELETED:
        raise not_found(f"{name} was deleted.")
    if record.status is Status.CREATING:
        raise not_found(f"{name} is not there yet: it is being created.")
    if not record.created:
        raise not_found(f"{name} was never created.")


def polled(system: BrokerSystem, key: Key, settings: EdgeSettings, name: str) -> Operation:
    """Return the last operation on what has a name for people.

    Raises:
        OsbError: 404, there is no record of it; 410, it was deleted, and the settings say so.
    """
    operation = system.view.operation(key)
    if operation is None:
        raise unknown(system, key, not_found(f"There is no {name}."))
    if operation.has_deleted and settings.deleted_poll == DeletedPoll.GONE:
        raise gone("It was deleted.")
    return operation


def unknown(system: BrokerSystem, key: Key, otherwise: OsbError) -> OsbError:
    """Return the error about what no record tells of.

    Nothing is known before all records are read; one that cannot be read is there all the same.
    """
    if not system.view.complete:
        return OsbError(
            503, "ServiceUnavailable", "The broker is starting.", headers={"Retry-After": "5"}
        )
    if key in system.view.unreadable:
        return OsbError(*REFUSALS[Verdict.UNREADABLE])
    return otherwise


def not_found(description: str) -> OsbError:
    """Return the error about something that is to be shown."""
    return OsbError(404, "NotFound", description)


def gone(description: str) -> OsbError:
    """Return the error about something that is to be deleted."""
    return OsbError(410, "Gone", description)
