"""PostgreSQL keeps an account on which objects depend: it is retired, and deleted later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.rds.account_calls import AccountCalls
from alibroker.brokers.rds.inventory import ACCOUNT, RETIRED_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver, Operation

    Drive = Callable[..., Driver]

PLAN = "rds-434599f1-3a4b-5c9d-ae12-804329c0839a"
MYSQL = "rds-427559f1-bf2a-45d3-8844-32374a3e58aa"


@pytest.fixture
def driver(rds: Drive, sandbox: Sandbox) -> Driver:
    driver = rds()
    driver.provision("i", PLAN)
    sandbox.control("DELETE", "counters")
    return driver


def accounts(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Return the accounts of the only instance by name."""
    (database,) = sandbox.databases
    return {account["name"]: account for account in database["accounts"]}


def retired(sandbox: Sandbox) -> list[str]:
    """Return the accounts that are marked as retired and locked."""
    return [
        name
        for name, account in accounts(sandbox).items()
        if account["description"].startswith("alibroker_retired-") and account["status"] == "Lock"
    ]


def reason(operation: Operation) -> str:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end.reason


def release(sandbox: Sandbox) -> None:
    """Have nothing depend on the accounts any more."""
    sandbox.settings(grants_keep_accounts=False)


def test_unbind_ends_well_and_soon_whatever_depends_on_the_account(
    driver: Driver, sandbox: Sandbox
) -> None:
    name = driver.bind("i", "b").credentials["username"]
    unbound = driver.unbind("i", "b")
    assert isinstance(unbound.end, Succeeded)
    assert len(unbound.steps) == 1
    assert retired(sandbox) == [name]
    calls = sandbox.calls()
    # Once before the deletion was tried, so that it is useless at once; once more as it is retired.
    assert calls["rds:ResetAccountPassword"] == 2
    assert calls["rds:DeleteAccount"] == 1
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("occasion", ["bind", "unbind", "update", "survey"])
def test_it_is_deleted_later(driver: Driver, sandbox: Sandbox, occasion: str) -> None:
    old = driver.bind("i", "b1").credentials["username"]
    other = driver.bind("i", "b2").credentials["username"]
    driver.unbind("i", "b1")
    assert retired(sandbox) == [old]
    release(sandbox)
    match occasion:
        case "bind":
            driver.bind("i", "b3")
        case "unbind":
            driver.unbind("i", "b2")
        case "update":
            assert isinstance(driver.update("i", AllowedIPs=["10.0.0.0/8"]).end, Succeeded)
        case _:
            list(driver.broker.inventory())  # type: ignore[attr-defined] # of this broker
    left = {name for name, one in accounts(sandbox).items() if one["status"] != "Unavailable"}
    assert old not in left
    assert (other in left) == (occasion != "unbind")
    driver.deprovision("i")


def test_it_stays_locked_while_something_depends_on_it(driver: Driver, sandbox: Sandbox) -> None:
    old = driver.bind("i", "b1").credentials["username"]
    driver.unbind("i", "b1")
    driver.bind("i", "b2")
    assert retired(sandbox) == [old]
    assert sandbox.calls()["rds:DeleteAccount"] == 2
    driver.deprovision("i")


def test_a_survey_tells_it_from_the_accounts_of_bindings(driver: Driver) -> None:
    old = driver.bind("i", "b1").credentials["username"]
    new = driver.bind("i", "b2").credentials
    driver.unbind("i", "b1")
    found = list(driver.broker.inventory())  # type: ignore[attr-defined] # of this broker
    (whole, *parts) = found
    by_kind = {one.kind: one for one in parts}
    assert by_kind[RETIRED_ACCOUNT].name == f"{whole.name}/{old}"
    assert not by_kind[RETIRED_ACCOUNT].main
    assert by_kind[RETIRED_ACCOUNT].binding_id == ""
    assert by_kind[ACCOUNT].binding_id == "b2"
    # Where PostgreSQL shows what an account may do.
    assert by_kind[ACCOUNT].resource["database"] == new["database"]
    assert by_kind[ACCOUNT].parameters["Access"] == "read-write"
    driver.deprovision("i")


def test_a_refusal_that_says_nothing_of_objects_is_believed_in_time(
    driver: Driver, sandbox: Sandbox
) -> None:
    name = driver.bind("i", "b").credentials["username"]
    release(sandbox)
    refusal = {"code": "AccountActionForbidden", "status": 401, "message": "Not now.", "times": 2}
    sandbox.fault("DeleteAccount", "error", **refusal)
    driver.unbind("i", "b")
    assert accounts(sandbox) == {}
    name = driver.bind("i", "c").credentials["username"]
    sandbox.fault("DeleteAccount", "error", **(refusal | {"times": None}))
    assert isinstance(driver.unbind("i", "c").end, Succeeded)
    assert retired(sandbox) == [name]
    driver.deprovision("i")


@pytest.mark.parametrize("denied", ["LockAccount", "ModifyAccountDescription"])
def test_what_a_ram_policy_does_not_allow_does_not_matter(
    driver: Driver, sandbox: Sandbox, denied: str
) -> None:
    driver.bind("i", "b")
    sandbox.fault(denied, "error", code="Forbidden.RAM", status=403)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.calls()["rds:ResetAccountPassword"] == 2
    driver.deprovision("i")


def test_a_locked_account_is_unlocked_to_be_deleted(driver: Driver, sandbox: Sandbox) -> None:
    (item,) = sandbox.databases
    name = driver.bind("i", "b").credentials["username"]
    release(sandbox)
    calls = AccountCalls(driver.broker._cloud)  # type: ignore[attr-defined]
    calls.lock_account(item["id"], name)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert accounts(sandbox) == {}
    driver.deprovision("i")


def test_its_name_is_free_again_once_it_can_be_deleted(driver: Driver, sandbox: Sandbox) -> None:
    driver.bind("i", "b1", Username="shop")
    driver.unbind("i", "b1")
    assert "earlier binding" in reason(driver.bind("i", "b2", Username="shop"))
    driver.unbind("i", "b2")
    assert retired(sandbox) == ["shop"]
    release(sandbox)
    assert driver.bind("i", "b3", Username="shop").credentials["username"] == "shop"
    driver.deprovision("i")


def test_a_binding_of_the_same_id_takes_its_account_again(driver: Driver, sandbox: Sandbox) -> None:
    before = driver.bind("i", "b").credentials
    driver.unbind("i", "b")
    after = driver.bind("i", "b").credentials
    assert after["username"] == before["username"]
    assert after["password"] != before["password"]
    assert accounts(sandbox)[after["username"]]["status"] == "Available"
    assert retired(sandbox) == []
    driver.deprovision("i")


@pytest.mark.parametrize("action", ["ResetAccountPassword", "ModifyAccountDescription"])
def test_an_answer_that_was_lost_is_asked_for_again(
    driver: Driver, sandbox: Sandbox, action: str
) -> None:
    name = driver.bind("i", "b").credentials["username"]
    sandbox.fault(action, "reset", when="after")
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert name in accounts(sandbox)
    assert accounts(sandbox)[name]["description"].startswith("alibroker_retired-")
    driver.deprovision("i")


def test_a_privilege_that_is_never_shown_ends_the_bind(
    driver: Driver, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(AccountCalls, "databases", lambda *_: [])
        assert "DBOwner" in reason(driver.bind("i", "b"))
    assert sandbox.calls()["rds:GrantAccountPrivilege"] == 3
    driver.unbind("i", "b")
    driver.deprovision("i")
