"""Whether an instance offers TLS; changing that takes a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.errors import ApiError, missing
from alibroker.sandbox.rds.documents import Change
from alibroker.sandbox.rds.lookup import demand_running, find, find_listed

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call

MODIFYING_SECONDS = (30.0, 90.0)
YEAR_SECONDS = 365 * 24 * 3600.0
CA_URL = "https://certificates.invalid/ca.zip"
_ENGINES = ("MySQL", "PostgreSQL", "SQLServer")
_WITH_CERTIFICATE_TYPE = ("MySQL", "PostgreSQL")


def describe_db_instance_ssl(call: Call) -> Answer:
    """Tell whether TLS is on."""
    instance = find_listed(call)
    _demand_engine(instance.engine)
    if instance.engine == "PostgreSQL":
        answer: Answer = {
            "SSLEnabled": "on" if instance.tls else "off",
            "RequireUpdate": "0",
            "LastModifyStatus": "success",
        }
        if instance.tls:
            answer |= {"CAType": "aliyun", "ServerCAUrl": CA_URL}
    else:
        answer = {"SSLEnabled": "Yes" if instance.tls else "No", "RequireUpdate": "No"}
    if instance.tls:
        answer |= {
            "ConnectionString": instance.connection_string,
            "SSLExpireTime": timestamp(call.now + YEAR_SECONDS),
        }
    return answer


def modify_db_instance_ssl(call: Call) -> Answer:
    """Turn TLS on or off for the instance's endpoint; it takes effect after a restart."""
    instance = find(call)
    parameters = call.parameters
    _demand_engine(instance.engine)
    if parameters.text("ConnectionString") != instance.connection_string:
        raise ApiError(
            404,
            "InvalidConnectionString.NotFound",
            "The specified connection string does not exist.",
        )
    on = parameters.choice("SSLEnabled", ("0", "1")) == "1"
    if on and instance.engine in _WITH_CERTIFICATE_TYPE and "CAType" not in parameters:
        raise missing("CAType")
    demand_running(instance, call.now)
    change = Change(
        class_code=instance.class_code,
        storage=instance.storage,
        storage_type=instance.storage_type,
        begun=call.now,
        done_at=call.cloud.later(call.now, *MODIFYING_SECONDS),
        tls=on,
        tde=instance.tde,
        status="SSL_MODIFYING",
    )
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, change=change))
    return {}


def _demand_engine(engine: str) -> None:
    if engine not in _ENGINES:
        raise ApiError(400, "EngineNotSupported", "The engine does not support this operation.")
