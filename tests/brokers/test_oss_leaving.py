"""Unbind: what others hung on a binding's user goes with it, or is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.driver import Driver

if TYPE_CHECKING:
    from conftest import Call, Sandbox

    Drive = Callable[..., Driver]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SYSTEM = {"PolicyType": "System", "PolicyName": "AliyunOSSReadOnlyAccess"}
CUSTOM = {"PolicyType": "Custom", "PolicyName": "theirs"}
DOCUMENT = '{"Version":"1","Statement":[{"Effect":"Deny","Action":["rds:*"],"Resource":["*"]}]}'


@pytest.fixture
def user(oss: Drive) -> tuple[Driver, str]:
    """An instance `i` with a binding `b`, and the name of its user."""
    driver = oss()
    driver.provision("i", PLAN)
    driver.bind("i", "b")
    return driver, str(driver.resource("i", "b")["user"])


def theirs(call: Call, user: str) -> None:
    """Give a user all that others can give it."""
    call("CreatePolicy", PolicyName="theirs", PolicyDocument=DOCUMENT)
    for policy in (SYSTEM, CUSTOM):
        call("AttachPolicyToUser", UserName=user, **policy)
    call("CreateGroup", GroupName="theirs")
    call("AddUserToGroup", UserName=user, GroupName="theirs")
    call("CreateAccessKey", UserName=user)
    call("CreateLoginProfile", UserName=user, Password="Aa1!Aa1!Aa1!")
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
    call("BindMFADevice", UserName=user, SerialNumber="acs:ram::1:mfa/theirs", **codes)


def clean(call: Call, driver: Driver, sandbox: Sandbox) -> None:
    call("DeletePolicy", PolicyName="theirs")
    call("DeleteGroup", GroupName="theirs")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_what_others_hung_on_a_user_goes_with_it(
    user: tuple[Driver, str], sandbox: Sandbox, call: Call
) -> None:
    driver, name = user
    theirs(call, name)
    operation = driver.unbind("i", "b")
    assert isinstance(operation.end, Succeeded)
    assert len(operation.steps) <= 2
    users, policies = sandbox.ram
    assert users == []
    assert [one["name"] for one in policies] == ["theirs"]
    assert sandbox.inventory["ram"]["groups"][0]["name"] == "theirs"
    clean(call, driver, sandbox)


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ("ListPoliciesForUser", "policies"),
        ("DetachPolicyFromUser", "policies"),
        ("ListGroupsForUser", "group memberships"),
        ("RemoveUserFromGroup", "group memberships"),
        ("DeleteLoginProfile", "a password"),
        ("UnbindMFADevice", "an MFA device"),
    ],
)
def test_what_the_broker_may_not_take_away_is_named_at_once(
    user: tuple[Driver, str], sandbox: Sandbox, call: Call, action: str, what: str
) -> None:
    driver, name = user
    theirs(call, name)
    # The broker's own policy is the first that is detached.
    skip = 1 if action == "DetachPolicyFromUser" else 0
    sandbox.fault(action, "error", status=403, code="NoPermission", times=None, skip=skip)
    operation = driver.unbind("i", "b")
    assert isinstance(operation.end, Failed)
    assert len(operation.steps) == 1
    for text in (name, what, f"ram:{action}"):
        assert text in operation.end.reason
    sandbox.control("DELETE", "faults")
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    clean(call, driver, sandbox)


@pytest.mark.parametrize(
    "action",
    [
        *("ListPoliciesForUser", "DetachPolicyFromUser", "ListGroupsForUser"),
        *("RemoveUserFromGroup", "DeleteLoginProfile", "UnbindMFADevice", "DeleteUser"),
    ],
)
def test_any_of_the_calls_may_be_cut_off(
    user: tuple[Driver, str], sandbox: Sandbox, call: Call, action: str
) -> None:
    driver, name = user
    theirs(call, name)
    sandbox.fault(action, "reset", when="after")
    sandbox.fault(action, "error", status=500, code="InternalError")
    sandbox.fault(action, "throttle", seconds=0.05)
    operation = driver.unbind("i", "b")
    assert isinstance(operation.end, Succeeded)
    # Where the first call has done it, RAM does not ask for it any more.
    assert sandbox.hits() >= 1
    assert sandbox.ram[0] == []
    sandbox.control("DELETE", "faults")
    clean(call, driver, sandbox)


def test_a_conflict_that_is_not_known_ends_at_once(
    user: tuple[Driver, str], sandbox: Sandbox
) -> None:
    driver, _ = user
    code = "DeleteConflict.User.Novelty"
    sandbox.fault("DeleteUser", "error", status=409, code=code, message="It has a novelty.")
    operation = driver.unbind("i", "b")
    assert isinstance(operation.end, Failed)
    assert "It has a novelty" in operation.end.reason
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty
