"""A plugin that does in memory what it is told, for tests of the engine and the edge."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alibroker.brokers.api import (
    Failed,
    Found,
    InProgress,
    Json,
    OperationKind,
    Plan,
    ServiceOffering,
    Step,
    Succeeded,
    TryAgainError,
    Work,
)

SERVICE = "service-1"
PLAN = "plan-1"


class Drawer:
    """A cloud service in memory: things by instance id, credentials by binding id.

    It outlives the plugin, as a cloud outlives its broker.
    """

    def __init__(self) -> None:
        self.things: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.locks: dict[str, str] = {}
        self.kept: set[str] = set()
        self.strays: list[Found] = []
        self.unmarked: set[str] = set()
        self.away = ""
        self.account = ""
        self.sizes: dict[str, tuple[str, int | None]] = {}
        self.looks = 0
        self.calls: list[tuple[str, str]] = []
        self.hold = threading.Event()
        self.hold.set()


class DrawerBroker:
    """The plugin to it. Parameters of the instance say how it is to behave."""

    name = "drawer"
    instance_fact = "token"
    binding_fact = "lock"
    account_fact = "account"

    def __init__(self, drawer: Drawer) -> None:
        self.drawer = drawer
        self.closed = False

    def offerings(self) -> Sequence[ServiceOffering]:
        return [
            ServiceOffering(
                id=SERVICE,
                name="drawer",
                description="Drawers",
                bindable=True,
                allow_context_updates=True,
                plans=(
                    Plan(
                        id=PLAN,
                        name="small",
                        description="A small drawer",
                        maximum_polling_duration=60,
                        plan_updateable=True,
                        binding_rotatable=True,
                        maintenance_info={"version": "1.2.0", "description": "New paint"},
                        schemas={
                            "service_instance": {
                                "update": {
                                    "parameters": {
                                        "$schema": "http://json-schema.org/draft-04/schema#",
                                        "type": "object",
                                        "properties": {"size": {"type": "integer", "maximum": 9}},
                                    }
                                }
                            }
                        },
                    ),
                    Plan(
                        id="plan-2",
                        name="large",
                        description="A large drawer",
                        maximum_polling_duration=60,
                        binding_rotatable=True,
                    ),
                    Plan(
                        id="plan-3",
                        name="slow",
                        description="A drawer that is never there at once",
                        maximum_polling_duration=60,
                        maintenance_info={"version": "2.0.0"},
                        asynchronous_only=tuple(OperationKind),
                    ),
                    Plan(
                        id="plan-4",
                        name="for-apps",
                        description="A drawer for applications",
                        maximum_polling_duration=60,
                        requires_app=True,
                    ),
                    Plan(
                        id="plan-5",
                        name="closed",
                        description="A drawer without keys",
                        maximum_polling_duration=60,
                        bindable=False,
                    ),
                    Plan(
                        id="plan-6",
                        name="old",
                        description="A drawer that is not offered any more",
                        maximum_polling_duration=60,
                        hidden=True,
                    ),
                ),
            )
        ]

    def provision(self, work: Work) -> Step:
        self._note(work)
        if "token" not in work.resource:
            token = work.parameters.get("token", work.operation_id)
            return InProgress(description="Planned.", resource={"token": token, **self._account()})
        self.drawer.things.setdefault(work.instance_id, work.resource["token"])
        self.drawer.hold.wait(20)
        if work.parameters.get("busy", 0) > len(self._calls_of(work)) - 2:
            raise TryAgainError("The cloud is busy.", after=0.05)
        if work.parameters.get("deadly"):
            os.abort()
        if work.parameters.get("defect"):
            raise KeyError("defect")
        if work.parameters.get("fails"):
            return Failed(reason="No drawers left.")
        if work.parameters.get("slow") and work.observation is None:
            return InProgress(description="Being built.", state={"pin": "s3cret"}, poll_after=0.05)
        return Succeeded(resource={"shelf": 1})

    def update(self, work: Work) -> Step:
        self._note(work)
        self.drawer.hold.wait(20)
        if work.parameters.get("size") == 7:
            return Failed(reason="There is no size 7.", update_repeatable=False)
        self.drawer.sizes[work.instance_id] = (work.plan_id, work.parameters.get("size"))
        return Succeeded(metadata={"labels": {"size": str(work.parameters.get("size"))}})

    def deprovision(self, work: Work) -> Step:
        self._note(work)
        if work.parameters.get("stuck"):
            return Failed(reason="It is locked.")
        token = work.resource.get("token")
        self.drawer.strays = [
            one for one in self.drawer.strays if one.resource.get("token") != token
        ]
        if self.drawer.things.get(work.instance_id) == token:
            self.drawer.things.pop(work.instance_id, None)
        return Succeeded()

    def bind(self, work: Work) -> Step:
        self._note(work)
        if "key" not in work.state:
            return InProgress(
                description="Key chosen.",
                state={"key": uuid.uuid4().hex},
                resource={"lock": work.binding_id, "token": work.resource["token"]},
            )
        self.drawer.locks[work.binding_id] = work.instance_id
        self.drawer.keys[work.binding_id] = work.state["key"]
        if work.binding_parameters.get("fails"):
            return Failed(reason="No keys left.")
        return Succeeded(
            credentials={"key": work.state["key"]},
            metadata={"expires_at": "2030-01-31T23:59:59.0Z"},
            endpoints=({"host": "drawer.local", "ports": ["443"]},),
        )

    def unbind(self, work: Work) -> Step:
        self._note(work)
        self.drawer.keys.pop(work.binding_id, None)
        self.drawer.locks.pop(work.binding_id, None)
        return Succeeded()

    def observe(self, works: Sequence[Work]) -> Mapping[str, Json]:
        self.drawer.looks += 1
        return {
            work.operation_id: {"seen": True}
            for work in works
            if work.now - work.started_at >= work.parameters.get("slow", 0)
        }

    def account(self) -> str:
        if self.drawer.away:
            raise TryAgainError(self.drawer.away)
        return self.drawer.account

    def inventory(self) -> Iterator[Found]:
        if self.drawer.away:
            raise TryAgainError(self.drawer.away)
        for instance_id, token in self.drawer.things.items():
            yield Found(
                kind="drawer",
                name=f"drawer-{token}",
                instance_id=instance_id,
                service_id=SERVICE,
                plan_id=PLAN,
                organization_guid="o",
                space_guid="s",
                resource={"token": token, "shelf": 1, **self._account()},
                kept=instance_id in self.drawer.kept,
            )
        for binding_id, instance_id in self.drawer.locks.items():
            yield Found(
                kind="lock",
                name=f"lock-{binding_id}",
                instance_id=instance_id,
                binding_id=binding_id,
                service_id=SERVICE,
                plan_id=PLAN,
                resource={
                    "lock": binding_id,
                    **self._token_of(instance_id),
                    **self._account(),
                },
            )
        yield from self.drawer.strays

    def exists(self, resource: Json, *, of_binding: bool) -> bool:
        if self.drawer.away:
            raise TryAgainError(self.drawer.away)
        if of_binding:
            return resource["lock"] in self.drawer.locks
        tokens = {*self.drawer.things.values(), *self.drawer.unmarked}
        return resource["token"] in tokens

    def _account(self) -> Json:
        return {"account": self.drawer.account} if self.drawer.account else {}

    def _token_of(self, instance_id: str) -> Json:
        token = self.drawer.things.get(instance_id)
        return {"token": token} if token else {}

    def keep(self, found: Found) -> None:
        self.drawer.kept.add(found.instance_id)

    def close(self) -> None:
        self.closed = True

    def _note(self, work: Work) -> None:
        self.drawer.calls.append((work.kind, work.binding_id or work.instance_id))

    def _calls_of(self, work: Work) -> list[Any]:
        return [call for call in self.drawer.calls if call[1] == work.instance_id]
