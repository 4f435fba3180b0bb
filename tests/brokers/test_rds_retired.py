"""PostgreSQL keeps an account on which objects depend: it is retired, and deleted later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from alibroker.brokers.api import (
    Failed,
    InProgress,
    OperationKind,
    Step,
    Succeeded,
    TryAgainError,
    Work,
)
from alibroker.brokers.driver import Operation
from alibroker.brokers.rds.account_calls import AccountCalls
from alibroker.brokers.rds.inventory import ACCOUNT, RETIRED_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

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


class Lapse:
    """A binding b of an instance i, unbound with the waits of production and without waiting."""

    def __init__(self, rds: Drive, sandbox: Sandbox, plan: str) -> None:
        sandbox.settings(time_scale=0.0)
        self.driver = rds()
        self.driver.provision("i", plan)
        self.name = self.driver.bind("i", "b").credentials["username"]
        usual = rds(ALIBROKER_POLL_INTERVAL="15", ALIBROKER_SETTLE_SECONDS="120")
        self._unbind: Callable[[Work], Step] = usual.broker.unbind
        sandbox.control("DELETE", "counters")

    def unbind(self, steps: int = 100) -> tuple[Operation, float]:
        """Unbind by a clock that leaps over every wait; return the seconds as well."""
        operation = Operation(OperationKind.UNBIND, "i", "b")
        now = operation.started_at
        for _ in range(steps):
            work = msgspec.structs.replace(self.driver.work(operation), now=now)
            try:
                step = self._unbind(work)
            except TryAgainError as error:
                operation.steps.append(error)
                now += max(error.after or 0.0, 6.0)
                continue
            operation.steps.append(step)
            if not isinstance(step, InProgress):
                break
            operation.state = msgspec.json.encode(step.state)
            now += step.poll_after
        return operation, now - operation.started_at

    def end(self) -> None:
        self.driver.deprovision("i")


@pytest.mark.parametrize("plan", [PLAN, MYSQL])
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Account.DelError", 400),
        ("Account.DeleteError", 400),
        ("AccountActionForbidden", 401),
        ("SqlExecuteFailedOrTimeout", 400),
        ("InternalError", 500),
    ],
)
def test_an_account_that_is_never_deleted_is_retired_within_two_minutes(
    rds: Drive, sandbox: Sandbox, plan: str, code: str, status: int
) -> None:
    lapse = Lapse(rds, sandbox, plan)
    sandbox.fault("DeleteAccount", "error", code=code, status=status, message="No.", times=None)
    first, _ = lapse.unbind(steps=1)
    assert isinstance(first.steps[-1], InProgress)
    assert sandbox.calls()["rds:ResetAccountPassword"] == 1  # useless at once
    operation, seconds = lapse.unbind()
    assert isinstance(operation.end, Succeeded), operation.steps[-1]
    assert seconds <= 120.0
    assert accounts(sandbox)[lapse.name]["description"] == "alibroker_retired-b"
    lapse.end()


@pytest.mark.parametrize("plan", [PLAN, MYSQL])
def test_an_account_whose_credentials_are_good_is_never_retired(
    rds: Drive, sandbox: Sandbox, plan: str
) -> None:
    lapse = Lapse(rds, sandbox, plan)
    for action in ("DeleteAccount", "ResetAccountPassword"):
        sandbox.fault(action, "error", code="Account.UpdateError", status=400, times=None)
    operation, _ = lapse.unbind()
    assert operation.end is None
    last = operation.steps[-1]
    assert isinstance(last, TryAgainError)
    assert "ResetAccountPassword" in last.reason
    assert accounts(sandbox)[lapse.name]["description"] == "alibroker-b"
    sandbox.control("DELETE", "faults")
    release(sandbox)
    operation, _ = lapse.unbind()
    assert isinstance(operation.end, Succeeded)
    assert accounts(sandbox) == {}
    lapse.end()


@pytest.mark.parametrize("action", ["RevokeAccountPrivilege", "DeleteAccount"])
def test_a_busy_instance_is_waited_for_and_not_its_account_retired(
    rds: Drive, sandbox: Sandbox, action: str
) -> None:
    lapse = Lapse(rds, sandbox, MYSQL)
    sandbox.fault(action, "error", code="IncorrectDBInstanceState", status=403, times=40)
    operation, seconds = lapse.unbind()
    assert isinstance(operation.end, Succeeded)
    assert seconds > 120.0
    assert accounts(sandbox) == {}
    lapse.end()


@pytest.mark.parametrize(
    ("plan", "action"), [(MYSQL, "RevokeAccountPrivilege"), (PLAN, "ResetAccountPassword")]
)
def test_what_cannot_be_disarmed_is_deleted_all_the_same(
    rds: Drive, sandbox: Sandbox, plan: str, action: str
) -> None:
    lapse = Lapse(rds, sandbox, plan)
    release(sandbox)
    sandbox.fault(action, "error", code="Account.UpdateError", status=400, times=None)
    operation, seconds = lapse.unbind()
    assert isinstance(operation.end, Succeeded)
    assert seconds < 60.0
    assert accounts(sandbox) == {}
    lapse.end()


@pytest.mark.parametrize("code", ["Forbidden.RAM", "SomethingNobodyHasSeen"])
def test_an_unbind_that_ends_badly_leaves_credentials_of_no_use(
    rds: Drive, sandbox: Sandbox, code: str
) -> None:
    lapse = Lapse(rds, sandbox, MYSQL)
    sandbox.fault("DeleteAccount", "error", code=code, status=403, times=None)
    assert "DeleteAccount" in reason(lapse.unbind()[0])
    assert sandbox.calls()["rds:ResetAccountPassword"] == 1
    sandbox.control("DELETE", "faults")
    assert isinstance(lapse.unbind()[0].end, Succeeded)
    assert lapse.name not in accounts(sandbox)
    lapse.end()


def test_a_survey_deletes_a_retired_account_of_mysql(rds: Drive, sandbox: Sandbox) -> None:
    lapse = Lapse(rds, sandbox, MYSQL)
    sandbox.fault("DeleteAccount", "error", code="Account.DelError", status=400, times=None)
    lapse.unbind()
    assert accounts(sandbox)[lapse.name]["description"].startswith("alibroker_retired-")
    sandbox.control("DELETE", "faults")
    list(lapse.driver.broker.inventory())  # type: ignore[attr-defined] # of this broker
    assert lapse.name not in accounts(sandbox)
    lapse.end()


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
