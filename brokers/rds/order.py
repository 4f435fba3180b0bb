"""From a plan and the user's parameters to what is bought."""

from __future__ import annotations

from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Json, Work
from alibroker.brokers.rds.plans import PlanSettings, read_plan

_LOCAL_VERSIONS: Final = frozenset({"5.5", "5.6"})  # of MySQL, sold on local disks only
_CATEGORIES: Final = {
    "1": "Basic",
    "1c": "Basic",
    "1m": "Basic",
    "w1": "Basic",
    "xc": "cluster",
    "e2": "AlwaysOn",
}
_SMALLEST: Final = {
    "local_ssd": 5,
    "general_essd": 10,
    "cloud_essd": 20,
    "cloud_essd2": 500,
    "cloud_essd3": 1500,
    "cloud_ssd": 20,
}
"""GB (CreateDBInstance)."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An instance to buy; the words of CreateDBInstance."""

    engine: str
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
    allow_list: tuple[str, ...]
    """Addresses that the user wants let in; empty for those of the VPC."""
    time_zone: str
    deletion_protection: bool


def order_of(work: Work, settings: CloudSettings) -> Order:
    """Read the order; parameters were checked against the plan's schema before."""
    return read_order(work.plan_settings, work.parameters, settings)


def read_order(plan_settings: Json, wanted: Json, settings: CloudSettings) -> Order:
    """Read the order from what a plan and the parameters say."""
    plan = read_plan(plan_settings)
    version = _version(plan, wanted)
    usual = plan.class_of_version.get(version, plan.instance_class)
    instance_class = str(wanted.get("Class", usual))
    if not (plan.engine == "MySQL" and version in _LOCAL_VERSIONS):
        instance_class = plan.replaced_classes.get(instance_class, instance_class)
    local = instance_class.startswith("rds.") or instance_class.endswith(".2")
    vpc_id = str(wanted.get("VpcID", settings.vpc_id))
    return Order(
        engine=plan.engine,
        engine_version=version,
        instance_class=instance_class,
        category=str(wanted.get("Category") or plan.category or category_of(instance_class)),
        storage_type=str(
            wanted.get("StorageType")
            or plan.storage_type
            or ("local_ssd" if local else "cloud_essd")
        ),
        storage=int(wanted.get("Storage", plan.storage)),
        vpc_id=vpc_id,
        vswitch_id=str(wanted.get("VSwitchID", settings.vswitch_id if not _other(wanted) else "")),
        zone_id=str(wanted.get("ZoneId", settings.zone_id)),
        network_type=str(wanted.get("NetworkType", "VPC" if vpc_id else "")),
        allow_list=tuple(str(entry) for entry in wanted.get("AllowedIPs", ())),
        time_zone=str(wanted.get("TimeZone", "")),
        deletion_protection=bool(wanted.get("DeletionProtection", False)),
    )


def order_fault(order: Order) -> str | None:
    """Say what cannot be bought, as far as that is known without asking; None for nothing."""
    smallest = _SMALLEST.get(order.storage_type)
    if smallest is not None and order.storage < smallest:
        return f"parameters/Storage: {order.storage_type} begins at {smallest} GB"
    if order.category != category_of(order.instance_class):
        return (
            f"parameters/Category: the class {order.instance_class} belongs to "
            f"{category_of(order.instance_class)}; choose another class or leave Category out"
        )
    return None


def _other(wanted: Json) -> bool:
    """Tell whether the user names a network, so that the vSwitch of the settings is not meant."""
    return bool(wanted.get("VpcID") or wanted.get("ZoneId"))


def _version(plan: PlanSettings, wanted: Json) -> str:
    version = str(wanted.get("EngineVersion", plan.engine_version))
    # A JSON number may have lost its zero.
    if plan.engine in {"MySQL", "PostgreSQL"} and version.isdigit():
        return f"{version}.0"
    return version


def category_of(instance_class: str) -> str:
    """Return the edition that a class belongs to, by its suffix (RDS, primary instance types)."""
    if instance_class.startswith("rds."):
        return "HighAvailability"
    return _CATEGORIES.get(instance_class.rpartition(".")[2], "HighAvailability")
