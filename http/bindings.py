"""Service bindings: bind, fetch, unbind, and their last operation."""

from __future__ import annotations

import time
from typing import Any

import falcon.asgi

from alibroker.actors.commands import Bind, Unbind, Verdict
from alibroker.actors.records import Binding, Status
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import NOTHING, OperationKind
from alibroker.http.answers import ask, send, send_accepted, send_last_operation
from alibroker.http.bodies import BindBody, checked_id, read_body, required_query
from alibroker.http.checks import (
    check_asynchronous,
    check_known,
    check_parameters,
    common,
    offered_plan,
    without_secrets,
)
from alibroker.http.errors import OsbError, bad_request
from alibroker.http.instances import not_found
from alibroker.http.settings import EdgeSettings


class ServiceBinding:
    """`/v2/service_instances/{instance_id}/service_bindings/{binding_id}`."""

    def __init__(self, system: BrokerSystem, settings: EdgeSettings) -> None:
        self._system = system
        self._settings = settings

    async def on_put(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        instance_id: str,
        binding_id: str,
    ) -> None:
        """Bind."""
        body = await read_body(req, BindBody, self._settings.max_body)
        catalog = self._system.catalog
        plan = offered_plan(catalog, body.service_id, body.plan_id)
        if not catalog.bindable(plan.id):
            raise bad_request("Instances of this plan cannot be bound.")
        if body.predecessor_binding_id is not None:
            raise bad_request("Bindings of this plan cannot be rotated: bind without predecessor.")
        incomplete = check_asynchronous(req, plan, OperationKind.BIND)
        parameters = body.parameters or NOTHING
        check_parameters(catalog, plan.id, OperationKind.BIND, parameters)
        bind_resource = dict(body.bind_resource or NOTHING)
        if body.app_guid is not None:
            bind_resource.setdefault("app_guid", body.app_guid)
        command = Bind(
            instance_id=checked_id("instance_id", instance_id),
            binding_id=checked_id("binding_id", binding_id),
            service_id=body.service_id,
            plan_id=body.plan_id,
            bind_resource=bind_resource,
            context=body.context or NOTHING,
            parameters=parameters,
            **common(req, plan, incomplete=incomplete),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        match answer.verdict, answer.record:
            case (Verdict.STARTED | Verdict.JOINED, record) if record is not None:
                send_accepted(resp, record)
            case (verdict, Binding() as binding):
                send(resp, 201 if verdict is Verdict.ENDED else 200, _published(binding))

    async def on_get(
        self,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        instance_id: str,
        binding_id: str,
    ) -> None:
        """Fetch: the only way to the credentials of an asynchronous bind."""
        binding = _find(self._system, instance_id, binding_id)
        if not binding.created or binding.status is Status.DELETED:
            raise OsbError(404, "NotFound", f"Binding {binding_id} is not there (yet).")
        plan = self._system.catalog.plan(binding.service_id, binding.plan_id)
        parameters = without_secrets(plan, "service_binding", binding.private.parameters)
        more = {"parameters": parameters} if parameters else {}
        send(resp, 200, {**_published(binding), **more})

    async def on_delete(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        instance_id: str,
        binding_id: str,
    ) -> None:
        """Unbind."""
        binding = self._system.view.binding(
            checked_id("instance_id", instance_id), checked_id("binding_id", binding_id)
        )
        if binding is None and self._system.view.complete:
            raise OsbError(410, "Gone", f"There is no binding {binding_id}.")
        service_id = required_query(req, "service_id")
        plan_id = required_query(req, "plan_id")
        check_known(self._system.catalog, binding, service_id, plan_id)
        plan = self._system.catalog.plan(service_id, plan_id)
        incomplete = check_asynchronous(req, plan, OperationKind.UNBIND)
        command = Unbind(
            instance_id=instance_id,
            binding_id=binding_id,
            service_id=service_id,
            plan_id=plan_id,
            **common(req, plan, incomplete=incomplete),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        if answer.verdict in (Verdict.STARTED, Verdict.JOINED) and answer.record is not None:
            send_accepted(resp, answer.record)
        else:
            send(resp, 200, {})


class ServiceBindingOperation:
    """`/v2/service_instances/{instance_id}/service_bindings/{binding_id}/last_operation`."""

    def __init__(self, system: BrokerSystem) -> None:
        self._system = system

    async def on_get(
        self,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        instance_id: str,
        binding_id: str,
    ) -> None:
        """Poll. Touches neither the cloud nor the store."""
        binding = _find(self._system, instance_id, binding_id)
        send_last_operation(resp, binding.operation, time.time(), of_instance=False)


def _find(system: BrokerSystem, instance_id: str, binding_id: str) -> Binding:
    binding = system.view.binding(
        checked_id("instance_id", instance_id), checked_id("binding_id", binding_id)
    )
    if binding is None:
        raise not_found(system, f"There is no binding {binding_id}.")
    return binding


def _published(binding: Binding) -> dict[str, Any]:
    return {"credentials": binding.private.credentials or {}}
