"""From a plan and the user's parameters to what is bought."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Json, Work
from alibroker.brokers.rds.engines import ENGINES
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


SEVERAL_ZONES: Final = re.compile(r"(.+?)MAZ\d+\(([a-z,]+)\)")
"""A zone of zones, e.g. cn-hangzhou-MAZ6(b,f)."""
_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):00Z-([01][0-9]|2[0-3]):00Z")
_DAYS_NEEDED: Final = 2  # of a week (ModifyBackupPolicy)


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """When backups are made and how long they are kept; what is empty stays as the cloud has it."""

    retention_days: int = 0
    time: str = ""
    """An hour, UTC, e.g. 02:00Z-03:00Z."""
    weekdays: tuple[str, ...] = ()
    """In English."""


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
    backup: Backup
    security_groups: tuple[str, ...] | None
    """Of ECS, whose members may connect besides; None if they are left alone."""
    tls: bool | None
    """Whether RDS offers TLS; None if that is left alone."""
    tde: bool
    """Whether data are encrypted at rest."""

    @property
    def standby_zone(self) -> str:
        """Where the second node stands, which all editions but Basic have; empty for nowhere.

        It is the zone of the first: one vSwitch allows no other (CreateDBInstance, VSwitchId).
        """
        one_zone = self.zone_id and not SEVERAL_ZONES.fullmatch(self.zone_id)
        return self.zone_id if one_zone and self.category != "Basic" else ""

    @property
    def has_settings(self) -> bool:
        """Whether something is to be set that CreateDBInstance does not take."""
        return bool(self.backup != Backup() or self.security_groups or self.tls or self.tde)


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
    groups, tls = wanted.get("SecurityGroupIDs"), wanted.get("SSL")
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
        backup=Backup(
            retention_days=int(wanted.get("BackupRetentionDays", 0)),
            time=str(wanted.get("BackupTime", "")),
            weekdays=tuple(str(day) for day in wanted.get("BackupDays", ())),
        ),
        security_groups=None if groups is None else tuple(str(group) for group in groups),
        tls=None if tls is None else bool(tls),
        tde=bool(wanted.get("TDE", False)),
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
    engine = ENGINES[order.engine]
    if order.security_groups is not None and not engine.has_security_groups:
        return f"parameters/SecurityGroupIDs: not available with {engine.name}"
    if order.tls is not None and not engine.has_tls:
        return f"parameters/SSL: not available with {engine.name}"
    if order.tde and not _has_tde(order):
        return (
            f"parameters/TDE: not available with {engine.name} on {order.storage_type}, "
            f"{order.category}"
        )
    return _backup_fault(order.backup)


def _has_tde(order: Order) -> bool:
    """Tell where TDE is sold without certificates of one's own (ModifyDBInstanceTDE)."""
    local = order.storage_type == "local_ssd"
    if order.engine == "MySQL":
        return local and order.category == "HighAvailability"
    return order.engine == "PostgreSQL" and not local


def _backup_fault(backup: Backup) -> str | None:
    window = _WINDOW.fullmatch(backup.time)
    if backup.time and not (window and int(window[2]) == (int(window[1]) + 1) % 24):
        return "parameters/BackupTime: use an hour that begins on the hour, e.g. 02:00Z-03:00Z"
    if backup.weekdays and len(set(backup.weekdays)) < _DAYS_NEEDED:
        return f"parameters/BackupDays: name at least {_DAYS_NEEDED} days"
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
