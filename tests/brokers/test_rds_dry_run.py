"""The RDS broker has orders checked before it places them, if operators want that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aliyunsdkrds.request.v20140815.CreateDBInstanceRequest import CreateDBInstanceRequest

from alibroker.brokers.alibabacloud.settings import SettingsError
from alibroker.brokers.api import CheckState, Failed, Preflight, Succeeded
from alibroker.brokers.rds.calls import RdsCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

SMALL = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"
ORDERS = "rds:CreateDBInstance"


@pytest.mark.parametrize("twice", [False, True])
def test_an_order_is_checked_and_then_placed(rds: Drive, sandbox: Sandbox, *, twice: bool) -> None:
    driver = rds(ALIBROKER_RDS_DRY_RUN="true", twice=twice)
    checked = driver.ordered("i", SMALL)
    driver.run([checked], steps=2)
    assert sandbox.calls()[ORDERS] == 1 + twice
    assert sandbox.databases == []
    assert isinstance(driver.run([checked])[0].end, Succeeded)
    assert sandbox.calls()[ORDERS] == 2 * (1 + twice)
    assert len(sandbox.databases) == 1
    driver.deprovision("i")


@pytest.mark.parametrize("value", ["", "false"])
def test_without_the_setting_an_order_is_placed_at_once(
    rds: Drive, sandbox: Sandbox, value: str
) -> None:
    driver = rds(ALIBROKER_RDS_DRY_RUN=value)
    driver.provision("i", SMALL)
    assert sandbox.calls()[ORDERS] == 1
    driver.deprovision("i")


def test_an_order_that_would_be_refused_is_never_placed(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds(ALIBROKER_RDS_DRY_RUN="true")
    operation = driver.provision("i", SELF_DEFINE, Class="mysql.nobody.sells.2c")
    assert isinstance(operation.end, Failed)
    assert "InvalidDBInstanceClass" in operation.end.reason
    assert sandbox.calls()[ORDERS] == 1
    assert sandbox.empty


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_answer_to_a_check_may_be_lost(rds: Drive, sandbox: Sandbox, when: str) -> None:
    driver = rds(ALIBROKER_RDS_DRY_RUN="true")
    sandbox.fault("CreateDBInstance", "reset", when=when)
    assert isinstance(driver.provision("i", SMALL).end, Succeeded)
    assert len(sandbox.databases) == 1
    driver.deprovision("i")


def test_a_check_that_buys_is_the_order(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CreateDBInstanceRequest, "set_DryRun", lambda *_: None)
    driver = rds(ALIBROKER_RDS_DRY_RUN="true")
    assert isinstance(driver.provision("i", SMALL).end, Succeeded)
    assert len(sandbox.databases) == 1
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_preflight_that_buys_stops_and_says_what(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.settings(time_scale=0.0)
    monkeypatch.setattr(CreateDBInstanceRequest, "set_DryRun", lambda *_: None)
    driver = rds()
    assert isinstance(driver.broker, Preflight)
    *_, last = driver.broker.preflight()
    (database,) = sandbox.databases
    assert last.state is CheckState.FAILED
    assert database["id"] in last.detail
    assert database["id"] in last.remedy
    RdsCalls(driver.broker._cloud).delete_instance(database["id"])


def test_the_setting_is_true_or_false(rds: Drive) -> None:
    with pytest.raises(SettingsError, match="ALIBROKER_RDS_DRY_RUN"):
        rds(ALIBROKER_RDS_DRY_RUN="maybe")
