"""Bindings of the RDS broker against the sandbox: accounts, passwords, credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alibroker.brokers.api import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver, Operation

    Drive = Callable[..., Driver]

SMALL = "rds-427559f1-bf2a-45d3-8844-32374a3e58aa"


def reason(operation: Operation) -> str:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end.reason


def test_credentials_have_the_keys_that_applications_know(rds: Drive) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    found = driver.bind("i", "b").credentials
    host, user, password = found["host"], found["username"], found["password"]
    assert host.endswith(".mysql.rds.aliyuncs.com")
    assert found["port"] == "3306"
    assert found["uri"] == f"mysql://{user}:{password}@{host}:3306/app"
    assert found["jdbcUrl"] == f"jdbc:mysql://{host}:3306/app?user={user}&password={password}"
    assert password not in str(driver.resource("i", "b"))
    driver.deprovision("i")


def test_bindings_do_not_share_an_account(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    one, two = driver.bind("i", "b1").credentials, driver.bind("i", "b2").credentials
    assert one["username"] != two["username"]
    assert one["password"] != two["password"]
    assert one["database"] == two["database"]
    driver.unbind("i", "b1")
    (database,) = sandbox.databases
    assert [account["name"] for account in database["accounts"]] == [two["username"]]
    driver.deprovision("i")


def test_a_name_and_a_password_can_be_chosen(rds: Drive) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    found = driver.bind("i", "b", Username="shop", Password="p@ss+W0rd").credentials
    assert (found["username"], found["password"]) == ("shop", "p@ss+W0rd")
    assert "shop:p%40ss%2BW0rd@" in found["uri"]
    driver.deprovision("i")


def test_a_weak_password_is_refused_before_the_cloud_is_asked(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.control("DELETE", "counters")
    text = reason(driver.bind("i", "b", Password="onlyletters"))
    assert "Password" in text
    assert "onlyletters" not in text
    assert sandbox.calls() == {}
    driver.deprovision("i")


def test_another_bindings_account_is_neither_taken_over_nor_deleted(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    driver.bind("i", "b1", Username="shop")
    sandbox.control("DELETE", "counters")
    assert "Username" in reason(driver.bind("i", "b2", Username="shop"))
    assert isinstance(driver.unbind("i", "b2").end, Succeeded)
    assert "rds:ResetAccountPassword" not in sandbox.calls()
    (database,) = sandbox.databases
    assert [account["name"] for account in database["accounts"]] == ["shop"]
    driver.deprovision("i")


def test_a_refused_bind_leaves_no_database_behind(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    driver.bind("i", "b1", Username="shop")
    assert "Username" in reason(driver.bind("i", "b2", Username="shop", Database="two"))
    sandbox.fault("GrantAccountPrivilege", "error", code="IncorrectAccountType", status=403)
    assert "IncorrectAccountType" in reason(driver.bind("i", "b3", Database="three"))
    assert isinstance(driver.unbind("i", "b3").end, Succeeded)
    sandbox.settings(time_scale=0.0)
    (database,) = sandbox.databases
    left = {one["name"] for one in database["databases"] if one["status"] != "Deleting"}
    assert left == {"app"}
    driver.deprovision("i")


def test_a_refused_bind_leaves_a_database_that_others_use(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("GrantAccountPrivilege", "error", code="IncorrectAccountType", status=403)
    reason(driver.bind("i", "b1"))
    driver.bind("i", "b2")
    driver.unbind("i", "b1")
    (database,) = sandbox.databases
    assert [(one["name"], one["status"]) for one in database["databases"]] == [("app", "Running")]
    driver.deprovision("i")


@pytest.mark.parametrize(
    "blind", ["brokers.rds.unbind.users_of", "brokers.rds.unbind.privileges_of"]
)
def test_one_place_that_shows_who_uses_a_database_is_enough_to_keep_it(
    rds: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, blind: str
) -> None:
    monkeypatch.setattr(f"alibroker.{blind}", lambda _: {})
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("GrantAccountPrivilege", "error", code="IncorrectAccountType", status=403)
    reason(driver.bind("i", "b1"))
    driver.bind("i", "b2")
    driver.unbind("i", "b1")
    (database,) = sandbox.databases
    assert [(one["name"], one["status"]) for one in database["databases"]] == [("app", "Running")]
    driver.deprovision("i")


def test_an_account_whose_answer_was_lost_gets_the_password_that_is_handed_out(
    rds: Drive, sandbox: Sandbox
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("CreateAccount", "reset", when="after")
    assert driver.bind("i", "b").credentials["password"]
    assert sandbox.calls()["rds:ResetAccountPassword"] == 1
    driver.deprovision("i")


@pytest.mark.parametrize("steps", range(5))
def test_a_bind_given_up_after_any_step_can_be_unbound(
    rds: Drive, sandbox: Sandbox, steps: int
) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    operation = driver.binding("i", "b")
    driver.run([operation], steps=steps)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    (database,) = sandbox.databases
    assert database["accounts"] == []
    driver.deprovision("i")


def test_passwords_and_tokens_are_in_no_log(
    rds: Drive, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.fault("CreateAccount", "reset", when="after")
    operation = driver.bind("i", "b")
    password = operation.credentials["password"]
    assert password not in caplog.text
    assert "Signature" not in caplog.text
    assert all(password not in str(one) for one in operation.steps if isinstance(one, Exception))
    driver.deprovision("i")
