"""From a plan and the user's parameters to what is bought."""

from __future__ import annotations

from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Work

_LOCAL_VERSIONS: Final = frozenset({"5.5", "5.6"})  # sold on local disks only


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An instance to buy; the words of CreateDBInstance."""

    engine_version: str
    instance_class: str
    category: str
    storage_type: str
    storage: int
    """GB."""
    vpc_id: str
    vswitch_id: str
    zone_id: str
    network_type: str


def order_of(work: Work, settings: CloudSettings) -> Order:
    """Read the order; parameters were checked against the plan's schema before."""
    plan, wanted = work.plan_settings, work.parameters
    version = str(wanted.get("EngineVersion", plan["engine_version"]))
    version = {"8": "8.0"}.get(version, version)  # a JSON number may lose its zero
    usual = plan.get("class_of_version", {}).get(version, plan["instance_class"])
    instance_class = str(wanted.get("Class", usual))
    if version not in _LOCAL_VERSIONS:
        instance_class = plan.get("replaced_classes", {}).get(instance_class, instance_class)
    local = instance_class.startswith("rds.") or instance_class.endswith(".2")
    vpc_id = str(wanted.get("VpcID", settings.vpc_id))
    network = str(wanted.get("NetworkType", "VPC" if vpc_id else ""))
    return Order(
        engine_version=version,
        instance_class=instance_class,
        category=_category(instance_class),
        storage_type="local_ssd" if local else "cloud_essd",
        storage=int(wanted.get("Storage", plan["storage"])),
        vpc_id=vpc_id,
        vswitch_id=str(wanted.get("VSwitchID", settings.vswitch_id)),
        zone_id=str(wanted.get("ZoneId", settings.zone_id)),
        network_type=network,
    )


def _category(instance_class: str) -> str:
    """Return the edition that a class belongs to, by its suffix (RDS, primary instance types)."""
    if instance_class.endswith((".1", ".1c")):
        return "Basic"
    if instance_class.endswith(".xc"):
        return "cluster"
    return "HighAvailability"
