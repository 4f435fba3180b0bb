"""Credentials of another account find nothing: nothing is believed, and nothing done, with them."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.credentials import CredentialsProvider
from alibroker.brokers.alibabacloud.errors import CloudError
from alibroker.brokers.alibabacloud.rates import RateLimiter, parse_rates
from alibroker.brokers.alibabacloud.sources import InstanceRole
from alibroker.brokers.api import Failed, Found, OperationKind, Succeeded, TryAgainError
from alibroker.brokers.driver import Driver, Operation
from alibroker.brokers.rds.update import Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    Drive = Callable[..., Driver]

PLANS = {
    "rds": "rds-427559f1-bf2a-45d3-8844-32374a3e58aa",
    "oss": "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221",
}
SERVICES = pytest.mark.parametrize("service", PLANS)
IDENTITY = "sts:GetCallerIdentity"
STEPS = 8  # more than each of these operations has where there is nothing to do


@pytest.fixture
def drive(request: pytest.FixtureRequest, service: str) -> Drive:
    """Return what makes drivers of a service's broker."""
    found: Drive = request.getfixturevalue(service)
    return found


@pytest.fixture
def accounts(sandbox: Sandbox, other_key: dict[str, str]) -> tuple[str, str]:
    """Return the ids of the account and of the other one."""
    del other_key
    found = (sandbox.inventory, sandbox.control("GET", "second-account"))
    first, second = (one["account"]["id"] for one in found)
    return first, second


def left(sandbox: Sandbox) -> dict[str, int]:
    """Count what there is in the first account."""
    users, policies = sandbox.ram
    names = ("databases", "buckets", "users", "policies", "accounts")
    of_databases = [one for database in sandbox.databases for one in database["accounts"]]
    found = (sandbox.databases, sandbox.buckets, users, policies, of_databases)
    return {name: len(some) for name, some in zip(names, found, strict=True) if some}


def nothing_in_the_other(sandbox: Sandbox) -> bool:
    found = sandbox.control("GET", "second-account")
    mine = [one for one in found["oss"]["buckets"] if one["tags"]]
    return not (found["rds"]["instances"] or mine or found["ram"]["users"])


def refused(operation: Operation, *accounts: str) -> None:
    """All that came of an operation is that it waits, and says for which account."""
    assert operation.steps
    for step in operation.steps:
        assert isinstance(step, TryAgainError), step
        assert all(account in step.reason for account in accounts)
        assert "ALIBABA_CLOUD_ACCESS_KEY_ID" in step.reason


@SERVICES
def test_nothing_is_done_with_a_key_of_another_account(
    drive: Drive, sandbox: Sandbox, other_key: dict[str, str], accounts: tuple[str, str]
) -> None:
    driver = drive()
    driver.provision("i", PLANS[driver.broker.name])
    driver.bind("i", "b")
    assert driver.resource("i")["account_id"] == accounts[0]
    assert driver.resource("i", "b")["account_id"] == accounts[0]
    before = left(sandbox)
    other = drive(**other_key)
    other.instances, other.bindings = driver.instances, driver.bindings
    sandbox.control("DELETE", "counters")
    started = {
        "unbind": Operation(OperationKind.UNBIND, "i", "b"),
        "update": other.changed("i", Tags="x"),
        "bind": other.binding("i", "c"),
        "deprovision": Operation(OperationKind.DEPROVISION, "i"),
    }
    for operation in started.values():
        other.run([operation], steps=STEPS)
        refused(operation, *accounts)
    assert sandbox.calls() == {IDENTITY: 1}, "it is asked once, and nothing else at all"
    assert left(sandbox) == before

    del driver.bindings["i", "c"]
    (unbound,) = driver.run([started["unbind"]])
    (deprovisioned,) = driver.run([started["deprovision"]])
    assert isinstance(unbound.end, Succeeded)
    assert isinstance(deprovisioned.end, Succeeded)
    assert sandbox.empty
    assert nothing_in_the_other(sandbox)


