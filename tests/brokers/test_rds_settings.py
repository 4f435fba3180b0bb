"""The RDS broker against the sandbox: backups, security groups and TLS of instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.rds.order import Backup
from alibroker.brokers.rds.setting_calls import SettingCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver, Operation

    Drive = Callable[..., Driver]

SMALL = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"
MARIADB = "rds-eccd8844-5803-50dd-bcfc-a0d0a4c98b8c"
POSTGRESQL = "rds-434599f1-3a4b-5c9d-ae12-804329c0839a"
SQLSERVER = "alibaba-cloud-rds-sqlserver"
BACKUP = {
    "BackupRetentionDays": 30,
    "BackupTime": "23:00Z-00:00Z",
    "BackupDays": ["Sunday", "Monday"],
}
POLICY = Backup(retention_days=30, time="23:00Z-00:00Z", weekdays=("Sunday", "Monday"))
EVERYTHING = {**BACKUP, "SecurityGroupIDs": ["sg-a", "sg-b"], "SSL": True}
NEW_CALLS = (
    "DescribeBackupPolicy",
    "ModifyBackupPolicy",
    "DescribeSecurityGroupConfiguration",
    "ModifySecurityGroupConfiguration",
    "DescribeDBInstanceSSL",
    "ModifyDBInstanceSSL",
)


class Cloud:
    """What the cloud says of the only instance."""

    def __init__(self, sandbox: Sandbox, environment: dict[str, str]) -> None:
        self._sandbox = sandbox
        self._calls = SettingCalls(connect(environment)[1])

    @property
    def name(self) -> str:
        (found,) = self._sandbox.databases
        return str(found["id"])

    @property
    def backup(self) -> Backup:
        return self._calls.backup(self.name)

    @property
    def groups(self) -> list[str]:
        return self._calls.security_groups(self.name)

    @property
    def tde(self) -> bool:
        return self._calls.tde(self.name)

    @property
    def tls(self) -> bool:
        return self._calls.tls(self.name)[0]


@pytest.fixture
def cloud(sandbox: Sandbox, environment: dict[str, str]) -> Cloud:
    return Cloud(sandbox, environment)


def failure(operation: Operation) -> Failed:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end


def live(driver: Driver, sandbox: Sandbox, cloud: Cloud) -> None:
    """Provision with all settings, change all, and delete."""
    assert isinstance(driver.provision("i", SMALL, **EVERYTHING).end, Succeeded)
    assert (cloud.backup, cloud.groups, cloud.tls) == (POLICY, ["sg-a", "sg-b"], True)
    assert driver.resource("i")["tls"] is True
    changes = {"BackupRetentionDays": 60, "SecurityGroupIDs": [], "SSL": False}
    assert isinstance(driver.update("i", **changes).end, Succeeded)
    assert cloud.backup == Backup(retention_days=60, time=POLICY.time, weekdays=POLICY.weekdays)
    assert (cloud.groups, cloud.tls) == ([], False)
    assert driver.resource("i")["tls"] is False
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_settings_are_made_and_changed(rds: Drive, sandbox: Sandbox, cloud: Cloud) -> None:
    live(rds(), sandbox, cloud)
    assert sandbox.calls()["rds:ModifyDBInstanceSSL"] == 2


def test_every_step_may_be_made_twice(rds: Drive, sandbox: Sandbox, cloud: Cloud) -> None:
    live(rds(twice=True), sandbox, cloud)


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_answer_may_be_lost(rds: Drive, sandbox: Sandbox, cloud: Cloud, when: str) -> None:
    for action in NEW_CALLS:
        sandbox.fault(action, "reset", when=when)
    live(rds(), sandbox, cloud)
    assert sandbox.hits() == len(NEW_CALLS)


def test_without_settings_nothing_is_asked(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL, SSL=False)
    driver.update("i", AllowedIPs=["10.0.0.0/8"])
    assert not {f"rds:{action}" for action in NEW_CALLS} & set(sandbox.calls())
    driver.deprovision("i")


def test_security_groups_are_taken_back_in_the_words_that_the_cloud_takes(
    rds: Drive, sandbox: Sandbox, cloud: Cloud
) -> None:
    driver = rds()
    driver.provision("i", SMALL, SecurityGroupIDs=["sg-a"])
    sandbox.fault(
        "ModifySecurityGroupConfiguration", "error", code="MissingSecurityGroupId", status=400
    )
    assert isinstance(driver.update("i", SecurityGroupIDs=[]).end, Succeeded)
    assert cloud.groups == []
    driver.deprovision("i")


def test_one_part_of_the_backups_leaves_the_others(
    rds: Drive, sandbox: Sandbox, cloud: Cloud
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    before = cloud.backup
    driver.update("i", BackupTime="02:00Z-03:00Z")
    assert cloud.backup == Backup(
        retention_days=before.retention_days, time="02:00Z-03:00Z", weekdays=before.weekdays
    )
    sandbox.control("DELETE", "counters")
    driver.update("i", BackupDays=list(before.weekdays))
    assert "rds:ModifyBackupPolicy" not in sandbox.calls(), "it is so already"
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"BackupTime": "02:00Z-04:00Z"}, "BackupTime"),
        ({"BackupTime": "02:30Z-03:30Z"}, "BackupTime"),
        ({"BackupDays": ["Monday", "Monday"]}, "BackupDays"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_bought(
    rds: Drive, sandbox: Sandbox, parameters: dict[str, Any], text: str
) -> None:
    assert text in failure(rds().provision("i", SMALL, **parameters)).reason
    assert "rds:CreateDBInstance" not in sandbox.calls()


@pytest.mark.parametrize(
    ("parameters", "text"), [({"SSL": True}, "SSL"), ({"SecurityGroupIDs": []}, "SecurityGroup")]
)
def test_what_mariadb_does_not_have_is_refused_before_anything_is_bought(
    rds: Drive, sandbox: Sandbox, parameters: dict[str, Any], text: str
) -> None:
    assert text in failure(rds().provision("i", MARIADB, **parameters)).reason
    assert "rds:CreateDBInstance" not in sandbox.calls()


def test_tls_and_class_do_not_change_together(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    sandbox.control("DELETE", "counters")
    end = failure(driver.update("i", SSL=True, Storage=60))
    assert "SSL" in end.reason
    assert not end.update_repeatable
    assert sandbox.calls() == {}
    driver.deprovision("i")


def test_settings_that_are_refused_leave_no_new_database(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    sandbox.fault("ModifyBackupPolicy", "error", code="Forbidden.RAM", status=403)
    assert "rds:ModifyBackupPolicy" in failure(driver.provision("i", SMALL, **EVERYTHING)).reason
    driver.deprovision("i")
    assert sandbox.empty


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("ModifyDBInstanceSpec", {"Storage": 60}),
        ("ModifyDBInstanceSSL", {"SSL": True}),
        ("ModifyBackupPolicy", {}),
        ("ModifySecurityGroupConfiguration", {}),
        ("ModifySecurityIps", {"AllowedIPs": ["10.0.0.0/8"]}),
    ],
)
@pytest.mark.parametrize("twice", [False, True])
def test_after_a_refusal_everything_is_as_the_cloud_had_it(
    rds: Drive,
    sandbox: Sandbox,
    environment: dict[str, str],
    action: str,
    changes: dict[str, Any],
    *,
    twice: bool,
) -> None:
    cloud = Cloud(sandbox, environment)
    driver = rds(twice=twice)
    driver.provision("i", SELF_DEFINE)
    # Chosen by an operator, so that no parameter knows it.
    calls = SettingCalls(connect(environment)[1])
    by_hand = Backup(retention_days=99, time="05:00Z-06:00Z", weekdays=("Friday", "Sunday"))
    calls.set_backup(cloud.name, by_hand)
    calls.set_security_groups(cloud.name, ["sg-hand"])
    before = sandbox.databases
    sandbox.fault(action, "error", code="Forbidden.RAM", status=403, times=1 + twice)
    settings = {**BACKUP, "SecurityGroupIDs": ["sg-new"]}
    end = failure(driver.update("i", **settings, **changes))
    assert f"rds:{action}" in end.reason
    assert end.update_repeatable
    assert (cloud.backup, cloud.groups, cloud.tls) == (by_hand, ["sg-hand"], False)
    assert sandbox.databases == before
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("plan", "uri", "jdbc"),
    [
        (SMALL, "?ssl-mode=REQUIRED", "&sslMode=REQUIRED"),
        (POSTGRESQL, "?sslmode=require", "&sslmode=require"),
        (SQLSERVER, "?encrypt=true", ";encrypt=true;trustServerCertificate=true"),
    ],
)
def test_credentials_made_with_tls_insist_on_it(rds: Drive, plan: str, uri: str, jdbc: str) -> None:
    driver = rds()
    if plan == SQLSERVER:
        (offering,) = [one for one in driver.broker.offerings() if one.name == plan]
        plan = offering.plans[0].id
    driver.provision("i", plan)
    plain = driver.bind("i", "before").credentials
    assert not {"tls", "sslmode", "caUrl"} & set(plain)
    driver.update("i", SSL=True)
    found = driver.bind("i", "after").credentials
    assert (found["tls"], found["sslmode"]) == (True, "require")
    assert ("caUrl" in found) is (plan == POSTGRESQL)
    assert found["uri"].endswith(uri)
    assert found["jdbcUrl"].endswith(jdbc)
    driver.update("i", SSL=False)
    assert set(driver.bind("i", "later").credentials) == set(plain)
    driver.deprovision("i")


LOCAL = {"Class": "rds.mysql.m1.medium"}


def test_data_are_encrypted_at_rest_from_the_start(
    rds: Drive, sandbox: Sandbox, cloud: Cloud
) -> None:
    driver = rds(twice=True)
    end = driver.provision("i", SELF_DEFINE, TDE=True, **LOCAL, **EVERYTHING).end
    assert isinstance(end, Succeeded)
    assert (cloud.tde, cloud.tls, cloud.backup) == (True, True, POLICY)
    assert (driver.resource("i")["tde"], driver.resource("i")["tls"]) == (True, True)
    driver.deprovision("i")
    assert sandbox.empty


@pytest.mark.parametrize("when", ["before", "after"])
def test_encryption_at_rest_can_be_turned_on_later_and_never_off(
    rds: Drive, sandbox: Sandbox, environment: dict[str, str], when: str
) -> None:
    cloud, driver = Cloud(sandbox, environment), rds()
    driver.provision("i", POSTGRESQL)
    assert not cloud.tde
    for action in ("DescribeDBInstanceTDE", "ModifyDBInstanceTDE"):
        sandbox.fault(action, "reset", when=when)
    assert isinstance(driver.update("i", TDE=True).end, Succeeded)
    assert sandbox.hits() == 2
    assert cloud.tde
    sandbox.control("DELETE", "counters")
    end = failure(driver.update("i", TDE=False))
    assert "TDE" in end.reason
    assert not end.update_repeatable
    assert sandbox.calls() == {}
    driver.deprovision("i")


@pytest.mark.parametrize("plan", [SELF_DEFINE, MARIADB])
def test_where_it_is_not_sold_it_is_refused_before_anything_is_bought(
    rds: Drive, sandbox: Sandbox, plan: str
) -> None:
    assert "TDE" in failure(rds().provision("i", plan, TDE=True)).reason
    assert "rds:CreateDBInstance" not in sandbox.calls()


def test_a_change_of_tls_that_never_comes_is_given_up(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    monkeypatch.setattr(SettingCalls, "set_tls", lambda *_, **__: None)
    end = failure(driver.update("i", SSL=True, **BACKUP))
    assert "TLS" in end.reason
    assert end.update_repeatable
    assert end.instance_usable
    assert len(sandbox.databases) == 1
    driver.deprovision("i")
