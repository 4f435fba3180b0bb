"""What the RDS broker finds of its own in the sandbox, and how it goes on with that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from waiting import eventually

from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.api import Failed, Found, Inventory, OperationKind, Succeeded, TryAgainError
from alibroker.brokers.driver import Operation
from alibroker.brokers.rds.account_calls import AccountCalls
from alibroker.brokers.rds.accounts import marked_binding, marker

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

SERVICE = "rds-997b8372-8dac-40ac-ae65-758b4a5075a5"
SMALL = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"
LARGE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1d"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"


def inventory(driver: Driver) -> list[Found]:
    assert isinstance(driver.broker, Inventory)
    return list(driver.broker.inventory())


def only(driver: Driver) -> Found:
    (found,) = inventory(driver)
    return found


def drift(driver: Driver, found: Found) -> dict[str, Any]:
    """Return the facts that differ between the record and the cloud."""
    known = driver.resource(found.instance_id, found.binding_id)
    return {
        name: value
        for name, value in found.resource.items()
        if name in known and known[name] != value
    }


def adopt(driver: Driver, found: list[Found]) -> None:
    """Give a driver that knows nothing the records that the engine would make."""
    for one in found:
        operation = (
            driver.binding(one.instance_id, one.binding_id, **one.parameters)
            if one.binding_id
            else driver.ordered(one.instance_id, one.plan_id, **one.parameters)
        )
        record = driver._record(operation.instance_id, operation.binding_id)
        record.resource = msgspec.json.encode(one.resource)


def test_an_instance_is_found_with_the_facts_of_its_record(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    found = only(driver)
    (database,) = sandbox.databases
    assert (found.kind, found.name, found.main) == ("RDS instance", database["id"], True)
    assert (found.instance_id, found.binding_id) == ("i", "")
    assert (found.service_id, found.plan_id) == (SERVICE, SMALL)
    assert found.created_at > 1.6e9
    assert not found.kept
    assert found.resource == {
        "account_id": sandbox.inventory["account"]["id"],
        "instance_id": database["id"],
        "region": "cn-hangzhou",
        "engine": "MySQL",
        "engine_version": "8.0",
        "instance_class": "mysql.n2.small.2c",
        "storage": 20,
        "storage_type": "cloud_essd",
        "vpc_id": sandbox.inventory["account"]["vpc"],
        "vswitch_id": sandbox.inventory["account"]["vswitches"]["cn-hangzhou-h"],
        "host": database["host"],
        "port": "3306",
    }
    assert found.resource.items() <= driver.resource("i").items()
    driver.deprovision("i")


def test_an_account_is_found_with_its_binding(rds: Drive) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    credentials = driver.bind("i", "b", Database="shop", Access="read-only").credentials
    instance, found = inventory(driver)
    assert (found.kind, found.main) == ("RDS account", True)
    assert found.name == f"{instance.name}/{credentials['username']}"
    assert (found.instance_id, found.binding_id, found.plan_id) == ("i", "b", SMALL)
    assert found.resource == {
        "account_id": instance.resource["account_id"],
        "instance_id": instance.name,
        "username": credentials["username"],
        "database": "shop",
    }
    assert found.resource.items() <= driver.resource("i", "b").items()
    assert found.parameters == {
        "Username": credentials["username"],
        "Database": "shop",
        "Access": "read-only",
    }
    driver.unbind("i", "b")
    assert only(driver) == instance
    driver.deprovision("i")


def test_privileges_that_somebody_has_added_are_no_drift(
    rds: Drive, environment: dict[str, str]
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    driver.bind("i", "b", Database="shop")
    driver.bind("i", "other", Database="archive")
    calls = AccountCalls(connect(environment)[1])
    name, user = driver.resource("i")["instance_id"], driver.resource("i", "b")["username"]
    calls.grant(name, user, "archive", "ReadOnly")

    def seen() -> Found | None:
        (found,) = [one for one in inventory(driver) if one.binding_id == "b"]
        return None if "database" in found.resource else found

    # Grants are shown a moment after they are made.
    assert drift(driver, eventually(seen)) == {}
    driver.deprovision("i")


@pytest.mark.parametrize(
    "binding_id",
    [
        "b",
        "0b6ff3d6-8a1e-4d0f-9d8f-2f8f4f5f6a7b",
        "with.dots~and more",
        "b32-looks-coded",
        "ä" * 38,
    ],
)
def test_an_accounts_description_says_its_binding(binding_id: str) -> None:
    assert marked_binding(marker(binding_id)) == binding_id
    assert len(marker(binding_id)) <= 256


def test_a_binding_id_too_long_to_be_read_back_still_tells_accounts_apart() -> None:
    assert marker("x" * 500) != marker("x" * 501)
    assert len(marker("x" * 500)) <= 256
    assert marked_binding(marker("x" * 500)) == ""
    assert marked_binding("made in the console") == ""


def test_what_others_made_is_not_found(
    rds: Drive, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    driver, other = rds(), rds(ALIBROKER_NAME="another")
    driver.provision("i", SMALL)
    other.provision("j", SMALL)
    instance = only(driver)
    _, cloud = connect(environment)
    AccountCalls(cloud).create_account(instance.name, "mine", "Passw0rd_1", "made-in-the-console")
    assert len(sandbox.databases) == 2
    assert only(driver) == instance
    assert only(other).instance_id == "j"
    for one, name in ((driver, "i"), (other, "j")):
        one.deprovision(name)


def test_what_exists_does_so_whatever_its_marks_say(rds: Drive, sandbox: Sandbox) -> None:
    driver, other = rds(), rds(ALIBROKER_NAME="another")
    driver.provision("i", SMALL)
    driver.bind("i", "b")
    instance, account = driver.resource("i"), driver.resource("i", "b")
    assert isinstance(other.broker, Inventory)
    exists = other.broker.exists
    assert inventory(other) == []
    assert exists(instance, of_binding=False)
    assert exists(account, of_binding=True)
    assert not exists({**account, "username": "nobody"}, of_binding=True)
    sandbox.fault("DescribeDBInstanceAttribute", "error", code="Forbidden.RAM", status=403, times=3)
    with pytest.raises(TryAgainError):
        exists(instance, of_binding=False)
    sandbox.control("DELETE", "faults")
    driver.unbind("i", "b")
    driver.deprovision("i")
    assert not exists(instance, of_binding=False)
    assert not exists(account, of_binding=True)


def test_what_is_being_deleted_is_not_found(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.settings(time_scale=1.0)
    driver.run([Operation(OperationKind.DEPROVISION, "i")], steps=1)
    assert [one["status"] for one in sandbox.databases] == ["Deleting"]
    assert inventory(driver) == []
    sandbox.settings(time_scale=0.0)


def test_all_pages_are_read_with_a_bounded_number_of_calls(rds: Drive, sandbox: Sandbox) -> None:
    driver, count = rds(), 120
    sandbox.settings(time_scale=0.0)
    driver.run([driver.ordered(f"i{number}", SMALL) for number in range(count)])
    sandbox.control("DELETE", "counters")
    found = inventory(driver)
    assert {one.instance_id for one in found} == {f"i{number}" for number in range(count)}
    calls = sandbox.calls()
    assert calls["rds:DescribeDBInstances"] == 2
    assert calls["rds:DescribeDBInstanceAttribute"] == count
    assert calls["rds:DescribeAccounts"] == count
    assert calls["rds:ListTagResources"] <= 3 * 20  # of 50 instances, and the sandbox's pages
    driver.run([Operation(OperationKind.DEPROVISION, name) for name in driver.instances])


def test_after_an_update_record_and_cloud_agree(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.control("DELETE", "counters")
    assert isinstance(driver.update("i", LARGE).end, Succeeded)
    assert sandbox.calls()["rds:TagResources"] == 1
    found = only(driver)
    assert found.plan_id == LARGE
    assert found.resource["instance_class"] == "mysql.n2.medium.2c"
    assert found.resource.items() <= driver.resource("i").items()
    assert drift(driver, found) == {}
    driver.deprovision("i")


def test_after_a_refused_change_of_plan_the_tag_says_the_plan_in_force(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("ModifyDBInstanceSpec", "error", code="InsufficientResourceCapacity", status=404)
    assert isinstance(driver.update("i", LARGE).end, Failed)
    found = only(driver)
    assert found.plan_id == SMALL
    assert drift(driver, found) == {}
    driver.deprovision("i")


def test_a_plan_that_cannot_be_noted_is_not_changed_to(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("TagResources", "error", code="Forbidden.RAM", status=403, times=2)
    end = driver.update("i", LARGE).end
    assert isinstance(end, Failed)
    assert "rds:TagResources" in end.reason
    assert sandbox.databases[0]["class"] == "mysql.n2.small.2c"
    driver.deprovision("i")


def test_a_change_behind_the_brokers_back_is_drift(rds: Drive) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    other = rds()
    adopt(other, inventory(driver))
    other.update("i", Storage=60)
    assert drift(driver, only(driver)) == {"storage": 60}
    driver.deprovision("i")


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"Storage": 40, "Class": "mysql.n2.large.2c", "DeletionProtection": True},
        {"EngineVersion": "5.6"},
        {"EngineVersion": 5.7, "Class": "mysql.n2.small.1", "ZoneId": "cn-hangzhou-i"},
        {"StorageType": "general_essd"},
        {"Class": "rds.mysql.t1.small"},
    ],
)
def test_an_adopted_instance_can_be_changed_and_deleted(
    rds: Drive, sandbox: Sandbox, parameters: dict[str, Any]
) -> None:
    first = rds()
    first.provision("i", SELF_DEFINE, **parameters)
    before = only(first)
    driver = rds()
    adopt(driver, [before])
    sandbox.control("DELETE", "counters")
    assert isinstance(driver.update("i", **before.parameters).end, Succeeded)
    looked = {"rds:DescribeDBInstanceAttribute": 1}
    assert sandbox.calls() == looked, "the parameters say what is there"
    assert isinstance(driver.update("i", Storage=80, DeletionProtection=False).end, Succeeded)
    after = only(driver)
    assert dict(after.resource) == dict(before.resource) | {"storage": 80}
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("twice", [False, True])
def test_an_adopted_binding_gets_new_credentials_for_the_same_account(
    rds: Drive, sandbox: Sandbox, *, twice: bool
) -> None:
    first = rds()
    first.provision("i", SMALL)
    old = first.bind("i", "b", Username="shop", Database="orders", Access="read-only").credentials
    (before,) = sandbox.databases
    driver = rds(twice=twice)
    found = inventory(first)
    adopt(driver, found)
    sandbox.control("DELETE", "counters")
    operation = Operation(OperationKind.BIND, "i", "b")
    new = driver.run([operation])[0].credentials
    assert new["password"] != old["password"]
    hidden = dict.fromkeys(("password", "uri", "jdbcUrl"), "")
    assert {**new, **hidden} == {**old, **hidden}
    assert new["password"] in new["uri"]
    assert sandbox.calls()["rds:ResetAccountPassword"] == (2 if twice else 1)
    assert "rds:GrantAccountPrivilege" not in sandbox.calls()
    assert sandbox.databases == [before]
    assert inventory(driver) == found
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.databases[0]["accounts"] == []
    driver.deprovision("i")


def test_an_adopted_binding_that_was_never_granted_anything_is_bound_as_well(
    rds: Drive, sandbox: Sandbox
) -> None:
    first = rds()
    first.provision("i", SMALL)
    first.run([first.binding("i", "b")], steps=2)
    assert [one["grants"] for one in sandbox.databases[0]["accounts"]] == [{}]
    driver = rds()
    adopt(driver, inventory(first))
    (operation,) = driver.run([Operation(OperationKind.BIND, "i", "b")])
    assert operation.credentials["database"] == "app"
    driver.deprovision("i")


def test_an_account_of_an_instance_that_nobody_knows_can_be_deleted(
    rds: Drive, sandbox: Sandbox
) -> None:
    first = rds()
    first.provision("i", SMALL)
    first.bind("i", "b")
    instance, account = inventory(first)
    driver = rds()
    adopt(driver, [instance, account])
    driver.instances["i"].resource = b"{}"
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.databases[0]["accounts"] == []
    first.deprovision("i")


def test_what_is_kept_says_so(rds: Drive) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    driver.bind("i", "b")
    assert isinstance(driver.broker, Inventory)
    assert [one.kept for one in inventory(driver)] == [False, False]
    driver.broker.keep(inventory(driver)[0])
    driver.broker.keep(inventory(driver)[1])
    assert [one.kept for one in inventory(driver)] == [True, True]
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("code", "status"),
    [("Forbidden.RAM", 403), ("InternalError", 500), ("Throttling.User", 400), ("Strange", 400)],
)
@pytest.mark.parametrize(
    "action",
    [
        "DescribeDBInstances",
        "ListTagResources",
        "DescribeDBInstanceAttribute",
        "DescribeAccounts",
    ],
)
def test_half_an_inventory_is_none(
    rds: Drive, sandbox: Sandbox, action: str, code: str, status: int
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault(action, "error", code=code, status=status, times=3)
    with pytest.raises(TryAgainError):
        inventory(driver)
    sandbox.control("DELETE", "faults")
    assert only(driver).instance_id == "i"
    driver.deprovision("i")


def test_a_disturbance_that_passes_does_not_matter(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    for action in ("DescribeDBInstances", "ListTagResources", "DescribeAccounts"):
        sandbox.fault(action, "error", code="ServiceUnavailable", status=503, times=2)
    assert only(driver).instance_id == "i"
    assert sandbox.hits() == 6
    driver.deprovision("i")


def test_of_a_busy_instance_it_is_not_known_which_accounts_it_has(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", SELF_DEFINE)
    sandbox.settings(time_scale=0.01)
    driver.run([driver.changed("i", Storage=40)], steps=2)
    assert sandbox.databases[0]["status"] == "DBInstanceClassChanging"
    assert only(driver).contents_unknown
    sandbox.settings(time_scale=0.0)
    driver.deprovision("i")


def test_an_instance_that_is_being_created_is_found(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    sandbox.settings(time_scale=0.02)
    operation = driver.ordered("i", SMALL)
    driver.run([operation], steps=2)
    while not (found := inventory(driver)):
        continue
    assert sandbox.databases[0]["status"] == "Creating"
    assert [one.instance_id for one in found] == ["i"]
    driver.run([operation])
    driver.deprovision("i")
