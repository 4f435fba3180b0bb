"""An instance is ordered where its class is sold and in stock, and never bought twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from aliyunsdkrds.request.v20140815.CreateDBInstanceRequest import CreateDBInstanceRequest

from alibroker.brokers.api import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver, Operation

    Drive = Callable[..., Driver]

SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"
CLASS = "mysql.n2.medium.2c"
ZONES = ["cn-hangzhou-h", "cn-hangzhou-i", "cn-hangzhou-j"]


def reason(operation: Operation) -> str:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end.reason


def provision(driver: Driver, name: str = "i", **parameters: Any) -> Operation:
    return driver.provision(name, SELF_DEFINE, Class=CLASS, **parameters)


def place(sandbox: Sandbox) -> str:
    """Return the zone of the only instance."""
    (found,) = sandbox.databases
    zone: str = found["zone"]
    return zone


@pytest.mark.parametrize("named", [("VSwitchID",), ("VSwitchID", "VpcID"), ("VSwitchID", "ZoneId")])
def test_zone_and_vpc_are_those_of_the_vswitch(
    rds: Drive, sandbox: Sandbox, named: tuple[str, ...]
) -> None:
    account = sandbox.inventory["account"]
    known = {
        "VSwitchID": account["vswitches"]["cn-hangzhou-j"],
        "VpcID": account["vpc"],
        "ZoneId": "cn-hangzhou-j",
    }
    driver = rds()
    assert isinstance(provision(driver, **{name: known[name] for name in named}).end, Succeeded)
    assert driver.resource("i")["place"] == {
        "vpc_id": known["VpcID"],
        "vswitch_id": known["VSwitchID"],
        "zone_id": known["ZoneId"],
        "network_type": "VPC",
    }
    assert place(sandbox) == "cn-hangzhou-j"
    driver.deprovision("i")


def test_settings_that_name_a_vswitch_only_are_enough(rds: Drive, sandbox: Sandbox) -> None:
    vswitch = sandbox.inventory["account"]["vswitches"]["cn-hangzhou-i"]
    driver = rds(ALIBROKER_VSWITCH_ID=vswitch)
    assert isinstance(provision(driver).end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-i"
    assert sandbox.databases[0]["allow_lists"] == {"default": ["192.168.0.0/16"]}
    driver.deprovision("i")


def test_a_place_that_is_named_in_full_is_looked_up_nowhere(rds: Drive, sandbox: Sandbox) -> None:
    account = sandbox.inventory["account"]
    driver = rds(
        ALIBROKER_VPC_ID=account["vpc"],
        ALIBROKER_VSWITCH_ID=account["vswitches"]["cn-hangzhou-i"],
        ALIBROKER_ZONE_ID="cn-hangzhou-i",
    )
    assert isinstance(provision(driver).end, Succeeded)
    assert not {"vpc:DescribeVpcs", "vpc:DescribeVSwitches"} & sandbox.calls().keys()
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"VSwitchID": "vsw-unknown"}, "parameters/VSwitchID: there is no vSwitch vsw-unknown"),
        ({"VSwitchID": "", "ZoneId": "cn-hangzhou-i"}, "lies in cn-hangzhou-h"),
        ({"VSwitchID": "", "VpcID": "vpc-other"}, "not to vpc-other"),
        ({"ZoneId": "cn-hangzhou-MAZ6(x,y)"}, "no vSwitch there"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_ordered(
    rds: Drive, sandbox: Sandbox, parameters: dict[str, str], text: str
) -> None:
    driver = rds()
    vswitch = sandbox.inventory["account"]["vswitches"]["cn-hangzhou-h"]
    if parameters.get("VSwitchID") == "":
        parameters = parameters | {"VSwitchID": vswitch}
    assert text in reason(provision(driver, **parameters))
    assert "rds:CreateDBInstance" not in sandbox.calls()
    assert isinstance(driver.deprovision("i").end, Succeeded)


@pytest.mark.parametrize(
    "trouble",
    [
        {"out_of_stock": ["cn-hangzhou-h"]},
        {"out_of_stock": [f"cn-hangzhou-h/{CLASS}"]},
        {"not_sold": ["cn-hangzhou-h"]},
        {"not_sold": [f"cn-hangzhou-h/{CLASS}"]},
    ],
    ids=["no stock", "no stock of the class", "zone not sold", "class not sold"],
)
def test_another_zone_is_tried_when_one_refuses(
    rds: Drive, sandbox: Sandbox, trouble: dict[str, list[str]]
) -> None:
    sandbox.settings(**trouble)
    driver = rds()
    assert isinstance(provision(driver).end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-i"
    calls = sandbox.calls()
    assert calls["rds:CreateDBInstance"] == 2
    assert calls["rds:DescribeAvailableClasses"] <= 2 + len(ZONES)
    assert driver.resource("i")["place"]["zone_id"] == "cn-hangzhou-i"
    driver.deprovision("i")


def test_a_zone_that_has_refused_comes_last_for_a_while(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(out_of_stock=["cn-hangzhou-h"])
    driver = rds()
    provision(driver)
    driver.deprovision("i")
    sandbox.control("DELETE", "counters")
    assert isinstance(provision(driver, "j").end, Succeeded)
    assert sandbox.calls()["rds:CreateDBInstance"] == 1
    driver.deprovision("j")
    sandbox.settings(out_of_stock=["cn-hangzhou-i", "cn-hangzhou-j"])
    assert isinstance(provision(driver, "k").end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-h"
    driver.deprovision("k")


def test_only_zones_that_sell_the_class_are_tried(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(out_of_stock=["cn-hangzhou-h"], not_sold=[f"cn-hangzhou-i/{CLASS}"])
    driver = rds()
    assert isinstance(provision(driver).end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-j"
    assert sandbox.calls()["rds:CreateDBInstance"] == 2
    driver.deprovision("i")


def test_without_permission_to_ask_what_is_sold_zones_are_just_tried(
    rds: Drive, sandbox: Sandbox
) -> None:
    sandbox.settings(out_of_stock=["cn-hangzhou-h", "cn-hangzhou-i"])
    sandbox.fault("DescribeAvailableClasses", "error", code="Forbidden.RAM", times=None)
    driver = rds()
    assert isinstance(provision(driver).end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-j"
    driver.deprovision("i")


def test_when_every_zone_refuses_the_last_reason_and_all_zones_are_named(
    rds: Drive, sandbox: Sandbox
) -> None:
    sandbox.settings(out_of_stock=[CLASS])
    driver = rds()
    text = reason(provision(driver))
    assert "out of stock" in text
    assert "refused before by cn-hangzhou-h, cn-hangzhou-i" in text
    assert sandbox.calls()["rds:CreateDBInstance"] == len(ZONES)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_zone_that_was_asked_for_is_the_only_one(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(out_of_stock=["cn-hangzhou-h"])
    driver = rds()
    assert "out of stock" in reason(provision(driver, ZoneId="cn-hangzhou-h"))
    assert sandbox.calls()["rds:CreateDBInstance"] == 1
    driver.deprovision("i")


def test_what_nobody_sells_is_asked_for_once(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    operation = driver.provision("i", SELF_DEFINE, Class="mysql.n9.medium.2c")
    assert "InvalidDBInstanceClass.Malformed" in reason(operation)
    assert sandbox.calls()["rds:CreateDBInstance"] == 1
    driver.deprovision("i")


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_refusal_after_a_lost_answer_buys_no_second_instance(
    rds: Drive, sandbox: Sandbox, *, forgotten: bool
) -> None:
    """The first order was bought, its answer lost; then the stock ran out."""
    driver = rds()
    if forgotten:
        sandbox.settings(client_token_seconds=0.0)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    operation = driver.ordered("i", SELF_DEFINE, Class=CLASS)
    for _ in range(2):
        driver.step(operation)
    driver.unanswered_at = time.time()
    sandbox.settings(out_of_stock=["cn-hangzhou-h"])
    driver.run([operation])
    assert isinstance(operation.end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-h"
    driver.deprovision("i")
    assert sandbox.empty


def test_an_order_that_takes_effect_after_the_refusal_of_its_repetition_is_found(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds(ALIBROKER_SETTLE_SECONDS="1.5")
    operation = driver.ordered("i", SELF_DEFINE, Class=CLASS)
    driver.step(operation)
    sandbox.settings(client_token_seconds=0.0)
    # What the first request will do once it arrives, while the second is refused.
    late = driver.work(operation)
    sandbox.fault("CreateDBInstance", "error", code="InsufficientResourceCapacity", status=404)
    driver.unanswered_at = time.time()
    driver.step(operation)
    assert sandbox.databases == []
    driver.broker.provision(late)
    driver.run([operation])
    assert isinstance(operation.end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-h"
    driver.unanswered_at = 0.0
    driver.deprovision("i")
    assert sandbox.empty


def test_a_check_that_finds_no_stock_goes_on_to_the_next_zone(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(out_of_stock=["cn-hangzhou-h"])
    driver = rds(ALIBROKER_RDS_DRY_RUN="true")
    assert isinstance(provision(driver).end, Succeeded)
    assert place(sandbox) == "cn-hangzhou-i"
    assert sandbox.calls()["rds:CreateDBInstance"] == 3
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("instance_class", "standby"), [(CLASS, True), ("mysql.n2.small.1", False)]
)
def test_an_order_says_where_its_second_node_stands(
    rds: Drive, monkeypatch: pytest.MonkeyPatch, *, instance_class: str, standby: bool
) -> None:
    sent: list[dict[str, str]] = []
    set_zone = CreateDBInstanceRequest.set_ZoneIdSlave1

    def set_standby(request: CreateDBInstanceRequest, zone: str) -> None:
        set_zone(request, zone)
        sent.append(request.get_query_params())

    monkeypatch.setattr(CreateDBInstanceRequest, "set_ZoneIdSlave1", set_standby)
    driver = rds()
    driver.provision("i", SELF_DEFINE, Class=instance_class)
    assert [one["ZoneIdSlave1"] == one["ZoneId"] for one in sent] == [True] * standby
    driver.deprovision("i")
