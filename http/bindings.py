"""Service bindings: bind, fetch, unbind, and their last operation."""

from __future__ import annotations

import time
from typing import Any

import falcon.asgi

from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import NOTHING, OperationKind
from alibroker.http.answers import ask, send, send_last_operation, send_outcome, settled
from alibroker.http.bodies import BindBody, checked_id, read_body, required_query
from alibroker.http.checks import (
    check_known,
    common,
    given_parameters,
    offered_plan,
    without_secrets,
)
from alibroker.http.errors import REQUIRES_APP, OsbError, bad_request
from alibroker.http.instances import check_there, gone, not_found, polled, unknown
from alibroker.http.settings import EdgeSettings
from alibroker.lifecycle.commands import Bind, Unbind
from alibroker.lifecycle.records import Binding, Key


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
        """Bind, or bind anew in place of a predecessor."""
        body = await read_body(req, BindBody, self._settings.max_body)
        catalog = self._system.catalog
        if body.predecessor_binding_id is not None:
            await settled(self._system)
        service_id, plan_id = self._offer(body, checked_id("instance_id", instance_id))
        plan = offered_plan(catalog, service_id, plan_id)
        if not catalog.bindable(plan.id):
            raise bad_request("Instances of this plan cannot be bound.")
        if body.predecessor_binding_id is not None and not plan.binding_rotatable:
            raise bad_request("Bindings of this plan cannot be rotated: bind without predecessor.")
        parameters = body.parameters or NOTHING
        if parameters or body.predecessor_binding_id is None:
            parameters, _ = given_parameters(catalog, plan.id, OperationKind.BIND, parameters)
        bind_resource = dict(body.bind_resource or NOTHING)
        if body.app_guid is not None:
            bind_resource.setdefault("app_guid", body.app_guid)
        if plan.requires_app and not bind_resource.get("app_guid"):
            raise OsbError(422, "RequiresApp", REQUIRES_APP)
        command = Bind(
            instance_id=instance_id,
            binding_id=checked_id("binding_id", binding_id),
            service_id=service_id,
            plan_id=plan_id,
            bind_resource=bind_resource,
            context=body.context or NOTHING,
            parameters=parameters,
            predecessor_binding_id=body.predecessor_binding_id or "",
            **common(req, plan, OperationKind.BIND),
        )
        answer = await ask(self._system, command, self._settings.response_timeout, early=True)
        binding = answer.record
        # An answer that is not final holds nothing of the binding (OSB, Binding).
        if isinstance(binding, Binding) and not answer.goes_on:
            send_outcome(resp, answer, done=201, body=self._published(binding))
        else:
            send_outcome(resp, answer, done=201)

    def _offer(self, body: BindBody, instance_id: str) -> tuple[str, str]:
        """Return service and plan; those that a rotation leaves out are the instance's.

        Not the predecessor's: the plan may have changed since that was made.

        Raises:
            OsbError: 400, an id is missing.
        """
        service_id, plan_id = body.service_id, body.plan_id
        if body.predecessor_binding_id is not None:
            view = self._system.view
            predecessor = view.binding(instance_id, body.predecessor_binding_id)
            if predecessor is None:
                raise bad_request("predecessor_binding_id is not a binding of this instance.")
            owner = view.instance(instance_id) or predecessor
            service_id = service_id or owner.service_id
            plan_id = plan_id or owner.plan_id
        for name, value in (("service_id", service_id), ("plan_id", plan_id)):
            if value is None:
                raise bad_request(f"The body has to name `{name}`.")
        return service_id or "", plan_id or ""

    async def on_get(
        self,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        instance_id: str,
        binding_id: str,
    ) -> None:
        """Fetch: the only way to the credentials of an asynchronous bind."""
        binding = _find(self._system, instance_id, binding_id)
        check_there(binding, f"Binding {binding_id}")
        plan = self._system.catalog.plan(binding.service_id, binding.plan_id)
        parameters = without_secrets(plan, "service_binding", binding.private.parameters)
        more = {"parameters": parameters} if parameters else {}
        send(resp, 200, {**self._published(binding), **more})

    on_head = on_get

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
        if binding is None:
            absent = gone(f"There is no binding {binding_id}.")
            raise unknown(self._system, Key(instance_id, binding_id), absent)
        service_id = required_query(req, "service_id")
        plan_id = required_query(req, "plan_id")
        check_known(self._system.catalog, binding, service_id, plan_id)
        plan = self._system.catalog.plan(service_id, plan_id)
        command = Unbind(
            instance_id=instance_id,
            binding_id=binding_id,
            service_id=service_id,
            plan_id=plan_id,
            **common(req, plan, OperationKind.UNBIND),
        )
        answer = await ask(self._system, command, self._settings.response_timeout)
        send_outcome(resp, answer, done=200)

    def _published(self, binding: Binding) -> dict[str, Any]:
        body: dict[str, Any] = {"credentials": binding.private.credentials or {}}
        if binding.metadata:
            body["metadata"] = binding.metadata
        if binding.endpoints and self._settings.send_endpoints:
            body["endpoints"] = binding.endpoints
        return body


class ServiceBindingOperation:
    """`/v2/service_instances/{instance_id}/service_bindings/{binding_id}/last_operation`."""

    def __init__(self, system: BrokerSystem, settings: EdgeSettings) -> None:
        self._system = system
        self._settings = settings

    async def on_get(
        self,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        instance_id: str,
        binding_id: str,
    ) -> None:
        """Poll. Touches neither the cloud nor the store."""
        key = Key(checked_id("instance_id", instance_id), checked_id("binding_id", binding_id))
        operation = polled(self._system, key, self._settings, f"binding {binding_id}")
        send_last_operation(resp, operation, time.time(), of_instance=False)

    on_head = on_get


def _find(system: BrokerSystem, instance_id: str, binding_id: str) -> Binding:
    binding = system.view.binding(
        checked_id("instance_id", instance_id), checked_id("binding_id", binding_id)
    )
    if binding is None:
        absent = not_found(f"There is no binding {binding_id}.")
        raise unknown(system, Key(instance_id, binding_id), absent)
    return binding
