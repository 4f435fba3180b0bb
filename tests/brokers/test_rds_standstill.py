"""What the cloud calls busy although only a person can end it ends the operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.alibabacloud.client import common_request
from alibroker.brokers.api import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver, Operation

    Drive = Callable[..., Driver]

PLAN = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"


def turn(driver: Driver, sandbox: Sandbox, action: str) -> None:
    (database,) = sandbox.databases
    request = common_request("Rds", action, DBInstanceId=database["id"])
    driver.broker._cloud.call(request)  # type: ignore[attr-defined] # of this broker


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
