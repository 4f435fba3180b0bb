"""What only takes time is waited for, and what cannot succeed ends early and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.driver import Driver
from alibroker.brokers.oss import activation

if TYPE_CHECKING:
    from conftest import Call, Sandbox

    Drive = Callable[..., Driver]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"


def test_a_user_that_is_not_known_everywhere_yet_is_waited_for(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    driver.provision("i", PLAN)
    sandbox.fault("CreateAccessKey", "error", status=404, code="EntityNotExist.User", times=2)
    assert isinstance(driver.bind("i", "b").end, Succeeded)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_that_is_not_known_everywhere_yet_is_waited_for(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    sandbox.fault("PutBucketTagging", "error", status=404, code="NoSuchBucket", times=2)
    assert isinstance(driver.provision("i", PLAN).end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_claim_that_somebody_uses_is_named_at_once(
    oss: Drive, sandbox: Sandbox, call: Call
) -> None:
    driver = oss()
    sandbox.fault("PutBucket", "reset", when="before")
    operation = driver.ordered("i", PLAN, BucketName="our-photos")
    driver.run([operation], steps=2)
    (claim,) = (one["name"] for one in sandbox.ram[1])
    call("CreateGroup", GroupName="theirs")
    call("CreateRole", RoleName="another", AssumeRolePolicyDocument='{"Statement":[]}')
    named = {"PolicyName": claim, "PolicyType": "Custom"}
    call("AttachPolicyToGroup", GroupName="theirs", **named)
    call("AttachPolicyToRole", RoleName="another", **named)
    driver.run([operation])
    undone = driver.deprovision("i")
    for end in (operation.end, undone.end):
        assert isinstance(end, Failed)
        assert claim in end.reason
        assert "another, theirs" in end.reason
    call("DetachPolicyFromGroup", GroupName="theirs", **named)
    call("DetachPolicyFromRole", RoleName="another", **named)
    call("DeleteGroup", GroupName="theirs")
    call("DeleteRole", RoleName="another")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_key_that_is_refused_for_good_ends_the_bind(
    oss: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation, "_SECONDS", 0.3)
    driver = oss()
    driver.provision("i", PLAN)
    sandbox.fault("ListObjects", "error", status=403, code="AccessDenied", times=None)
    end = driver.bind("i", "b").end
    assert isinstance(end, Failed)
    assert "AccessDenied" in end.reason
    assert "bucket's policy" in end.reason
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty
