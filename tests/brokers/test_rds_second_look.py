"""What the cloud says of an instance is held against the instance: busy, or not there at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from waiting import eventually

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.rds.product import RDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver, Operation

    Drive = Callable[..., Driver]

PLAN = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"


def turn(driver: Driver, sandbox: Sandbox, action: str) -> None:
    (database,) = sandbox.databases
    cloud = driver.broker._cloud  # type: ignore[attr-defined] # of this broker
    cloud.ask(RDS, action, DBInstanceId=database["id"])


@pytest.mark.parametrize("kind", ["bind", "unbind", "update", "change", "deprovision"])
def test_an_operation_on_a_stopped_instance_ends_at_once_and_says_what_to_do(
    rds: Drive, sandbox: Sandbox, kind: str
) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    driver.bind("i", "b0")
    operations: dict[str, Callable[[], Operation]] = {
        "bind": lambda: driver.bind("i", "b1"),
        "unbind": lambda: driver.unbind("i", "b0"),
        "update": lambda: driver.update("i", AllowedIPs=["10.0.0.0/8"]),
        "change": lambda: driver.update("i", Storage=60),
        "deprovision": lambda: driver.deprovision("i"),
    }
    turn(driver, sandbox, "StopDBInstance")
    before = sandbox.databases
    operation = operations[kind]()
    assert isinstance(operation.end, Failed)
    assert "start it" in operation.end.reason
    assert operation.end.instance_usable
    assert len(operation.steps) <= 4
    assert sandbox.databases == before
    turn(driver, sandbox, "StartDBInstance")
    assert isinstance(operations[kind]().end, Succeeded)
    driver.deprovision("i")
    assert sandbox.empty


def test_a_busy_instance_is_waited_for(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    busy: dict[str, Any] = {"code": "IncorrectDBInstanceState", "status": 403, "times": 3}
    sandbox.fault("CreateAccount", "error", **busy)
    assert isinstance(driver.bind("i", "b").end, Succeeded)
    driver.unbind("i", "b")
    driver.deprovision("i")


@pytest.mark.parametrize("code", ["InvalidDBInstanceName.NotFound", "Forbidden.InstanceNotFound"])
@pytest.mark.parametrize(
    "action", ["CreateAccount", "CreateDatabase", "DescribeAccounts", "GrantAccountPrivilege"]
)
def test_an_instance_that_single_actions_do_not_find_is_there(
    rds: Drive, sandbox: Sandbox, action: str, code: str
) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    sandbox.fault(action, "error", code=code, status=404, times=2)
    assert isinstance(driver.bind("i", "b").end, Succeeded)
    driver.unbind("i", "b")
    driver.deprovision("i")


def test_a_new_instance_that_cannot_be_set_up_yet_is_not_given_up(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    code = "InvalidDBInstanceName.NotFound"
    sandbox.fault("ModifyBackupPolicy", "error", code=code, status=404, times=2)
    assert isinstance(driver.provision("i", PLAN, BackupRetentionDays=30).end, Succeeded)
    driver.deprovision("i")


def test_an_instance_that_is_gone_ends_a_bind(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    turn(driver, sandbox, "DeleteDBInstance")
    eventually(lambda: sandbox.databases == [])
    end = driver.bind("i", "b").end
    assert isinstance(end, Failed)
    assert "NotFound" in end.reason
    assert isinstance(driver.deprovision("i").end, Succeeded)


def test_an_account_that_a_policy_forbids_is_not_asked_for_until_the_deadline(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    refusal = {"code": "Account.AddError", "status": 400, "message": "Check your input value."}
    sandbox.fault("CreateAccount", "error", **refusal, times=2)
    assert isinstance(driver.bind("i", "b1").end, Succeeded)
    sandbox.fault("CreateAccount", "error", **refusal, times=None)
    end = driver.bind("i", "b2").end
    assert isinstance(end, Failed)
    assert "Check your input value" in end.reason
    assert "Password" in end.reason
    sandbox.control("DELETE", "faults")
    driver.unbind("i", "b2")
    driver.deprovision("i")
