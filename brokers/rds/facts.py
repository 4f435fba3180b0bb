"""What a record holds of an instance: the same facts, whoever reads them from the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TEXTS: Final = {
    "instance_id": "DBInstanceId",
    "region": "RegionId",
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "instance_class": "DBInstanceClass",
    "storage_type": "DBInstanceStorageType",
    "vpc_id": "VpcId",
    "vswitch_id": "VSwitchId",
    "host": "ConnectionString",
    "port": "Port",
}


def facts_of(item: Mapping[str, Any]) -> dict[str, str | int]:
    """Return the facts in an instance's attributes that change only if somebody changes them.

    The zone is none of them: a switch to the standby node can change it.
    """
    facts: dict[str, str | int] = {
        name: str(item[key]) for name, key in _TEXTS.items() if item.get(key)
    }
    if item.get("DBInstanceStorage"):
        facts["storage"] = int(item["DBInstanceStorage"])
    return facts
