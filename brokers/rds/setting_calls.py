"""The calls to RDS about settings of an instance that is there: backups, networks, encryption."""

from __future__ import annotations

from typing import Final

from aliyunsdkrds.request.v20140815.DescribeBackupPolicyRequest import DescribeBackupPolicyRequest
from aliyunsdkrds.request.v20140815.DescribeDBInstanceSSLRequest import (
    DescribeDBInstanceSSLRequest,
)
from aliyunsdkrds.request.v20140815.DescribeDBInstanceTDERequest import (
    DescribeDBInstanceTDERequest,
)
from aliyunsdkrds.request.v20140815.DescribeSecurityGroupConfigurationRequest import (
    DescribeSecurityGroupConfigurationRequest,
)
from aliyunsdkrds.request.v20140815.ModifyBackupPolicyRequest import ModifyBackupPolicyRequest
from aliyunsdkrds.request.v20140815.ModifyDBInstanceSSLRequest import ModifyDBInstanceSSLRequest
from aliyunsdkrds.request.v20140815.ModifyDBInstanceTDERequest import ModifyDBInstanceTDERequest
from aliyunsdkrds.request.v20140815.ModifySecurityGroupConfigurationRequest import (
    ModifySecurityGroupConfigurationRequest,
)

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.rds.calls import Item
from alibroker.brokers.rds.order import Backup
from alibroker.brokers.rds.product import RDS

_ON: Final = frozenset({"yes", "on", "1", "true"})


class SettingCalls:
    """RDS 2014-08-15. Every method raises `CloudError`; no action has a client token."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def backup(self, instance_id: str) -> Backup:
        """Return when backups are made (DescribeBackupPolicy)."""
        request = DescribeBackupPolicyRequest()
        request.set_DBInstanceId(instance_id)
        answer = self._cloud.call(RDS, request)
        days = str(answer.get("PreferredBackupPeriod") or "")
        return Backup(
            retention_days=int(answer.get("BackupRetentionPeriod") or 0),
            time=str(answer.get("PreferredBackupTime") or ""),
            weekdays=tuple(day.strip() for day in days.split(",") if day.strip()),
        )

    def set_backup(self, instance_id: str, backup: Backup) -> None:
        """Say when backups are made; the action wants all three parts (ModifyBackupPolicy)."""
        request = ModifyBackupPolicyRequest()
        request.set_DBInstanceId(instance_id)
        request.set_BackupPolicyMode("DataBackupPolicy")
        request.set_BackupRetentionPeriod(str(backup.retention_days))
        request.set_PreferredBackupTime(backup.time)
        request.set_PreferredBackupPeriod(",".join(backup.weekdays))
        self._cloud.call(RDS, request)

    def security_groups(self, instance_id: str) -> list[str]:
        """Return the security groups that are let in (DescribeSecurityGroupConfiguration)."""
        request = DescribeSecurityGroupConfigurationRequest()
        request.set_DBInstanceId(instance_id)
        items = self._cloud.call(RDS, request).get("Items") or {}
        return [str(one["SecurityGroupId"]) for one in items.get("EcsSecurityGroupRelation") or []]

    def set_security_groups(self, instance_id: str, groups: list[str]) -> None:
        """Let these security groups in, and no other (ModifySecurityGroupConfiguration).

        For none the documentation wants an empty parameter, and Terraform has found that the cloud
        wants the word Empty: what is refused is said the other way.
        """
        if groups:
            self._set_security_groups(instance_id, ",".join(groups))
            return
        try:
            self._set_security_groups(instance_id, "")
        except CloudError as error:
            if error.kind is not Kind.FAILED:
                raise
            self._set_security_groups(instance_id, "Empty")

    def _set_security_groups(self, instance_id: str, text: str) -> None:
        request = ModifySecurityGroupConfigurationRequest()
        request.set_DBInstanceId(instance_id)
        request.set_SecurityGroupId(text)
        self._cloud.call(RDS, request)

    def tls(self, instance_id: str) -> tuple[bool, str]:
        """Tell whether TLS is on, and where its CA is, if that is said (DescribeDBInstanceSSL).

        The engines write the same in different words.
        """
        request = DescribeDBInstanceSSLRequest()
        request.set_DBInstanceId(instance_id)
        answer = self._cloud.call(RDS, request)
        is_on = str(answer.get("SSLEnabled") or "").lower() in _ON
        return is_on, str(answer.get("ServerCAUrl") or "")

    def set_tls(self, item: Item, *, on: bool) -> None:
        """Turn TLS on or off for an instance's own endpoint (ModifyDBInstanceSSL); it restarts."""
        request = ModifyDBInstanceSSLRequest()
        request.set_DBInstanceId(item["DBInstanceId"])
        request.set_ConnectionString(item["ConnectionString"])
        request.set_SSLEnabled(1 if on else 0)
        if on and item.get("Engine") in {"MySQL", "PostgreSQL"}:
            request.set_CAType("aliyun")
        self._cloud.call(RDS, request)

    def tde(self, instance_id: str) -> bool:
        """Tell whether data are encrypted at rest (DescribeDBInstanceTDE)."""
        request = DescribeDBInstanceTDERequest()
        request.set_DBInstanceId(instance_id)
        return self._cloud.call(RDS, request).get("TDEStatus") == "Enabled"

    def set_tde(self, instance_id: str) -> None:
        """Encrypt data at rest, with a key of the cloud's; for good (ModifyDBInstanceTDE)."""
        request = ModifyDBInstanceTDERequest()
        request.set_DBInstanceId(instance_id)
        request.set_TDEStatus("Enabled")
        self._cloud.call(RDS, request)
