"""Instances that are stopped for a while: they exist, and nothing can be done in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds.lookup import demand_running, find

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call


def stop_db_instance(call: Call) -> Answer:
    """Stop a running instance, at once."""
    instance = find(call)
    demand_running(instance, call.now)
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, stopped=True))
    return {}


def start_db_instance(call: Call) -> Answer:
    """Start a stopped instance, at once."""
    instance = find(call)
    if instance.status(call.now) != "Stopped":
        raise ApiError(
            403,
            "IncorrectDBInstanceState",
            "The current instance state does not support this operation.",
        )
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, stopped=False))
    return {}
