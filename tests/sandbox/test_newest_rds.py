"""Whole lives of instances, driven and read back through the vendor's newest client alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from vendor_clients import VendorClient
from waiting import eventually

REGION = {"RegionId": "cn-hangzhou"}
ORDERS = {
    "MySQL": ("8.0", "mysql.n2.medium.2c", "mysql.n4.medium.2c"),
    "PostgreSQL": ("15.0", "pg.n2.medium.2c", "pg.x4.medium.2c"),
    "SQLServer": ("2019_std_ha", "mssql.s2.medium.s2", "mssql.x4.medium.s2"),
    "MariaDB": ("10.3", "mariadb.n2.small.2c", "mariadb.n2.medium.2c"),
}
"""Version, class, and the class that it is changed to."""
DATABASES = {
    "MySQL": ("utf8mb4", "ReadWrite", "ReadWrite"),
    "PostgreSQL": ("UTF8,C,en_US.utf8", "DBOwner", "ALL"),
    "SQLServer": ("Chinese_PRC_CI_AS", "DBOwner", "DbOwner"),
    "MariaDB": ("utf8mb4", "ReadOnly", "ReadOnly"),
}
"""Character set, privilege as it is asked for, and as it is shown."""
PASSWORD = "Aa1!@#$%^&*()_+-="
ODD = "a b+c*d~e%/é&=\u4e2d"


class Life:
    """An instance, from the order on."""

    def __init__(self, rds: VendorClient, engine: str, token: str) -> None:
        version, instance_class, _ = ORDERS[engine]
        self.rds = rds
        self.order: dict[str, Any] = {
            **REGION,
            "Engine": engine,
            "EngineVersion": version,
            "DBInstanceClass": instance_class,
            "DBInstanceStorage": 20,
            "DBInstanceStorageType": "cloud_essd",
            "DBInstanceNetType": "Intranet",
            "SecurityIPList": "10.0.0.0/8,192.168.1.1",
            "PayType": "Postpaid",
            "DBInstanceDescription": "a-life",
            "Tag": [{"Key": "broker", "Value": ODD}, {"Key": "empty", "Value": ""}],
            "ClientToken": token,
        }
        self.made = rds.call("CreateDBInstance", **self.order)
        self.name: str = self.made["DBInstanceId"]
        eventually(lambda: self.attribute["DBInstanceStatus"] == "Running")

    def call(self, action: str, **parameters: Any) -> dict[str, Any]:
        return self.rds.call(action, DBInstanceId=self.name, **parameters)

    def refusal(self, action: str, **parameters: Any) -> str:
        with pytest.raises(AlibabaCloudException) as caught:
            self.call(action, **parameters)
        return str(caught.value.code)

    @property
    def attribute(self) -> dict[str, Any]:
        (found,) = self.call("DescribeDBInstanceAttribute")["Items"]["DBInstanceAttribute"]
        return dict(found)

    @property
    def accounts(self) -> dict[str, dict[str, Any]]:
        listed = self.call("DescribeAccounts")["Accounts"]["DBInstanceAccount"]
        return {one["AccountName"]: one for one in listed}

    @property
    def databases(self) -> dict[str, dict[str, Any]]:
        listed = self.call("DescribeDatabases")["Databases"]["Database"]
        return {one["DBName"]: one for one in listed}

    @property
    def tags(self) -> dict[str, str]:
        answer = self.rds.call("ListTagResources", **REGION, **self.resource)
        return {one["TagKey"]: one["TagValue"] for one in answer["TagResources"]["TagResource"]}

    @property
    def resource(self) -> dict[str, Any]:
        return {"ResourceType": "INSTANCE", "ResourceId": [self.name]}


@pytest.fixture
def live(sandbox: Any, unique: Callable[[str], str]) -> Callable[[str], Life]:
    rds = VendorClient("rds", sandbox.url, "testid", "testsecret")
    return lambda engine: Life(rds, engine, unique("token"))


@pytest.mark.parametrize("engine", ORDERS)
def test_an_instance_is_ordered_changed_and_deleted(
    live: Callable[[str], Life], engine: str
) -> None:
    life = live(engine)
    again = life.rds.call("CreateDBInstance", **life.order)
    assert again["DBInstanceId"] == life.name
    dry = life.rds.call("CreateDBInstance", **{**life.order, "ClientToken": "", "DryRun": True})
    assert (dry["DryRun"], dry["DryRunResult"], dry.get("DBInstanceId")) == (True, True, None)
    found = life.attribute
    same = ("Engine", "EngineVersion", "DBInstanceClass", "DBInstanceStorage", "PayType")
    assert {name: found[name] for name in same} == {name: life.order[name] for name in same}
    assert found["DBInstanceStorageType"] == "cloud_essd"
    assert (found["ConnectionString"], found["Port"]) == (
        life.made["ConnectionString"],
        life.made["Port"],
    )
    assert life.tags == {"broker": ODD, "empty": ""}
    listed = life.rds.call("DescribeDBInstances", **REGION, Tags=json.dumps({"broker": ODD}))
    assert life.name in [one["DBInstanceId"] for one in listed["Items"]["DBInstance"]]

    _, _, larger = ORDERS[engine]
    change = {"DBInstanceClass": larger, "DBInstanceStorage": 50, "PayType": "Postpaid"}
    if engine == "SQLServer":
        change["Category"] = "HighAvailability"  # which only this engine has to be told
    life.call("ModifyDBInstanceSpec", **change)
    eventually(lambda: life.attribute["DBInstanceStatus"] == "Running")
    life.call("ModifyDBInstanceDescription", DBInstanceDescription="renamed")
    found = life.attribute
    assert (found["DBInstanceClass"], found["DBInstanceStorage"]) == (larger, 50)
    assert found["DBInstanceDescription"] == "renamed"
    life.rds.call("TagResources", **REGION, **life.resource, Tag=[{"Key": "more", "Value": "1"}])
    life.rds.call("UntagResources", **REGION, **life.resource, TagKey=["empty"])
    assert life.tags == {"broker": ODD, "more": "1"}

    if engine != "MariaDB":
        life.call("StopDBInstance")
        eventually(lambda: life.attribute["DBInstanceStatus"] == "Stopped")
        life.call("StartDBInstance")
        eventually(lambda: life.attribute["DBInstanceStatus"] == "Running")
    life.call("ModifyDBInstanceDeletionProtection", DeletionProtection=True)
    assert life.attribute["DeletionProtection"] is True
    assert life.refusal("DeleteDBInstance") == "OperationDenied.DeletionProtection"
    life.call("ModifyDBInstanceDeletionProtection", DeletionProtection=False)
    life.call("DeleteDBInstance")
    assert life.refusal("DescribeDBInstanceAttribute") == "InvalidDBInstanceId.NotFound"


@pytest.mark.parametrize("engine", ORDERS)
def test_accounts_and_databases_live_in_an_instance(
    live: Callable[[str], Life], engine: str
) -> None:
    life = live(engine)
    charset, privilege, shown = DATABASES[engine]
    if engine == "SQLServer":
        life.call(
            "CreateAccount", AccountName="admin_1", AccountPassword=PASSWORD, AccountType="Super"
        )
    shop, orders = {"AccountName": "shop"}, {"DBName": "orders"}
    described = {"AccountDescription": "alibroker-1", "AccountType": "Normal"}
    life.call("CreateAccount", **shop, **described, AccountPassword=PASSWORD)
    life.call("CreateDatabase", **orders, CharacterSetName=charset, DBDescription="of-a-life")
    account, database = life.accounts["shop"], life.databases["orders"]
    assert {**account, **shop, **described, "AccountStatus": "Available"} == account
    assert account["DatabasePrivileges"]["DatabasePrivilege"] == []
    assert (database["CharacterSetName"], database["DBStatus"]) == (charset, "Running")

    life.call("GrantAccountPrivilege", **shop, **orders, AccountPrivilege=privilege)
    (granted,) = life.accounts["shop"]["DatabasePrivileges"]["DatabasePrivilege"]
    (user,) = life.databases["orders"]["Accounts"]["AccountPrivilegeInfo"]
    assert (granted["DBName"], granted["AccountPrivilege"]) == ("orders", shown)
    assert (user["Account"], user["AccountPrivilege"]) == ("shop", shown)
    life.call("ResetAccountPassword", **shop, AccountPassword=PASSWORD[::-1])
    life.call("ModifyAccountDescription", **shop, AccountDescription="alibroker-2")
    assert life.accounts["shop"]["AccountDescription"] == "alibroker-2"
    if engine == "PostgreSQL":
        life.call("LockAccount", **shop)
        assert life.accounts["shop"]["AccountStatus"] == "Lock"
        life.call("UnlockAccount", **shop)
    else:
        life.call("RevokeAccountPrivilege", **shop, **orders)
        assert life.databases["orders"]["Accounts"]["AccountPrivilegeInfo"] == []

    if engine == "PostgreSQL":
        assert life.refusal("DeleteAccount", **shop) == "AccountActionForbidden"
    life.call("DeleteDatabase", **orders)
    life.call("DeleteAccount", **shop)
    assert "shop" not in life.accounts
    assert life.databases == {}
    life.call("DeleteDBInstance")


@pytest.mark.parametrize("engine", ORDERS)
def test_the_settings_of_an_instance_are_changed_and_read_back(
    live: Callable[[str], Life], engine: str
) -> None:
    life = live(engine)
    life.call("ModifySecurityIps", SecurityIps="10.1.0.0/16,10.2.3.4", ModifyMode="Cover")
    (array,) = life.call("DescribeDBInstanceIPArrayList")["Items"]["DBInstanceIPArray"]
    assert array["DBInstanceIPArrayName"] == "default"
    assert set(array["SecurityIPList"].split(",")) == {"10.1.0.0/16", "10.2.3.4"}
    (net,) = life.call("DescribeDBInstanceNetInfo")["DBInstanceNetInfos"]["DBInstanceNetInfo"]
    assert (net["ConnectionString"], net["Port"]) == (
        life.made["ConnectionString"],
        life.made["Port"],
    )
    backup = {"PreferredBackupTime": "02:00Z-03:00Z", "PreferredBackupPeriod": "Monday,Thursday"}
    life.call(
        "ModifyBackupPolicy",
        BackupPolicyMode="DataBackupPolicy",
        BackupRetentionPeriod="30",
        **backup,
    )
    found = life.call("DescribeBackupPolicy")
    assert {**found, **backup, "BackupRetentionPeriod": 30} == found

    if engine in ("MySQL", "PostgreSQL"):
        life.call("ModifySecurityGroupConfiguration", SecurityGroupId="sg-bp1one,sg-bp1two")
        items = life.call("DescribeSecurityGroupConfiguration")["Items"]
        groups = [one["SecurityGroupId"] for one in items["EcsSecurityGroupRelation"]]
        assert groups == ["sg-bp1one", "sg-bp1two"]
    if engine != "MariaDB":
        named = {"ConnectionString": life.made["ConnectionString"]}
        if engine != "SQLServer":
            named["CAType"] = "aliyun"
        assert str(life.call("DescribeDBInstanceSSL")["SSLEnabled"]) in {"No", "off"}
        life.call("ModifyDBInstanceSSL", **named, SSLEnabled=1)
        eventually(lambda: life.attribute["DBInstanceStatus"] == "Running")
        assert str(life.call("DescribeDBInstanceSSL")["SSLEnabled"]) in {"Yes", "on"}
    assert life.call("DescribeDBInstanceTDE")["TDEStatus"] == "Disabled"
    if engine == "PostgreSQL":
        life.call("ModifyDBInstanceTDE", TDEStatus="Enabled")
        eventually(lambda: life.attribute["DBInstanceStatus"] == "Running")
        assert life.call("DescribeDBInstanceTDE")["TDEStatus"] == "Enabled"
    life.call("DeleteDBInstance")


def test_what_is_sold_where_is_told(sandbox: Any) -> None:
    rds = VendorClient("rds", sandbox.url, "testid", "testsecret")
    regions = rds.call("DescribeRegions")["Regions"]["RDSRegion"]
    zones = {one["ZoneId"] for one in regions if one["RegionId"] == "cn-hangzhou"}
    asked = {**REGION, "Engine": "MySQL", "EngineVersion": "8.0"}
    sold = rds.call("DescribeAvailableZones", **asked)["AvailableZones"]
    assert {one["ZoneId"] for one in sold} <= zones
    place = {
        "ZoneId": sold[0]["ZoneId"],
        "InstanceChargeType": "Postpaid",
        "Category": "HighAvailability",
        "DBInstanceStorageType": "cloud_essd",
    }
    classes = rds.call("DescribeAvailableClasses", **asked, **place)["DBInstanceClasses"]
    names = {one["DBInstanceClass"] for one in classes}
    assert "mysql.n2.medium.2c" in names
    priced = rds.call("ListClasses", **REGION, CommodityCode="bards", OrderType="BUY")["Items"]
    assert names <= {one["ClassCode"] for one in priced}
    order = {"DBInstanceClass": "mysql.n2.medium.2c", "DBInstanceStorage": 20, "Quantity": 1}
    kind = {"CommodityCode": "bards", "OrderType": "BUY", "PayType": "Postpaid"}
    price = rds.call("DescribePrice", **asked, **order, **kind)["PriceInfo"]
    assert price["TradePrice"] == price["OriginalPrice"] - price["DiscountPrice"] > 0
    assert price["Currency"] == "CNY"
