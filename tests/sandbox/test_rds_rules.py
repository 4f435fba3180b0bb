"""What RDS refuses, and with which code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "Aa1!*xyz"
TWENTY_ONE_TAGS = {f"Tag__{n}__Key": f"k{n}" for n in range(1, 22)}


@pytest.fixture(scope="module")
def instance(sandbox: Any) -> str:
    """A MySQL instance that no test deletes."""
    return str(sandbox.owner.create_instance())


@pytest.mark.parametrize(
    "name",
    [
        "Engine",
        "EngineVersion",
        "DBInstanceClass",
        "DBInstanceStorage",
        "DBInstanceNetType",
        "SecurityIPList",
        "PayType",
    ],
)
def test_a_missing_parameter_is_named(owner: Any, name: str) -> None:
    with pytest.raises(Exception, match=f'MissingParameter.*"{name}"'):
        owner.create_instance(**{name: None})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RegionId": "cn-nowhere"}, "InvalidRegionId.NotFound"),
        ({"Engine": "mysql"}, "InvalidEngine.Malformed"),
        ({"EngineVersion": "9.9"}, "InvalidEngineVersion.Malformed"),
        ({"DBInstanceClass": "mysql.huge"}, "InvalidDBInstanceClass.Malformed"),
        ({"DBInstanceClass": "pg.n2.2c.1m"}, "InvalidDBInstanceClass.Malformed"),
        ({"DBInstanceStorage": "21"}, "InvalidStorage.Malformed"),
        ({"DBInstanceStorage": "many"}, "InvalidStorage.Malformed"),
        ({"DBInstanceStorage": "15"}, "InvalidEssdStorageSize"),
        ({"DBInstanceStorage": "100000"}, "InvalidEssdStorageSize"),
        ({"DBInstanceStorageType": "tape"}, "InvalidDBInstanceStorageType.Malformed"),
        ({"DBInstanceStorageType": "local_ssd"}, "InvalidInstanceLevel.DiskType"),
        (
            {"DBInstanceClass": "mysql.n4.medium.2c", "DBInstanceStorageType": "cloud_essd2"},
            "InvalidInstanceLevel.DiskType",
        ),
        ({"DBInstanceNetType": "Moon"}, "InvalidParameter"),
        ({"PayType": "Never"}, "InvalidParameter"),
        ({"Amount": "2"}, "InvalidParameter"),
        ({"Category": "Best"}, "InvalidCategory.Malformed"),
        ({"SecurityIPList": "somewhere"}, "InvalidSecurityIPList.Format"),
        ({"SecurityIPList": "10.0.0.0/0"}, "InvalidSecurityIPList.Format"),
        ({"SecurityIPList": "10.0.0.1,10.0.0.1"}, "InvalidSecurityIPList.Duplicate"),
        ({"DBInstanceDescription": "1st"}, "InvalidDBInstanceDescription.Format"),
        ({"DBInstanceDescription": "x"}, "InvalidDBInstanceDescription.Format"),
        ({"Port": "80"}, "InvalidPort.Malformed"),
        ({"InstanceNetworkType": "Classic"}, "InvalidParam.InstanceNetworkType"),
        ({"VPCId": "vpc-unknown"}, "InvalidVpcId.NotFound"),
        ({"ZoneId": "cn-hangzhou-z"}, "InvalidZoneId.NotSupported"),
        ({"VSwitchId": "vsw-unknown", "ZoneId": "cn-hangzhou-h"}, "InvalidVswitchId"),
        ({"VSwitchId": "vsw-unknown"}, "MissingParameter"),
        ({"Tag__1__Key": "acs:x", "Tag__1__Value": ""}, "InvalidTagKey.Malformed"),
        ({"Tag__1__Key": "k", "Tag__1__Value": "http://x"}, "InvalidTagValue.Malformed"),
        ({"Tag__1__Key": "k", "Tag__2__Key": "k"}, "Duplicate.TagKey"),
        (TWENTY_ONE_TAGS, "NumberExceed.Tags"),
        ({"ClientToken": "x" * 65}, "InvalidParameter"),
        ({"PayType": "Prepaid", "DeletionProtection": "true"}, "InvalidParameter"),
    ],
)
def test_a_bad_order_is_refused(owner: Any, changes: dict[str, str], code: str) -> None:
    given = {"DBInstanceClass": "mysql.n2.medium.2c", **changes}
    parameters = {
        "RegionId": "cn-hangzhou",
        "Engine": "MySQL",
        "EngineVersion": "8.0",
        "DBInstanceStorage": "20",
        "DBInstanceNetType": "Intranet",
        "SecurityIPList": "10.0.0.0/8",
        "PayType": "Postpaid",
        **given,
    }
    assert owner.refusal("rds", "CreateDBInstance", **parameters) == code


@pytest.mark.parametrize(
    ("engine", "version", "code", "storage", "prefix", "port"),
    [
        ("MySQL", "5.7", "rds.mysql.s1.small", "5", "rm-", "3306"),
        ("MySQL", "8.0", "mysql.n2.small.1", "20", "rm-", "3306"),
        ("PostgreSQL", "16.0", "pg.n2.2c.1m", "20", "pgm-", "5432"),
        ("MariaDB", "10.6", "mariadb.n2.small.2c", "20", "rm-", "3306"),
        ("SQLServer", "2022_web", "mssql.x2.medium.w1", "20", "rm-", "1433"),
    ],
)
def test_every_engine_can_be_ordered(
    owner: Any, engine: str, version: str, code: str, storage: str, prefix: str, port: str
) -> None:
    name = owner.create_instance(
        Engine=engine, EngineVersion=version, DBInstanceClass=code, DBInstanceStorage=storage
    )
    assert name.startswith(prefix)
    net = owner.call("rds", "DescribeDBInstanceNetInfo", DBInstanceId=name)
    endpoint = net["DBInstanceNetInfos"]["DBInstanceNetInfo"][0]
    assert (endpoint["Port"], endpoint["IPType"]) == (port, "Private")


def test_a_vswitch_must_lie_in_the_zone(owner: Any) -> None:
    vswitches = owner.call("vpc", "DescribeVSwitches", RegionId="cn-hangzhou")
    first, second, _ = vswitches["VSwitches"]["VSwitch"]
    there = {"VSwitchId": first["VSwitchId"], "VPCId": first["VpcId"]}
    name = owner.create_instance(**there, ZoneId=first["ZoneId"])
    attribute = owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
    assert attribute["Items"]["DBInstanceAttribute"][0]["VSwitchId"] == first["VSwitchId"]
    with pytest.raises(Exception, match="InvalidVswitchId"):
        owner.create_instance(**there, ZoneId=second["ZoneId"])


def test_a_dry_run_creates_nothing(owner: Any) -> None:
    before = owner.call("rds", "DescribeDBInstances")["TotalRecordCount"]
    with pytest.raises(KeyError):
        owner.create_instance(DryRun="true", ClientToken="dry")
    with pytest.raises(Exception, match="InvalidEngine"):
        owner.create_instance(DryRun="true", Engine="Access")
    assert owner.call("rds", "DescribeDBInstances")["TotalRecordCount"] >= before
    assert owner.create_instance(ClientToken="dry")


def test_a_client_token_repeats_the_first_answer(owner: Any, unique: Callable[[str], str]) -> None:
    token = unique("token-")
    name = owner.create_instance(ClientToken=token)
    assert owner.create_instance(ClientToken=token) == name
    with pytest.raises(Exception, match="IdempotentParameterMismatch"):
        owner.create_instance(ClientToken=token, DBInstanceStorage="25")
    assert owner.create_instance(ClientToken=token.upper()) != name


def test_a_refused_order_does_not_use_its_token(owner: Any, unique: Callable[[str], str]) -> None:
    token = unique("token-")
    with pytest.raises(Exception, match="InvalidEngine"):
        owner.create_instance(ClientToken=token, Engine="Access")
    assert owner.create_instance(ClientToken=token)


def test_a_client_token_is_forgotten(
    sandbox: Any, owner: Any, unique: Callable[[str], str]
) -> None:
    token = unique("token-")
    with sandbox.settings(client_token_seconds=0):
        first = owner.create_instance(ClientToken=token)
        assert owner.create_instance(ClientToken=token) != first


def test_the_quota_is_kept(start: Callable[..., Any]) -> None:
    owner = start("--time-scale", "0", "--instance-quota", "1").owner
    name = owner.create_instance()
    with pytest.raises(Exception, match="QuotaExceed"):
        owner.create_instance()
    owner.call("rds", "DeleteDBInstance", DBInstanceId=name)
    owner.create_instance()


def test_stock_runs_out(sandbox: Any, owner: Any) -> None:
    with sandbox.settings(out_of_stock=["cn-hangzhou-j", "mysql.n8.xlarge.2c"]):
        for changes in ({"ZoneId": "cn-hangzhou-j"}, {"DBInstanceClass": "mysql.n8.xlarge.2c"}):
            with pytest.raises(Exception, match="InsufficientResourceCapacity"):
                owner.create_instance(**changes)
        owner.create_instance(ZoneId="cn-hangzhou-h")


def test_protection_and_subscriptions_prevent_deletion(owner: Any) -> None:
    name = owner.create_instance(DeletionProtection="true")
    code = owner.refusal("rds", "DeleteDBInstance", DBInstanceId=name)
    assert code == "OperationDenied.DeletionProtection"
    owner.call(
        "rds", "ModifyDBInstanceDeletionProtection", DBInstanceId=name, DeletionProtection="false"
    )
    owner.call("rds", "DeleteDBInstance", DBInstanceId=name)
    assert owner.refusal("rds", "DeleteDBInstance", DBInstanceId=name).endswith("NotFound")
    prepaid = owner.create_instance(PayType="Prepaid")
    code = owner.refusal("rds", "DeleteDBInstance", DBInstanceId=prepaid)
    assert code == "OperationDenied.DBInstanceStatus"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "MissingParameter"),
        ({"DBInstanceStorage": "10"}, "InvalidEssdStorageSize"),
        ({"DBInstanceStorage": "25"}, "NotSupportReduceDiskSize"),
        ({"DBInstanceClass": "mysql.none"}, "InvalidDBInstanceClass.NotFound"),
        ({"DBInstanceClass": "mysql.n2.medium.2c"}, "InvalidOrderTask.NotSupport"),
    ],
)
def test_a_bad_change_is_refused(owner: Any, changes: dict[str, str], code: str) -> None:
    name = owner.create_instance(DBInstanceStorage="30")
    assert owner.refusal("rds", "ModifyDBInstanceSpec", DBInstanceId=name, **changes) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"AccountName": "1abc"}, "InvalidAccountName.Malformed"),
        ({"AccountName": "a"}, "InvalidAccountName.Malformed"),
        ({"AccountName": "a" * 33}, "InvalidAccountName.Malformed"),
        ({"AccountName": "admin"}, "InvalidAccountName.Forbid"),
        ({"AccountPassword": "short1!"}, "InvalidAccountPassword.Format"),
        ({"AccountPassword": "onlylowercase"}, "InvalidAccountPassword.Format"),
        ({"AccountPassword": "Has a blank 1"}, "InvalidAccountPassword.Format"),
        ({"AccountPassword": "Aa1!" * 9}, "InvalidAccountPassword.Format"),
        ({"AccountType": "King"}, "InvalidAccountType.Format"),
        ({"AccountDescription": "x"}, "InvalidAccountDescription.Format"),
    ],
)
def test_a_bad_account_is_refused(
    owner: Any, instance: str, changes: dict[str, str], code: str
) -> None:
    account = {"AccountName": "fine1", "AccountPassword": PASSWORD, **changes}
    assert owner.refusal("rds", "CreateAccount", DBInstanceId=instance, **account) == code


def test_accounts_keep_their_rules(sandbox: Any, owner: Any) -> None:
    name = owner.create_instance()

    def create(account: str, **more: str) -> Any:
        return {
            "DBInstanceId": name,
            "AccountName": account,
            "AccountPassword": PASSWORD,
            **more,
        }

    with sandbox.settings(first_account_super=True):
        code = owner.refusal("rds", "CreateAccount", **create("first"))
        assert code == "InvalidAccountType.Format"
        owner.call("rds", "CreateAccount", **create("boss", AccountType="Super"))
    code = owner.refusal("rds", "CreateAccount", **create("chief", AccountType="Super"))
    assert code == "IncorrectAccountType"
    owner.call("rds", "CreateAccount", **create("app1"))
    assert owner.refusal("rds", "CreateAccount", **create("App1")) == "InvalidAccountName.Duplicate"
    with sandbox.settings(accounts_per_instance=2):
        assert owner.refusal("rds", "CreateAccount", **create("app2")) == "AccountLimitExceeded"
    reset = {"DBInstanceId": name, "AccountName": "app1"}
    code = owner.refusal("rds", "ResetAccountPassword", **reset, AccountPassword="weak")
    assert code == "InvalidAccountPassword.Format"
    owner.call("rds", "ResetAccountPassword", **reset, AccountPassword="Bb2!*xyz")
    owner.call("rds", "DeleteAccount", **reset)
    assert owner.refusal("rds", "DeleteAccount", **reset) == "InvalidAccountName.NotFound"
    listed = owner.call("rds", "DescribeAccounts", DBInstanceId=name, AccountName="app1")
    assert listed["Accounts"]["DBInstanceAccount"] == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DBName": "Upper"}, "InvalidDBName.Format"),
        ({"DBName": "x" * 65}, "InvalidDBName.Format"),
        ({"DBName": "mysql"}, "InvalidDBName.Forbid"),
        ({"CharacterSetName": "EBCDIC"}, "InvalidCharacterSetName.Format"),
    ],
)
def test_a_bad_database_is_refused(
    owner: Any, instance: str, changes: dict[str, str], code: str
) -> None:
    database = {"DBName": "fine", "CharacterSetName": "utf8mb4", **changes}
    assert owner.refusal("rds", "CreateDatabase", DBInstanceId=instance, **database) == code


def test_grants_keep_their_rules(sandbox: Any, owner: Any) -> None:
    name = owner.create_instance()
    here = {"DBInstanceId": name}
    password = {"AccountPassword": PASSWORD}
    owner.call("rds", "CreateAccount", **here, AccountName="app1", **password)
    owner.call("rds", "CreateAccount", **here, AccountName="boss", AccountType="Super", **password)
    database = {**here, "DBName": "db1", "CharacterSetName": "utf8"}
    owner.call("rds", "CreateDatabase", **database)
    assert owner.refusal("rds", "CreateDatabase", **database) == "InvalidDBName.Duplicate"
    with sandbox.settings(databases_per_instance=1):
        code = owner.refusal("rds", "CreateDatabase", **{**database, "DBName": "db2"})
        assert code == "DatabaseLimitExceeded"
    grant = {**here, "AccountName": "app1", "DBName": "db1", "AccountPrivilege": "ReadOnly"}
    for changes, code in (
        ({"AccountPrivilege": "All"}, "InvalidAccountPrivilege.Malformed"),
        ({"DBName": "db1,db1"}, "InvalidDBNameOrAccountPrivilege"),
        ({"DBName": "none"}, "InvalidDB.NotFound"),
        ({"AccountName": "none"}, "InvalidAccountName.NotFound"),
        ({"AccountName": "boss"}, "IncorrectAccountPrivilegeType"),
    ):
        assert owner.refusal("rds", "GrantAccountPrivilege", **{**grant, **changes}) == code
    owner.call("rds", "GrantAccountPrivilege", **grant)
    shown = owner.call("rds", "DescribeDatabases", **here, DBName="db1")
    assert shown["Databases"]["Database"][0]["Accounts"]["AccountPrivilegeInfo"] == [
        {"Account": "app1", "AccountPrivilege": "ReadOnly", "AccountPrivilegeDetail": "ReadOnly"}
    ]
    revoke = {**here, "AccountName": "app1", "DBName": "db1"}
    owner.call("rds", "RevokeAccountPrivilege", **revoke)
    code = owner.refusal("rds", "RevokeAccountPrivilege", **revoke)
    assert code == "InvalidAccountPrivilege.NotFound"
    owner.call("rds", "DeleteDatabase", **here, DBName="db1")
    assert owner.refusal("rds", "DeleteDatabase", **here, DBName="db1") == "InvalidDBName.NotFound"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (
            {
                "Engine": "PostgreSQL",
                "EngineVersion": "16.0",
                "DBInstanceClass": "pg.n2.2c.1m",
            },
            "ALL",
        ),
        (
            {
                "Engine": "SQLServer",
                "EngineVersion": "2022_web",
                "DBInstanceClass": "mssql.x2.medium.w1",
            },
            "DbOwner",
        ),
    ],
)
def test_a_database_owner_reads_back_differently(
    owner: Any, changes: dict[str, str], shown: str
) -> None:
    name = owner.create_instance(**changes)
    here = {"DBInstanceId": name}
    account = {**here, "AccountName": "app1", "AccountPassword": PASSWORD}
    if changes["Engine"] == "SQLServer":
        boss = {**account, "AccountName": "boss", "AccountType": "Super"}
        assert owner.refusal("rds", "CreateAccount", **account) == "InvalidAccountType.Format"
        owner.call("rds", "CreateAccount", **boss)
    owner.call("rds", "CreateAccount", **account)
    charset = "Chinese_PRC_CI_AS" if changes["Engine"] == "SQLServer" else "UTF8,C,en_US.utf8"
    owner.call("rds", "CreateDatabase", **here, DBName="db1", CharacterSetName=charset)
    grant = {**here, "AccountName": "app1", "DBName": "db1"}
    owner.call("rds", "GrantAccountPrivilege", **grant, AccountPrivilege="DBOwner")
    accounts = owner.call("rds", "DescribeAccounts", **here)["Accounts"]["DBInstanceAccount"]
    granted = accounts[-1]["DatabasePrivileges"]["DatabasePrivilege"]
    assert granted[0]["AccountPrivilege"] == shown
    if changes["Engine"] == "PostgreSQL":
        assert owner.refusal("rds", "RevokeAccountPrivilege", **grant) == "EngineNotSupported"
