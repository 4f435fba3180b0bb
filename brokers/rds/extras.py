"""Settings that take effect at once and that can be taken back: backups and security groups."""

from __future__ import annotations

from typing import Any

import msgspec

from alibroker.brokers.api import Json
from alibroker.brokers.rds.order import Backup, Order
from alibroker.brokers.rds.setting_calls import SettingCalls


class Extras:
    """Sets what differs, and nothing else; so it may be done twice."""

    def __init__(self, calls: SettingCalls) -> None:
        self._calls = calls

    def apply(self, instance_id: str, wanted: Order) -> None:
        """Bring about what the order says.

        Raises:
            CloudError: The cloud could not be asked, or refuses.
        """
        self._set(instance_id, wanted.backup, wanted.security_groups)

    def in_force(self, instance_id: str, wanted: Order, previous: Order) -> dict[str, Any]:
        """Return what is in force of that which is about to change, as JSON for `restore`.

        It may be the cloud's own choice, or an operator's, and be in no parameter.

        Raises:
            CloudError: The cloud could not be asked.
        """
        found: dict[str, Any] = {}
        if wanted.backup != previous.backup:
            found["backup"] = msgspec.to_builtins(self._calls.backup(instance_id))
        if wanted.security_groups != previous.security_groups:
            found["security_groups"] = self._calls.security_groups(instance_id)
        return found

    def restore(self, instance_id: str, found: Json) -> None:
        """Bring back what `in_force` has returned.

        Raises:
            CloudError: The cloud could not be asked, or refuses.
        """
        groups = found.get("security_groups")
        self._set(
            instance_id,
            msgspec.convert(found.get("backup") or {}, Backup),
            None if groups is None else tuple(groups),
        )

    def _set(self, instance_id: str, backup: Backup, groups: tuple[str, ...] | None) -> None:
        if groups is not None and set(self._calls.security_groups(instance_id)) != set(groups):
            self._calls.set_security_groups(instance_id, list(groups))
        if backup == Backup():
            return
        now = self._calls.backup(instance_id)
        then = Backup(
            retention_days=backup.retention_days or now.retention_days,
            time=backup.time or now.time,
            weekdays=backup.weekdays or now.weekdays,
        )
        if (then.retention_days, then.time, set(then.weekdays)) != (
            now.retention_days,
            now.time,
            set(now.weekdays),
        ):
            self._calls.set_backup(instance_id, then)
