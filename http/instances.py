"""Service instances: provision, fetch, update, deprovision, and their last operation."""

from __future__ import annotations

import time

import falcon.asgi

from alibroker.actors.commands import Deprovision, Provision, Update, Verdict
from alibroker.actors.records import Status
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import NOTHING, OperationKind
from alibroker.http.answers import ask, send, send_accepted, send_last_operation
from alibroker.http.bodies import (
    ProvisionBody,
    UpdateBody,
    checked_id,
    read_body,
    required_query,
)
from alibroker.http.checks import (
    check_asynchronous,
    check_known,
    check_maintenance_info,
    check_parameters,
    common,
    offered_plan,
    without_secrets,
)
from alibroker.http.errors import OsbError, bad_request
from alibroker.http.settings import EdgeSettings


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
        incomplete = check_asynchronous(req, plan, OperationKind.PROVISION)
        check_maintenance_info(plan, body.maintenance_info)
        parameters = body.parameters or NOTHING
        check_parameters(self._system.catalog, plan.id, OperationKind.PROVISION, parameters)
        command = Provision(
            instance_id=checked_id("instance_id", instance_id),
            service_id=body.service_id,
            plan_id=body.plan_id,
            organization_guid=body.organization_guid,
            space_guid=body.space_guid,
            context=body.context or NOTHING,
            parameters=parameters,
            **common(req, plan, incomplete=incomplete),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        match answer.verdict, answer.record:
            case (Verdict.STARTED | Verdict.JOINED, record) if record is not None:
                send_accepted(resp, record)
            case (Verdict.ENDED, _):
                send(resp, 201, {})
            case _:
                send(resp, 200, {})

    async def on_patch(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Update."""
        body = await read_body(req, UpdateBody, self._settings.max_body)
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        catalog = self._system.catalog
        if catalog.service(body.service_id) is None:
            raise bad_request("service_id is not in the catalog.")
        plan_id = body.plan_id or (instance.plan_id if instance else "")
        plan = catalog.plan(body.service_id, plan_id)
        if body.plan_id and plan is None:
            raise bad_request("plan_id is not a plan of this service.")
        if plan is not None:
            check_maintenance_info(plan, body.maintenance_info)
        command = Update(
            instance_id=instance_id,
            service_id=body.service_id,
            plan_id=body.plan_id or "",
            context=body.context or NOTHING,
            parameters=body.parameters or NOTHING,
            **common(req, plan, incomplete=True),
        )
        await ask(self._system, command, self._settings.response_timeout)
        send(resp, 200, {})

    async def on_delete(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Deprovision."""
        service_id = required_query(req, "service_id")
        plan_id = required_query(req, "plan_id")
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        check_known(self._system.catalog, instance, service_id, plan_id)
        plan = self._system.catalog.plan(service_id, plan_id)
        incomplete = check_asynchronous(req, plan, OperationKind.DEPROVISION)
        command = Deprovision(
            instance_id=instance_id,
            service_id=service_id,
            plan_id=plan_id,
            **common(req, plan, incomplete=incomplete),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        if answer.verdict in (Verdict.STARTED, Verdict.JOINED) and answer.record is not None:
            send_accepted(resp, answer.record)
        else:
            send(resp, 200, {})

    async def on_get(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Fetch. Parameters that are secrets by their schema are left out."""
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        if instance is None:
            raise not_found(self._system, f"There is no instance {instance_id}.")
        if not instance.created or instance.status is Status.DELETED:
            raise OsbError(404, "NotFound", f"Instance {instance_id} is not there (yet).")
        body = {"service_id": instance.service_id, "plan_id": instance.plan_id}
        plan = self._system.catalog.plan(instance.service_id, instance.plan_id)
        parameters = without_secrets(plan, "service_instance", instance.private.parameters)
        send(resp, 200, {**body, "parameters": parameters} if parameters else dict(body))


class ServiceInstanceOperation:
    """`/v2/service_instances/{instance_id}/last_operation`."""

    def __init__(self, system: BrokerSystem) -> None:
        self._system = system

    async def on_get(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, instance_id: str
    ) -> None:
        """Poll. Touches neither the cloud nor the store."""
        instance = self._system.view.instance(checked_id("instance_id", instance_id))
        if instance is None:
            raise not_found(self._system, f"There is no instance {instance_id}.")
        send_last_operation(resp, instance.operation, time.time(), of_instance=True)


def not_found(system: BrokerSystem, description: str) -> OsbError:
    """Return the error for something unknown; before all records are read, nothing is known."""
    if not system.view.complete:
        return OsbError(
            503, "ServiceUnavailable", "The broker is starting.", headers={"Retry-After": "5"}
        )
    return OsbError(404, "NotFound", description)