@pytest.mark.parametrize(("service", "steps"), [("rds", 1), ("rds", 2), ("oss", 1)])
def test_a_creation_goes_on_in_the_account_that_it_began_in(
    drive: Drive, sandbox: Sandbox, other_key: dict[str, str], accounts: tuple[str, str], steps: int
) -> None:
    driver = drive()
    (operation,) = driver.run([driver.ordered("i", PLANS[driver.broker.name])], steps=steps)
    assert operation.end is None
    assert driver.resource("i")["account_id"] == accounts[0], "before anything is bought"
    other = drive(**other_key)
    other.instances = driver.instances
    made = len(operation.steps)
    other.run([operation], steps=STEPS)
    assert all(isinstance(step, TryAgainError) for step in operation.steps[made:])
    undoing = Operation(OperationKind.DEPROVISION, "i")
    other.run([undoing], steps=STEPS)
    refused(undoing, *accounts)
    assert isinstance(driver.run([operation])[0].end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty
    assert nothing_in_the_other(sandbox)


@SERVICES
def test_a_survey_does_not_look_for_a_thing_in_another_account(
    drive: Drive, sandbox: Sandbox, other_key: dict[str, str], accounts: tuple[str, str]
) -> None:
    driver = drive()
    driver.provision("i", PLANS[driver.broker.name])
    driver.bind("i", "b")
    assert {one.resource["account_id"] for one in found(driver) if one.resource} == {accounts[0]}
    other: Any = drive(**other_key).broker
    assert other.account() == accounts[1]
    assert not list(other.inventory())
    for key in (("i",), ("i", "b")):
        with pytest.raises(TryAgainError, match=f"{accounts[0]}.*{accounts[1]}"):
            other.exists(driver.resource(*key), of_binding=len(key) > 1)
    with pytest.raises(TryAgainError, match=accounts[0]):
        other.keep(next(one for one in found(driver) if one.main and not one.binding_id))
    driver.unbind("i", "b")
    driver.deprovision("i")
    assert sandbox.empty


def found(driver: Driver) -> list[Found]:
    broker: Any = driver.broker
    return list(broker.inventory())


@SERVICES
def test_a_record_from_before_learns_its_account_when_the_thing_is_seen(
    drive: Drive, sandbox: Sandbox, accounts: tuple[str, str]
) -> None:
    driver = drive()
    driver.provision("i", PLANS[driver.broker.name])
    driver.bind("i", "b")
    for record in (driver.instances["i"], driver.bindings["i", "b"]):
        record.resource = record.resource.replace(b"account_id", b"forgotten")
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert "account_id" not in driver.resource("i")
    change = {"rds": {"AllowedIPs": ["10.0.0.0/8"]}, "oss": {"Versioning": True}}
    operation = driver.update("i", **change[driver.broker.name])
    assert isinstance(operation.end, Succeeded), operation.end
    assert driver.resource("i")["account_id"] == accounts[0]
    driver.bind("i", "c")
    assert driver.resource("i", "c")["account_id"] == accounts[0]
    driver.unbind("i", "c")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@SERVICES
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "status": 403, "code": "NoPermission"},
        {"kind": "error", "status": 400, "code": "NeverHeardOf"},
        {"kind": "empty"},
        {"kind": "reset"},
        {"kind": "throttle", "seconds": 0.01},
    ],
    ids=lambda fault: fault.get("code") or fault["kind"],
)
def test_while_the_account_is_not_known_nothing_is_bought_or_given_up(
    drive: Drive, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    driver = drive()
    sandbox.control("POST", "faults", {"action": IDENTITY, "times": None, **fault})
    operation = driver.ordered("i", PLANS[driver.broker.name])
    driver.run([operation], steps=2)
    assert all(isinstance(step, TryAgainError) for step in operation.steps)
    assert "not known which account" in str(operation.steps[-1])
    assert sandbox.calls().keys() == {IDENTITY}
    sandbox.control("DELETE", "faults")
    assert isinstance(driver.run([operation])[0].end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@SERVICES
def test_a_whole_life_asks_once_for_the_account(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive()
    for _ in range(2):
        driver.provision("i", PLANS[driver.broker.name])
        driver.bind("i", "b")
        driver.unbind("i", "b")
        driver.deprovision("i")
    assert sandbox.calls()[IDENTITY] == 1
    assert sandbox.empty


def test_the_account_is_asked_for_once_for_each_key_whoever_wants_to_know(
    sandbox: Sandbox,
) -> None:
    sandbox.settings(role_credential_seconds=3600, latency_ms=200)
    provider = CredentialsProvider(InstanceRole(sandbox.url))
    limiter = RateLimiter(parse_rates("unlimited"))
    client = CloudClient(
        region="cn-hangzhou", endpoint=sandbox.url, credentials=provider, limiter=limiter
    )
    with ThreadPoolExecutor(8) as threads:
        told = {*threads.map(lambda _: client.account(), range(8))}
        assert sandbox.calls() == {IDENTITY: 1}
        provider.refused(provider.get())
        told |= {*threads.map(lambda _: client.account(), range(8))}
        assert sandbox.calls() == {IDENTITY: 2}, "once more for the renewed key"
        sandbox.control("POST", "faults", {"action": IDENTITY, "kind": "reset", "times": None})
        told |= {client.account()}
        provider.refused(provider.get())
        failures = [threads.submit(client.account) for _ in range(8)]
        for one in failures:
            with pytest.raises(CloudError):
                one.result()
        assert sandbox.calls() == {IDENTITY: 3}, "who waited shares the failure"
    assert told == {sandbox.inventory["account"]["id"]}
    client.close()


@pytest.mark.parametrize("service", ["rds"])
def test_credentials_that_become_those_of_another_account_in_a_step_end_nothing(
    drive: Drive, sandbox: Sandbox, accounts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = drive(ALIBROKER_SETTLE_SECONDS="0")
    driver.provision("i", PLANS["rds"])
    broker: Any = driver.broker
    answers = iter([accounts[0], accounts[1]])
    with monkeypatch.context() as patch:
        patch.setattr(broker._cloud, "account", lambda: next(answers))
        patch.setattr(broker._deprovision, "step", lambda _: Succeeded(resource={"gone": True}))
        with pytest.raises(TryAgainError, match=accounts[1]):
            broker.deprovision(driver.work(Operation(OperationKind.DEPROVISION, "i")))
    answers = iter([accounts[0], accounts[1]])
    gone = Failed(reason="the database is not there any more", instance_usable=False)
    with monkeypatch.context() as patch:
        patch.setattr(broker._cloud, "account", lambda: next(answers))
        patch.setattr(Update, "_step", lambda *_: gone)
        with pytest.raises(TryAgainError, match=accounts[1]):
            broker.update(driver.work(driver.changed("i")))
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("service", ["rds"])
def test_an_operator_is_told_once(
    drive: Drive,
    sandbox: Sandbox,
    other_key: dict[str, str],
    accounts: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = drive()
    driver.provision("i", PLANS["rds"])
    other = drive(**other_key)
    other.instances = driver.instances
    with caplog.at_level(logging.CRITICAL):
        other.run([Operation(OperationKind.DEPROVISION, "i")], steps=3)
    (line,) = [one for one in caplog.records if one.levelno == logging.CRITICAL]
    assert all(account in line.getMessage() for account in accounts)
    assert other_key["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] not in caplog.text
    driver.deprovision("i")
    assert sandbox.empty


def test_one_bucket_name_is_given_to_one_account(
    oss: Drive, sandbox: Sandbox, other_key: dict[str, str]
) -> None:
    driver, other = oss(), oss(**other_key)
    plan = PLANS["oss"]
    driver.provision("i", plan, BucketName="one-for-both")
    taken = other.provision("j", plan, BucketName="one-for-both").end
    assert isinstance(taken, Failed)
    assert "taken" in taken.reason
    driver.deprovision("i")
    assert isinstance(other.provision("k", plan, BucketName="one-for-both").end, Succeeded)
    assert isinstance(driver.provision("i", plan, BucketName="one-for-both").end, Failed)
    other.deprovision("k")
    assert sandbox.empty
    assert nothing_in_the_other(sandbox)
