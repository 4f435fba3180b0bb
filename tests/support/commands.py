"""Commands as the edge would send them."""

from __future__ import annotations

import uuid
from typing import Any

from drawers import PLAN, SERVICE
from waiting import eventually

from alibroker.actors.system import BrokerSystem
from alibroker.lifecycle.commands import Answer, Provision


def common(instance_id: str, **more: Any) -> dict[str, Any]:
    return {
        "instance_id": instance_id,
        "service_id": SERVICE,
        "plan_id": PLAN,
        "operation_id": uuid.uuid4().hex,
        "duration": 30.0,
        "accepts_incomplete": True,
        **more,
    }


def provision(instance_id: str, **more: Any) -> Provision:
    return Provision(organization_guid="o", space_guid="s", **common(instance_id, **more))


def ask(system: BrokerSystem, command: Any) -> Answer:
    return system.submit(command).result(timeout=20)


def ended(system: BrokerSystem, instance_id: str) -> Any:
    def record() -> Any:
        found = system.view.instance(instance_id)
        return found if found and not found.operation.in_progress else None

    return eventually(record)
