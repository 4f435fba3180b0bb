"""What the sandbox answers, read by the vendor's newer SDK: every field is one that it knows."""

from __future__ import annotations

import warnings
from typing import Any

with warnings.catch_warnings():
    # The newer SDK's own dependencies are not free of warnings.
    warnings.simplefilter("ignore")
    from alibabacloud_rds20140815 import models


LOGIN = {"AccountName": "shop", "AccountPassword": "Aa1!*xyz"}

BACKUP = {
    "BackupRetentionPeriod": "30",
    "PreferredBackupTime": "02:00Z-03:00Z",
    "PreferredBackupPeriod": "Monday,Friday",
}


def lost(given: Any, kept: Any, place: str = "") -> list[str]:
    """Return the places of what the model does not know, or reads as another type."""
    if isinstance(given, dict):
        if not isinstance(kept, dict):
            return [place]
        return [
            found
            for name, value in given.items()
            for found in lost(value, kept.get(name), f"{place}/{name}")
        ]
    if isinstance(given, list):
        if not isinstance(kept, list) or len(kept) != len(given):
            return [place]
        return [
            found
            for number, (one, other) in enumerate(zip(given, kept, strict=True))
            for found in lost(one, other, f"{place}/{number}")
        ]
    return [] if type(given) is type(kept) and given == kept else [place]


def test_the_newer_sdk_knows_every_field_of_every_answer(owner: Any) -> None:
    name = owner.create_instance(Tag__1__Key="models", Tag__1__Value="1")
    here = {"DBInstanceId": name}
    place = {"ZoneId": "cn-hangzhou-h", "Engine": "MySQL", "EngineVersion": "8.0"}
    kind = {"DBInstanceStorageType": "cloud_essd", "Category": "HighAvailability"}
    grant = {**here, "AccountName": "shop", "DBName": "shop"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("DescribeRegions", {}),
        ("DescribeAvailableZones", place),
        ("DescribeAvailableClasses", {**place, **kind}),
        ("ListClasses", {"CommodityCode": "bards", "OrderType": "BUY"}),
        ("DescribeDBInstances", {"DBInstanceId": name}),
        ("DescribeDBInstanceAttribute", here),
        ("DescribeDBInstanceNetInfo", here),
        ("CreateAccount", {**here, **LOGIN}),
        ("CreateDatabase", {**here, "DBName": "shop", "CharacterSetName": "utf8mb4"}),
        ("GrantAccountPrivilege", {**grant, "AccountPrivilege": "ReadOnly"}),
        ("DescribeAccounts", here),
        ("DescribeDatabases", here),
        ("RevokeAccountPrivilege", grant),
        ("ResetAccountPassword", {**here, **LOGIN}),
        ("DeleteAccount", {**here, "AccountName": "shop"}),
        ("ModifySecurityIps", {**here, "SecurityIps": "10.0.0.1"}),
        ("DescribeDBInstanceIPArrayList", here),
        ("ModifyDBInstanceDeletionProtection", {**here, "DeletionProtection": "true"}),
        ("ModifyDBInstanceDeletionProtection", {**here, "DeletionProtection": "false"}),
        ("DescribeBackupPolicy", here),
        ("ModifyBackupPolicy", {**here, **BACKUP}),
        ("ModifySecurityGroupConfiguration", {**here, "SecurityGroupId": "sg-a,sg-b"}),
        ("DescribeSecurityGroupConfiguration", here),
        ("DescribeDBInstanceSSL", here),
        ("DescribeDBInstanceTDE", here),
        ("ModifyDBInstanceSpec", {**here, "DBInstanceStorage": "40", "PayType": "Postpaid"}),
        ("DescribeTasks", here),
        ("ListTagResources", {"ResourceType": "INSTANCE", "ResourceId__1": name}),
        ("DeleteDBInstance", here),
    ]
    for action, parameters in calls:
        answer = owner.call("rds", action, RegionId="cn-hangzhou", **parameters)
        model = getattr(models, f"{action}ResponseBody")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = model().from_map(answer).to_map()
        assert lost(answer, kept) == [], action


def test_a_difference_would_be_noticed() -> None:
    answer = {"RequestId": "r", "DBInstanceId": 7, "Unknown": "x", "Port": "3306"}
    kept = models.CreateDBInstanceResponseBody().from_map(answer).to_map()
    assert "/Unknown" in lost(answer, kept)
