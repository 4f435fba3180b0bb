"""The RDS broker against the sandbox: whole lives, crashes, lost answers, refusals."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.alibabacloud import client
from alibroker.brokers.api import (
    Failed,
    InProgress,
    Inventory,
    OperationKind,
    Succeeded,
    TryAgainError,
)
from alibroker.brokers.driver import Driver, Operation
from alibroker.brokers.rds.calls import RdsCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    Drive = Callable[..., Driver]

SMALL = "rds-427559f1-bf2a-45d3-8844-32374a3e58aa"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"
CALLS = (
    "CreateDBInstance",
    "DescribeDBInstanceAttribute",
    "CreateDatabase",
    "CreateAccount",
    "DescribeAccounts",
    "GrantAccountPrivilege",
    "RevokeAccountPrivilege",
    "DeleteAccount",
    "DeleteDBInstance",
)


def live(driver: Driver, sandbox: Sandbox) -> None:
    """Go through a whole life, and check that there never is more than one of anything."""
    assert isinstance(driver.provision("i", SMALL).end, Succeeded)
    (database,) = sandbox.databases
    assert database["status"] == "Running"
    credentials = driver.bind("i", "b").credentials
    (database,) = sandbox.databases
    assert [(one["name"], one["grants"]) for one in database["accounts"]] == [
        (credentials["username"], {"app": "ReadWrite"})
    ]
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    (database,) = sandbox.databases
    assert database["accounts"] == []
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def described(rds: Drive) -> bool:
    """Tell whether what was bought for an instance `i` is in the list by now."""
    cloud = rds().broker._cloud  # type: ignore[attr-defined]
    return bool(RdsCalls(cloud).described("alibroker-i"))


def reason(operation: Operation) -> str:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end.reason


def test_a_whole_life_leaves_nothing_behind(rds: Drive, sandbox: Sandbox) -> None:
    live(rds(), sandbox)


def test_every_step_may_be_made_twice(rds: Drive, sandbox: Sandbox) -> None:
    live(rds(twice=True), sandbox)


@pytest.mark.parametrize("action", CALLS)
def test_an_answer_may_be_lost_after_any_call_took_effect(
    rds: Drive, sandbox: Sandbox, action: str
) -> None:
    sandbox.fault(action, "reset", when="after")
    live(rds(), sandbox)
    assert sandbox.hits() == 1


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("garbage", {"when": "after"}),
        ("empty", {"when": "after"}),
        ("error", {"when": "after", "status": 500, "code": "InternalError"}),
        ("error", {"when": "before", "status": 503, "code": "ServiceUnavailable"}),
        ("throttle", {"when": "before", "seconds": 0.1}),
        ("reset", {"when": "before"}),
    ],
)
def test_every_call_may_go_wrong_once(
    rds: Drive, sandbox: Sandbox, kind: str, details: dict[str, Any]
) -> None:
    for action in CALLS:
        sandbox.fault(action, kind, **details)
    live(rds(), sandbox)
    assert sandbox.hits() == len(CALLS)


def test_a_call_that_hangs_after_it_took_effect_is_given_up_and_repeated(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WRITE_TIMEOUT", 1)
    for action in ("CreateDBInstance", "CreateAccount", "DeleteDBInstance"):
        sandbox.fault(action, "hang", when="after", seconds=3)
    live(rds(), sandbox)
    assert sandbox.hits() == 3


def test_a_cloud_that_throttles_delays_and_nothing_else(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(rate_limits={"rds": 20})
    driver = rds(ALIBROKER_CLOUD_RATE="rds.read=100, rds.write=100")
    operations = driver.run([driver.ordered(f"i{number}", SMALL) for number in range(40)])
    assert all(isinstance(operation.end, Succeeded) for operation in operations)
    results = sandbox.control("GET", "counters")["results"]["rds"]["CreateDBInstance"]
    throttled = sum(results.values()) - results["OK"]
    assert results["OK"] == 40
    assert 0 < throttled < 20
    assert len(sandbox.databases) == 40
    driver.run([Operation(OperationKind.DEPROVISION, f"i{number}") for number in range(40)])
    assert sandbox.empty


def test_another_process_may_go_on_after_any_step(rds: Drive, sandbox: Sandbox) -> None:
    first, second = rds(), rds(ALIBROKER_POLL_INTERVAL="0.05")
    operation = first.ordered("i", SMALL)
    for count in range(200):
        driver = (first, second)[count % 2]
        driver.instances = first.instances
        driver.run([operation], steps=1)
        if operation.end is not None:
            break
    assert isinstance(operation.end, Succeeded)
    assert len(sandbox.databases) == 1
    first.deprovision("i")
    assert sandbox.empty


def test_the_intent_is_durable_before_anything_is_bought(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    assert isinstance(operation.steps[-1], InProgress)
    assert {"client_token", "requested_at"} <= set(driver.resource("i"))
    assert "rds:CreateDBInstance" not in sandbox.calls()


@pytest.mark.parametrize("steps", range(4))
def test_a_provision_given_up_after_any_step_can_be_deprovisioned(
    rds: Drive, sandbox: Sandbox, steps: int
) -> None:
    driver = rds()
    driver.run([driver.ordered("i", SMALL)], steps=steps)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_an_instance_whose_only_trace_is_the_intent_is_found_and_deleted(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    assert isinstance(operation.steps[-1], TryAgainError)
    assert "instance_id" not in driver.resource("i")
    assert len(sandbox.databases) == 1
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_create_request_still_on_its_way_makes_no_orphan(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds(ALIBROKER_SETTLE_SECONDS="2")
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    work = driver.work(operation)
    sandbox.fault("CreateDBInstance", "latency", when="before", seconds=1.0)
    # Its result gets lost, as if the process had died meanwhile.
    straggler = threading.Thread(target=driver.broker.provision, args=(work,))
    straggler.start()
    assert isinstance(driver.deprovision("i").end, Succeeded)
    straggler.join()
    assert sandbox.hits() == 1
    assert sandbox.calls()["rds:CreateDBInstance"] == 1
    assert sandbox.empty


@pytest.mark.parametrize("instance_id", ["9" * 300, "aliyun-1", "ünï cödé", "a/b%2F", "x.y~z"])
def test_any_instance_id_makes_names_that_the_cloud_takes(
    rds: Drive, sandbox: Sandbox, instance_id: str
) -> None:
    driver = rds()
    operation = driver.ordered(instance_id, SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    assert len(sandbox.databases) == 1
    assert isinstance(driver.deprovision(instance_id).end, Succeeded)
    assert sandbox.empty


def test_only_the_own_network_may_reach_the_instance(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    vpc = sandbox.inventory["account"]["vpc"]
    chosen = driver.ordered("own", SMALL, AllowedIPs=["10.1.0.0/16", "10.2.3.4"])
    driver.run(
        [driver.ordered("in", SMALL, VpcID=vpc), driver.ordered("no", SMALL), chosen], steps=6
    )
    found = {one["description"]: one["allow_lists"] for one in sandbox.databases}
    assert found == {
        "alibroker-in": {"default": ["192.168.0.0/16"]},
        "alibroker-no": {"default": ["192.168.0.0/16"]},  # the region's only VPC
        "alibroker-own": {"default": ["10.1.0.0/16", "10.2.3.4"]},
    }
    driver.deprovision("own")
    driver.deprovision("in")
    driver.deprovision("no")


def test_parameters_of_the_self_defined_plan_reach_the_cloud(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    account = sandbox.inventory["account"]
    wanted = {
        "Class": "rds.mysql.s2.large",
        "EngineVersion": 5.7,
        "Storage": "40",
        "NetworkType": "VPC",
        "VpcID": account["vpc"],
        "VSwitchID": account["vswitches"]["cn-hangzhou-i"],
        "ZoneId": "cn-hangzhou-i",
    }
    driver.run([driver.ordered("new", SELF_DEFINE, **wanted)], steps=2)
    driver.run([driver.ordered("old", SELF_DEFINE, EngineVersion="5.6")], steps=2)
    keys = ("class", "version", "storage", "zone")
    found = {one["description"]: [one[key] for key in keys] for one in sandbox.databases}
    assert found == {
        "alibroker-new": ["mysql.n2.medium.2c", "5.7", 40, "cn-hangzhou-i"],
        "alibroker-old": ["rds.mysql.s2.large", "5.6", 20, "cn-hangzhou-h"],
    }
    driver.deprovision("new")
    driver.deprovision("old")


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"instance_quota": 0}, "limit"),
        ({"out_of_stock": ["mysql.n2.small.1"]}, "out of stock"),
    ],
)
def test_a_refusal_says_what_to_do_and_leaves_nothing(
    rds: Drive, sandbox: Sandbox, changes: dict[str, Any], advice: str
) -> None:
    sandbox.settings(**changes)
    driver = rds()
    assert advice in reason(driver.provision("i", SMALL))
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_an_unknown_vpc_is_named(rds: Drive) -> None:
    assert "vpc-unknown" in reason(rds().provision("i", SMALL, VpcID="vpc-unknown"))


def test_a_missing_permission_is_named(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.fault("CreateDBInstance", "error", code="Forbidden.RAM", status=403)
    assert "rds:CreateDBInstance" in reason(rds().provision("i", SMALL))


def test_an_instance_that_disappears_while_it_is_created_fails_the_provision(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds(ALIBROKER_SETTLE_SECONDS="0.2")
    sandbox.fault(
        "DescribeDBInstanceAttribute", "error", code="InvalidDBInstanceId.NotFound", times=None
    )
    assert "disappeared" in reason(driver.provision("i", SMALL))
    sandbox.control("DELETE", "faults")
    driver.deprovision("i")


@pytest.mark.parametrize("form", ["id", "name", "empty"])
def test_what_is_gone_already_is_deprovisioned_however_the_cloud_says_so(
    rds: Drive, sandbox: Sandbox, form: str
) -> None:
    sandbox.settings(not_found_form=form)
    driver = rds()
    driver.provision("i", SMALL)
    driver.bind("i", "b")
    known = driver.instances["i"].resource
    assert isinstance(driver.deprovision("i").end, Succeeded)
    driver.instances["i"].resource = known
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)


@pytest.mark.parametrize("steps", [2, 20])
def test_an_instance_of_another_region_is_not_taken_to_be_gone(
    rds: Drive, sandbox: Sandbox, steps: int
) -> None:
    driver = rds()
    (operation,) = driver.run([driver.ordered("i", SMALL)], steps=steps)
    elsewhere = rds(ALIBROKER_REGION="cn-beijing")
    elsewhere.instances = driver.instances
    sandbox.control("DELETE", "counters")
    if operation.end is None:
        assert "cn-hangzhou" in reason(elsewhere.run([operation])[0])
    else:
        assert "cn-hangzhou" in reason(elsewhere.update("i", AllowedIPs=["10.0.0.0/8"]))
        assert "cn-hangzhou" in reason(elsewhere.bind("i", "b"))
    assert "ALIBROKER_REGION" in reason(elsewhere.deprovision("i"))
    assert isinstance(elsewhere.broker, Inventory)
    with pytest.raises(TryAgainError, match="cn-hangzhou"):
        elsewhere.broker.exists(driver.resource("i") | {"instance_id": "rm-x"}, of_binding=False)
    assert sandbox.calls() == {}
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("code", ["InvalidDBInstanceId.NotFound", "Forbidden.InstanceNotFound"])
def test_an_action_that_does_not_find_what_is_there_is_not_believed(
    rds: Drive, sandbox: Sandbox, code: str
) -> None:
    driver = rds(ALIBROKER_SETTLE_SECONDS="0")
    driver.provision("i", SMALL)
    driver.bind("i", "b")
    sandbox.fault("DescribeAccounts", "error", code=code, status=404)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.hits() == 1
    assert sandbox.databases[0]["accounts"] == []
    sandbox.fault("DeleteDBInstance", "error", code=code, status=404)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.hits() == 2
    assert sandbox.empty


def test_deletion_protection_is_respected_and_explained(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("DeleteDBInstance", "error", code="OperationDenied.DeletionProtection")
    operation = driver.deprovision("i")
    assert "deletion protection" in reason(operation)
    assert isinstance(operation.end, Failed)
    assert operation.end.instance_usable
    assert isinstance(driver.deprovision("i").end, Succeeded)


def test_many_instances_in_progress_cost_few_calls(rds: Drive, sandbox: Sandbox) -> None:
    # Cloud and broker in the same time-lapse: an instance takes 6 to 11 s.
    sandbox.settings(time_scale=0.04, instance_quota=1000)
    driver = rds(ALIBROKER_POLL_INTERVAL="0.6", ALIBROKER_SETTLE_SECONDS="4.8", timeout=90)
    count = 110
    operations = driver.run([driver.ordered(f"i{number}", SMALL) for number in range(count)])
    assert all(isinstance(operation.end, Succeeded) for operation in operations)
    calls = sandbox.calls()
    assert calls["rds:CreateDBInstance"] == count
    # The list may lag behind a new instance, which then costs a second look at it.
    assert calls["rds:DescribeDBInstanceAttribute"] <= 2 * count
    assert sum(calls.values()) <= 3 * count
    assert calls["rds:DescribeDBInstances"] <= 40
    sandbox.control("DELETE", "counters")
    driver.run([Operation(OperationKind.DEPROVISION, f"i{number}") for number in range(count)])
    assert sum(sandbox.calls().values()) <= 4 * count
    assert sandbox.empty
