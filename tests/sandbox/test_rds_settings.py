"""Settings of an instance in the sandbox: backups, security groups, TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

POSTGRES = {
    "Engine": "PostgreSQL",
    "EngineVersion": "16.0",
    "DBInstanceClass": "pg.n2.2c.2m",
    "Category": "HighAvailability",
}
MARIADB = {
    "Engine": "MariaDB",
    "EngineVersion": "10.6",
    "DBInstanceClass": "mariadb.n2.small.2c",
    "Category": "HighAvailability",
}
BACKUP = {
    "BackupRetentionPeriod": "30",
    "PreferredBackupTime": "02:00Z-03:00Z",
    "PreferredBackupPeriod": "Monday,Friday",
}


@pytest.fixture(scope="module")
def instance(sandbox: Any) -> str:
    """A MySQL instance that no test deletes."""
    return str(sandbox.owner.create_instance())


def test_a_backup_policy_is_kept(owner: Any) -> None:
    name = owner.create_instance()
    before = owner.call("rds", "DescribeBackupPolicy", DBInstanceId=name)
    assert before["BackupRetentionPeriod"] == 7
    owner.call("rds", "ModifyBackupPolicy", DBInstanceId=name, **BACKUP)
    after = owner.call("rds", "DescribeBackupPolicy", DBInstanceId=name)
    assert (
        after["BackupRetentionPeriod"],
        after["PreferredBackupTime"],
        after["PreferredBackupPeriod"],
    ) == (30, "02:00Z-03:00Z", "Monday,Friday")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BackupRetentionPeriod": "6"}, "InvalidBackupRetentionPeriod.Malformed"),
        ({"BackupRetentionPeriod": "731"}, "InvalidBackupRetentionPeriod.Malformed"),
        ({"BackupRetentionPeriod": None}, "MissingParameter"),
        ({"PreferredBackupTime": None}, "MissingParameter"),
        ({"PreferredBackupTime": "02:00Z-04:00Z"}, "InvalidPreferredBackupTime.Malformed"),
        ({"PreferredBackupTime": "2-3"}, "InvalidPreferredBackupTime.Malformed"),
        ({"PreferredBackupPeriod": "Monday"}, "InvalidParameter"),
        ({"PreferredBackupPeriod": "Monday,Mittwoch"}, "InvalidParameter"),
    ],
)
def test_a_bad_backup_policy_is_refused(
    owner: Any, instance: str, changes: dict[str, Any], code: str
) -> None:
    wanted = {name: value for name, value in {**BACKUP, **changes}.items() if value is not None}
    assert owner.refusal("rds", "ModifyBackupPolicy", DBInstanceId=instance, **wanted) == code


def test_security_groups_are_replaced_and_removed(owner: Any) -> None:
    name = owner.create_instance()

    def groups() -> list[str]:
        answer = owner.call("rds", "DescribeSecurityGroupConfiguration", DBInstanceId=name)
        return [one["SecurityGroupId"] for one in answer["Items"]["EcsSecurityGroupRelation"]]

    for wanted in (["sg-a", "sg-b"], ["sg-c"], []):
        changed = {"DBInstanceId": name, "SecurityGroupId": ",".join(wanted)}
        owner.call("rds", "ModifySecurityGroupConfiguration", **changed)
        assert groups() == wanted
    owner.call("rds", "ModifySecurityGroupConfiguration", DBInstanceId=name, SecurityGroupId="sg-a")
    owner.call(
        "rds", "ModifySecurityGroupConfiguration", DBInstanceId=name, SecurityGroupId="Empty"
    )
    assert groups() == []


@pytest.mark.parametrize(
    ("groups", "code"),
    [
        ("group", "InvalidSecurityGroupId.NotFound"),
        ("sg-a,sg-a", "InvalidSecurityGroupId.NotFound"),
        (",".join(f"sg-{n}" for n in range(11)), "AssociatedEcsSecurityGroupIdQuotaExceed"),
    ],
)
def test_bad_security_groups_are_refused(owner: Any, instance: str, groups: str, code: str) -> None:
    wanted = {"DBInstanceId": instance, "SecurityGroupId": groups}
    assert owner.refusal("rds", "ModifySecurityGroupConfiguration", **wanted) == code


@pytest.mark.parametrize(
    ("kind", "words"), [({}, ("No", "Yes")), (POSTGRES, ("off", "on"))], ids=["MySQL", "PostgreSQL"]
)
def test_tls_takes_a_restart(
    start: Callable[..., Any], eventually: Any, kind: dict[str, str], words: tuple[str, str]
) -> None:
    sandbox = start("--time-scale", "0")
    owner = sandbox.owner
    name = owner.create_instance(**kind)

    def status() -> str:
        found = owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
        return str(found["Items"]["DBInstanceAttribute"][0]["DBInstanceStatus"])

    host = f"{name}.{'pg' if kind else 'mysql'}.rds.aliyuncs.com"
    sandbox.control("PUT", "settings", {"time_scale": 0.01})
    for wanted in (1, 0):
        before = owner.call("rds", "DescribeDBInstanceSSL", DBInstanceId=name)
        assert before["SSLEnabled"] == words[1 - wanted]
        change = {"DBInstanceId": name, "ConnectionString": host, "SSLEnabled": str(wanted)}
        owner.call("rds", "ModifyDBInstanceSSL", **change, CAType="aliyun")
        assert status() == "SSL_MODIFYING"
        assert owner.refusal("rds", "ModifyDBInstanceSSL", **change, CAType="aliyun") == (
            "IncorrectDBInstanceState"
        )
        tasks = owner.call("rds", "DescribeTasks", DBInstanceId=name)["Items"]["TaskProgressInfo"]
        assert [task["TaskAction"] for task in tasks] == ["ModifyDBInstanceSSL"]
        eventually(lambda: status() == "Running")
        after = owner.call("rds", "DescribeDBInstanceSSL", DBInstanceId=name)
        assert after["SSLEnabled"] == words[wanted]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ConnectionString": None}, "MissingParameter"),
        ({"ConnectionString": "elsewhere.mysql.rds.aliyuncs.com"}, "InvalidConnectionString"),
        ({"SSLEnabled": "2"}, "InvalidParameter"),
        ({"CAType": None}, "MissingParameter"),
    ],
)
def test_a_bad_change_of_tls_is_refused(
    owner: Any, instance: str, changes: dict[str, Any], code: str
) -> None:
    host = f"{instance}.mysql.rds.aliyuncs.com"
    asked = {"ConnectionString": host, "SSLEnabled": "1", "CAType": "aliyun", **changes}
    wanted = {name: value for name, value in asked.items() if value is not None}
    refusal = owner.refusal("rds", "ModifyDBInstanceSSL", DBInstanceId=instance, **wanted)
    assert refusal.startswith(code)


def test_tde_is_turned_on_for_good(owner: Any, eventually: Any) -> None:
    here = {"DBInstanceId": owner.create_instance(**POSTGRES)}

    def status() -> str:
        return str(owner.call("rds", "DescribeDBInstanceTDE", **here)["TDEStatus"])

    assert status() == "Disabled"
    owner.call("rds", "ModifyDBInstanceTDE", **here, TDEStatus="Enabled")
    eventually(lambda: status() == "Enabled")
    for wanted in ("Enabled", "Disabled"):
        code = owner.refusal("rds", "ModifyDBInstanceTDE", **here, TDEStatus=wanted)
        assert code == "IncorrectTDEStatus"


def test_tde_is_not_sold_for_mysql_on_cloud_disks(owner: Any, instance: str) -> None:
    wanted = {"DBInstanceId": instance, "TDEStatus": "Enabled"}
    assert owner.refusal("rds", "ModifyDBInstanceTDE", **wanted) == "InstanceTDENotSupport"


def test_mariadb_has_neither_security_groups_nor_tls(owner: Any) -> None:
    here = {"DBInstanceId": owner.create_instance(**MARIADB)}
    assert owner.refusal("rds", "DescribeDBInstanceSSL", **here) == "EngineNotSupported"
    groups = {**here, "SecurityGroupId": "sg-a"}
    code = owner.refusal("rds", "ModifySecurityGroupConfiguration", **groups)
    assert code == "EngineNotSupported"
