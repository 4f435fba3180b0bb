"""The RDS broker against the sandbox: changes in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aliyunsdkrds.request.v20140815.ModifyDBInstanceSpecRequest import ModifyDBInstanceSpecRequest
from waiting import eventually

from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.api import Failed, OperationKind, Succeeded
from alibroker.brokers.driver import Operation
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.product import RDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

SMALL = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"
LARGE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1d"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"
SQLSERVER = "rds-0e3189ad-a62f-52e3-802c-e025ed325314"
ALL = {"Storage": 60, "Class": "mysql.n2.large.2c", "AllowedIPs": ["10.0.0.0/8"]}


def failure(operation: Operation) -> Failed:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end


def change_everything(driver: Driver, sandbox: Sandbox) -> None:
    driver.provision("i", SELF_DEFINE)
    operation = driver.update("i", DeletionProtection=True, **ALL)
    assert isinstance(operation.end, Succeeded), operation.steps
    (found,) = sandbox.databases
    assert (found["storage"], found["class"]) == (60, "mysql.n2.large.2c")
    assert found["allow_lists"] == {"default": ["10.0.0.0/8"]}
    assert found["deletion_protection"] is True
    assert isinstance(driver.update("i", DeletionProtection=False).end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_class_storage_allow_list_and_protection_change_in_place(
    rds: Drive, sandbox: Sandbox
) -> None:
    change_everything(rds(), sandbox)
    assert sandbox.calls()["rds:ModifyDBInstanceSpec"] == 1


def test_every_step_may_be_made_twice(rds: Drive, sandbox: Sandbox) -> None:
    change_everything(rds(twice=True), sandbox)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "action",
    ["ModifyDBInstanceSpec", "ModifySecurityIps", "ModifyDBInstanceDeletionProtection"],
)
def test_an_answer_may_be_lost(rds: Drive, sandbox: Sandbox, action: str, when: str) -> None:
    sandbox.fault(action, "reset", when=when)
    change_everything(rds(), sandbox)
    assert sandbox.hits() == 1


def test_another_plan_is_another_class(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    before = sandbox.databases[0]["id"]
    assert isinstance(driver.update("i", LARGE).end, Succeeded)
    (found,) = sandbox.databases
    assert (found["id"], found["class"]) == (before, "mysql.n2.medium.2c")
    assert driver.bind("i", "b").credentials["host"]
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("plan", "chosen", "changes"),
    [
        (SQLSERVER, {}, {"Storage": 200}),  # its edition has to be named
        (SELF_DEFINE, {"Class": "mysql.n2.small.xc"}, {"Storage": 200}),  # which is spelt otherwise
        (SELF_DEFINE, {}, {"StorageType": "general_essd"}),  # takes class and storage as they are
    ],
)
def test_an_order_for_a_change_says_all_that_the_cloud_wants_to_know(
    rds: Drive, sandbox: Sandbox, plan: str, chosen: dict[str, Any], changes: dict[str, Any]
) -> None:
    driver = rds()
    driver.provision("i", plan, **chosen)
    (before,) = sandbox.databases
    operation = driver.update("i", **changes)
    assert isinstance(operation.end, Succeeded), operation.steps
    (found,) = sandbox.databases
    assert found["class"] == before["class"]
    assert sandbox.calls()["rds:ModifyDBInstanceSpec"] == 1
    driver.deprovision("i")


def test_a_class_that_the_plan_says_by_now_comes_with_no_other_change(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    (before,) = sandbox.databases
    plan = next(plan for one in driver.broker.offerings() for plan in one.plans if plan.id == SMALL)
    driver.instances["i"].plan_id = plan.id
    assert plan.settings["instance_class"] != before["class"]
    assert isinstance(driver.update("i", Storage=200).end, Succeeded)
    (found,) = sandbox.databases
    assert (found["class"], found["storage"]) == (before["class"], 200)
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Storage": 20}, "can only grow"),
        ({"EngineVersion": "5.7"}, "version"),
        ({"ZoneId": "cn-hangzhou-i"}, "zone"),
        ({"VpcID": "vpc-other"}, "VPC"),
        ({"CharacterSet": "gbk"}, "CharacterSet"),
        ({"StorageType": "cloud_essd3"}, "1500 GB"),
        ({"StorageType": "general_essd", "Storage": 60}, "general_essd alone"),
    ],
)
def test_what_cannot_change_is_said_before_anything_is_done(
    rds: Drive, sandbox: Sandbox, changes: dict[str, Any], text: str
) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE, Storage=40)
    sandbox.control("DELETE", "counters")
    end = failure(driver.update("i", AllowedIPs=["10.0.0.0/8"], **changes))
    assert text in end.reason
    assert end.instance_usable
    assert not end.update_repeatable
    assert sandbox.calls() == {}
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("code", "repeatable", "text"),
    [
        ("InsufficientResourceCapacity", True, "out of stock"),
        ("Pay.InsufficientBalance", True, "balance"),
        ("Forbidden.RAM", True, "rds:ModifyDBInstanceSpec"),
        ("InvalidDBInstanceClass.NotFound", False, "InvalidDBInstanceClass"),
    ],
)
def test_after_a_refusal_everything_is_as_before(
    rds: Drive, sandbox: Sandbox, code: str, text: str, *, repeatable: bool
) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    before = sandbox.databases
    sandbox.fault("ModifyDBInstanceSpec", "error", code=code, status=400)
    end = failure(driver.update("i", DeletionProtection=True, **ALL))
    assert text in end.reason
    assert end.instance_usable
    assert end.update_repeatable is repeatable
    assert sandbox.databases == before
    assert driver.bind("i", "b").credentials
    assert isinstance(driver.update("i", **ALL).end, Succeeded)
    driver.deprovision("i")


def test_a_change_of_the_allow_list_alone_does_not_touch_the_machine(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", SMALL, AllowedIPs=["10.0.0.0/8"])
    sandbox.control("DELETE", "counters")
    assert isinstance(driver.update("i", AllowedIPs=["10.1.0.0/16"]).end, Succeeded)
    assert sandbox.calls() == {"rds:ModifySecurityIps": 1}
    assert sandbox.databases[0]["allow_lists"] == {"default": ["10.1.0.0/16"]}
    driver.deprovision("i")


def test_many_changes_in_progress_cost_few_calls(rds: Drive, sandbox: Sandbox) -> None:
    # A hundredth of the cloud's pace, and of the usual intervals.
    driver = rds(ALIBROKER_POLL_INTERVAL="0.15", ALIBROKER_SETTLE_SECONDS="1.2")
    count = 25
    driver.run([driver.ordered(f"i{number}", SELF_DEFINE) for number in range(count)])
    sandbox.settings(time_scale=0.01)
    sandbox.control("DELETE", "counters")
    operations = driver.run([driver.changed(f"i{number}", Storage=40) for number in range(count)])
    assert all(isinstance(operation.end, Succeeded) for operation in operations)
    assert sum(sandbox.calls().values()) <= 6 * count
    sandbox.settings(time_scale=0.0)
    driver.run([Operation(OperationKind.DEPROVISION, f"i{number}") for number in range(count)])


@pytest.mark.parametrize(
    "changes",
    [
        {"Class": "mysql.n2.large.2c"},
        {"AllowedIPs": ["10.0.0.0/8"]},
        {"DeletionProtection": True},
        {"BackupRetentionDays": 30},
        {"SSL": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_database_that_is_gone_is_said_to_be_of_no_use(
    rds: Drive, sandbox: Sandbox, environment: dict[str, str], changes: dict[str, Any]
) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    (found,) = sandbox.databases
    _, cloud = connect(environment)
    RdsCalls(cloud).delete_instance(found["id"])
    eventually(lambda: not sandbox.databases)
    end = failure(driver.update("i", **changes))
    assert "not there any more" in end.reason
    assert not end.instance_usable


@pytest.mark.parametrize(
    "changes", [{"Class": "mysql.n2.large.2c"}, {"Storage": 60}, {"StorageType": "general_essd"}]
)
def test_what_does_not_change_is_ordered_as_it_really_is(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    # It has grown by itself, as it does where automatic storage expansion is on.
    (before,) = sandbox.databases
    sandbox.settings(time_scale=0.0)
    here = {"DBInstanceId": before["id"], "PayType": "Postpaid"}
    cloud = driver.broker._cloud  # type: ignore[attr-defined] # of this broker
    cloud.ask(RDS, "ModifyDBInstanceSpec", **here, DBInstanceStorage="50")
    sent: list[dict[str, Any]] = []
    set_type = ModifyDBInstanceSpecRequest.set_DBInstanceStorageType

    def set_last(request: ModifyDBInstanceSpecRequest, kind: str) -> None:
        set_type(request, kind)
        sent.append(dict(request.get_query_params()))

    monkeypatch.setattr(ModifyDBInstanceSpecRequest, "set_DBInstanceStorageType", set_last)
    assert isinstance(driver.update("i", **changes).end, Succeeded)
    (asked,) = sent
    wanted = {"Class": before["class"], "Storage": 50, "StorageType": "cloud_essd"} | changes
    assert {name: asked[f"DBInstance{name}"] for name in wanted} == wanted
    assert sandbox.databases[0]["storage"] == wanted["Storage"]
    driver.deprovision("i")
