"""Whether an instance encrypts its data at rest; once it does, it does so for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds.documents import Change
from alibroker.sandbox.rds.lookup import demand_running, find, find_listed

if TYPE_CHECKING:
    from alibroker.sandbox.rds.documents import Instance
    from alibroker.sandbox.rpc import Answer, Call

MODIFYING_SECONDS = (60.0, 180.0)


def describe_db_instance_tde(call: Call) -> Answer:
    """Tell whether TDE is on."""
    instance = find_listed(call)
    answer: Answer = {
        "TDEStatus": "Enabled" if instance.tde else "Disabled",
        "Databases": {"Database": []},
    }
    if instance.tde:
        answer["TDEMode"] = "Aliyun_Generate_Key"
    return answer


def modify_db_instance_tde(call: Call) -> Answer:
    """Turn TDE on; it takes effect after a while."""
    instance = find(call)
    wanted = call.parameters.choice("TDEStatus", ("Enabled", "Disabled"))
    if not _is_sold(instance):
        raise ApiError(400, "InstanceTDENotSupport", "The specified instance does not support TDE.")
    if wanted == "Disabled" or instance.tde:
        raise ApiError(
            403, "IncorrectTDEStatus", "The TDE status of the instance cannot be changed so."
        )
    demand_running(instance, call.now)
    change = Change(
        class_code=instance.class_code,
        storage=instance.storage,
        storage_type=instance.storage_type,
        begun=call.now,
        done_at=call.cloud.later(call.now, *MODIFYING_SECONDS),
        tls=instance.tls,
        tde=True,
        status="TDE_MODIFYING",
    )
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, change=change))
    return {}


def _is_sold(instance: Instance) -> bool:
    local = instance.storage_type == "local_ssd"
    if instance.engine == "MySQL":
        return local and instance.category == "HighAvailability"
    return instance.engine == "PostgreSQL" and not local
