"""What was ordered is bought once and found again, whatever of its traces is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from aliyunsdkrds.request.v20140815.DescribeDBInstancesRequest import DescribeDBInstancesRequest
from waiting import eventually

from alibroker.brokers.api import (
    Succeeded,
)
from alibroker.brokers.driver import Driver
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.product import RDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    Drive = Callable[..., Driver]

SMALL = "rds-427559f1-bf2a-45d3-8844-32374a3e58aa"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"


def described(rds: Drive) -> bool:
    """Tell whether what was bought for an instance `i` is in the list by now."""
    cloud = rds().broker._cloud  # type: ignore[attr-defined]
    return bool(RdsCalls(cloud).described("alibroker-i"))


def test_nothing_that_was_never_ordered_costs_a_call(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.ordered("i", SMALL)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.calls() == {}


def test_a_lost_answer_and_a_forgotten_token_buy_no_second_instance(
    rds: Drive, sandbox: Sandbox
) -> None:
    sandbox.settings(client_token_seconds=0)
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    record = driver.instances["i"]
    intended = str(driver.resource("i")["requested_at"]).encode()
    record.resource = record.resource.replace(intended, b"1000000000.0")
    assert isinstance(driver.run([operation])[0].end, Succeeded)
    assert len(sandbox.databases) == 1
    driver.deprovision("i")


def test_after_a_lost_answer_the_list_is_asked_before_the_token(
    rds: Drive, sandbox: Sandbox
) -> None:
    sandbox.settings(client_token_seconds=0)
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    driver.unanswered_at = time.time()
    eventually(lambda: described(rds))
    assert isinstance(driver.run([operation])[0].end, Succeeded)
    assert len(sandbox.databases) == 1
    driver.unanswered_at = 0.0
    driver.deprovision("i")


@pytest.mark.parametrize("lost", [False, True])
def test_an_instance_that_was_bought_without_its_tags_gets_them(
    rds: Drive, sandbox: Sandbox, *, lost: bool
) -> None:
    sandbox.settings(orders_tagged=False, client_token_seconds=0)
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    if lost:
        sandbox.fault("CreateDBInstance", "reset", when="after")
        driver.step(operation)
        driver.unanswered_at = time.time()
    sandbox.fault("TagResources", "error", code="ServiceUnavailable", status=503)
    eventually(lambda: not lost or described(rds))
    assert isinstance(driver.run([operation])[0].end, Succeeded)
    (database,) = sandbox.databases
    assert database["tags"]["alibroker-instance"] == "i"
    driver.unanswered_at = 0.0
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_an_instance_without_tags_whose_only_trace_is_the_intent_is_found_and_deleted(
    rds: Drive, sandbox: Sandbox
) -> None:
    sandbox.settings(orders_tagged=False)
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    assert len(sandbox.databases) == 1
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("renamed", [False, True])
def test_what_a_filter_lets_through_is_not_deleted_for_that(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, *, renamed: bool
) -> None:
    """The cloud may read the filter by tags otherwise, and list everything there is."""
    driver = rds(ALIBROKER_SETTLE_SECONDS="1")
    driver.provision("other", SMALL)
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    eventually(lambda: described(rds))
    if renamed:
        cloud = driver.broker._cloud  # type: ignore[attr-defined]
        (found,) = RdsCalls(cloud).described("alibroker-i")
        cloud.ask(
            RDS,
            "ModifyDBInstanceDescription",
            DBInstanceId=found["DBInstanceId"],
            DBInstanceDescription="renamed",
        )
    monkeypatch.setattr(DescribeDBInstancesRequest, "set_Tags", lambda *_: None)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert [one["description"] for one in sandbox.databases] == ["alibroker-other"]
    driver.deprovision("other")


def test_what_two_orders_bought_is_deleted_and_what_was_made_later_is_not(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds(ALIBROKER_SETTLE_SECONDS="0")
    driver.provision("i", SMALL)
    twin = driver.ordered("twin", SMALL)
    driver.run([twin])
    calls = RdsCalls(driver.broker._cloud)  # type: ignore[attr-defined]
    for name in ("i", "twin"):
        calls.tag(driver.resource(name)["instance_id"], {"alibroker-instance": "i"})
    record = driver.instances["i"]
    record.resource = msgspec.json.encode(driver.resource("i") | {"attempt": 2})
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty
    # Of an instance that was bought long ago the other one is a copy.
    driver.run([driver.ordered("i", SMALL)])
    record = driver.instances["i"]
    old = {"attempt": 2, "created_at": time.time() - 1000}
    record.resource = msgspec.json.encode(driver.resource("i") | old)
    driver.run([driver.ordered("copy", SMALL)])
    calls.tag(driver.resource("copy")["instance_id"], {"alibroker-instance": "i"})
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert [one["description"] for one in sandbox.databases] == ["alibroker-copy"]
    driver.deprovision("copy")


def test_a_token_used_with_other_parameters_leads_to_the_instance_it_bought(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    operation = driver.ordered("i", SMALL)
    driver.step(operation)
    sandbox.fault("CreateDBInstance", "reset", when="after")
    driver.step(operation)
    later = rds(ALIBROKER_NAME="renamed")
    later.instances = driver.instances
    assert isinstance(later.run([operation])[0].end, Succeeded)
    assert len(sandbox.databases) == 1
    later.deprovision("i")


def test_an_instance_is_marked_as_ours_from_its_first_moment(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds(ALIBROKER_NAME="my-broker")
    driver.run([driver.ordered("i", SMALL)], steps=2)
    (database,) = sandbox.databases
    assert database["tags"] == {
        "alibroker": "my-broker",
        "alibroker-instance": "i",
        "alibroker-service": "rds-997b8372-8dac-40ac-ae65-758b4a5075a5",
        "alibroker-plan": SMALL,
        "service_catalog": "true",
        "alibroker-platform": "driver",
    }
    assert database["description"] == "alibroker-i"
    driver.deprovision("i")
