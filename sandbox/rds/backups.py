"""When an instance's backups are made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError, invalid
from alibroker.sandbox.rds.documents import BackupPolicy
from alibroker.sandbox.rds.lookup import demand_running, find, find_listed

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])Z-([01][0-9]|2[0-3]):([0-5][0-9])Z")
_DAYS_NEEDED = 2


def describe_backup_policy(call: Call) -> Answer:
    """Describe the policy for data backups."""
    policy = find_listed(call).backup
    return {
        "BackupRetentionPeriod": policy.retention,
        "PreferredBackupTime": policy.time,
        "PreferredBackupPeriod": ",".join(policy.weekdays),
        "BackupLog": "Enable",
        "EnableBackupLog": "1",
        "LogBackupRetentionPeriod": 7,
    }


def modify_backup_policy(call: Call) -> Answer:
    """Replace the policy for data backups; all of its three parts have to be given."""
    instance = find(call)
    parameters = call.parameters
    parameters.choice("BackupPolicyMode", ("DataBackupPolicy",), "DataBackupPolicy")
    retention = parameters.integer(
        "BackupRetentionPeriod", None, 7, 730, "InvalidBackupRetentionPeriod.Malformed"
    )
    time = parameters.text("PreferredBackupTime")
    found = _TIME.fullmatch(time)
    if not found or (int(found[3]) - int(found[1])) % 24 != 1 or found[2] != found[4]:
        raise ApiError(
            400,
            "InvalidPreferredBackupTime.Malformed",
            "PreferredBackupTime must be one hour, written HH:mmZ-HH:mmZ.",
        )
    weekdays = tuple(parameters.text("PreferredBackupPeriod").split(","))
    if not set(weekdays) <= set(_WEEKDAYS) or len(set(weekdays)) < _DAYS_NEEDED:
        raise invalid("PreferredBackupPeriod", f"must name {_DAYS_NEEDED} days of the week or more")
    demand_running(instance, call.now)
    policy = BackupPolicy(retention, time, weekdays)
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, backup=policy))
    return {
        "DBInstanceID": instance.id,
        "EnableBackupLog": "1",
        "LocalLogRetentionHours": 18,
        "LocalLogRetentionSpace": "30",
    }
