"""The cloud can want a privileged account before any other: SQL Server is said to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.api import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

PLAN = "rds-6db8ed51-e8d5-5f4f-ba43-858c7fe27e07"
FIRST = "alibroker_admin"


def accounts(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    (database,) = sandbox.databases
    return {account["name"]: account for account in database["accounts"]}


@pytest.mark.parametrize("wanted", [True, False])
def test_bind_succeeds_whether_the_first_account_has_to_be_privileged_or_not(
    rds: Drive, sandbox: Sandbox, *, wanted: bool
) -> None:
    sandbox.settings(first_account_super=wanted)
    driver = rds()
    driver.provision("i", PLAN)
    names = [driver.bind("i", f"b{number}").credentials["username"] for number in range(2)]
    found = accounts(sandbox)
    assert found.keys() == {*names, *([FIRST] if wanted else [])}
    assert {name for name, one in found.items() if one["type"] == "Super"} == {FIRST} & found.keys()
    calls = sandbox.calls()["rds:CreateAccount"]
    assert calls <= 2 + 6 * wanted
    for number in range(2):
        assert isinstance(driver.unbind("i", f"b{number}").end, Succeeded)
    assert accounts(sandbox).keys() == {FIRST} & found.keys()
    # It belongs to the instance, and is neither an orphan nor a part of a binding.
    found_parts = list(driver.broker.inventory())  # type: ignore[attr-defined] # of this broker
    assert [one.kind for one in found_parts] == ["RDS instance"]
    driver.deprovision("i")
    assert sandbox.empty


def test_a_privileged_account_of_the_users_own_is_enough(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    (database,) = sandbox.databases
    calls = driver.broker._bind._calls  # type: ignore[attr-defined] # of this broker
    calls.create_account(database["id"], "boss", "Boss!boss1", "of_the_user", privileged=True)
    name = driver.bind("i", "b").credentials["username"]
    assert accounts(sandbox).keys() == {"boss", name}
    driver.deprovision("i")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_may_be_lost(rds: Drive, sandbox: Sandbox, when: str) -> None:
    driver = rds(twice=True)
    driver.provision("i", PLAN)
    # The first two are refused.
    sandbox.fault("CreateAccount", "reset", when=when, skip=1)
    name = driver.bind("i", "b").credentials["username"]
    assert accounts(sandbox).keys() == {FIRST, name}
    driver.deprovision("i")


def test_a_refusal_for_another_reason_ends_the_bind(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", PLAN)
    refusal = {"code": "InvalidAccountType.Format", "status": 400, "message": "Not this type."}
    sandbox.fault("CreateAccount", "error", **refusal, times=None)
    end = driver.bind("i", "b").end
    assert isinstance(end, Failed)
    assert "Not this type" in end.reason
    assert sandbox.calls()["rds:CreateAccount"] <= 20
    sandbox.control("DELETE", "faults")
    driver.unbind("i", "b")
    driver.deprovision("i")
