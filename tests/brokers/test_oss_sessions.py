"""Temporary keys: sessions of a role, cut down to a binding's access."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import oss2
import pytest

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.driver import Driver
from alibroker.brokers.oss import activation
from alibroker.brokers.oss.access import Access, Level

if TYPE_CHECKING:
    from conftest import Call, Sandbox

    Drive = Callable[..., Driver]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
NAME = "the-sessions"


@pytest.fixture
def driver(oss: Drive, sandbox: Sandbox, call: Call) -> Iterator[Driver]:
    """A broker that is a RAM user, as roles are not for the account's owner, and a role."""
    sandbox.settings(time_scale=0.0)
    trust = json.dumps({"Version": "1", "Statement": [{"Effect": "Allow"}]})
    role = call("CreateRole", RoleName=NAME, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    full = {"PolicyType": "System", "PolicyName": "AliyunOSSFullAccess"}
    mine = {"PolicyType": "System", "PolicyName": "AdministratorAccess"}
    call("AttachPolicyToRole", RoleName=NAME, **full)
    call("CreateUser", UserName=NAME)
    call("AttachPolicyToUser", UserName=NAME, **mine)
    key = call("CreateAccessKey", UserName=NAME)["AccessKey"]
    driver = oss(
        ALIBABA_CLOUD_ACCESS_KEY_ID=key["AccessKeyId"],
        ALIBABA_CLOUD_ACCESS_KEY_SECRET=key["AccessKeySecret"],
        ALIBROKER_OSS_ROLE=role,
    )
    driver.provision("i", PLAN)
    yield driver
    assert isinstance(driver.deprovision("i").end, Succeeded)
    call("DeleteAccessKey", UserName=NAME, UserAccessKeyId=key["AccessKeyId"])
    call("DetachPolicyFromUser", UserName=NAME, **mine)
    call("DeleteUser", UserName=NAME)
    call("DetachPolicyFromRole", RoleName=NAME, **full)
    call("DeleteRole", RoleName=NAME)
    assert sandbox.empty


@pytest.mark.parametrize("level", ["read-write", "read-only", "write-only"])
def test_a_temporary_key_may_do_what_was_asked_and_ends(
    driver: Driver, sandbox: Sandbox, level: str
) -> None:
    users = len(sandbox.ram[0])
    end = driver.bind("i", "b", DurationSeconds=900, Access=level, Prefix="p/").end
    assert isinstance(end, Succeeded)
    found = end.credentials
    assert found is not None
    expires = dt.datetime.fromisoformat(end.metadata["expires_at"])
    rest = expires - dt.datetime.now(dt.UTC)
    assert 880 <= rest.total_seconds() <= 901
    assert found["security_token"] not in str(driver.resource("i", "b"))
    session = oss2.Session()
    session.session.trust_env = False
    bucket = oss2.Bucket(
        oss2.StsAuth(
            found["access_key_id"],
            found["secret_access_key"],
            found["security_token"],
            auth_version=oss2.AUTH_VERSION_4,
        ),
        found["endpoint"],
        found["bucket"],
        region=found["region"],
        session=session,
    )

    def let(call: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
        try:
            call(*arguments, **named)
        except oss2.exceptions.AccessDenied:
            return False
        return True

    assert let(bucket.put_object, "p/x", b"1") == (level != "read-only")
    assert let(bucket.list_objects, prefix="p/") == (level != "write-only")
    assert let(bucket.delete_object, "p/x") == (level == "read-write")
    assert not let(bucket.put_object, "q/x", b"1")
    assert not let(bucket.list_objects)
    if level == "write-only":
        other = driver.bind("i", "rw").credentials
        auth = oss2.AuthV4(other["access_key_id"], other["secret_access_key"])
        owner = oss2.Bucket(
            auth, other["endpoint"], other["bucket"], region=other["region"], session=session
        )
        owner.delete_object("p/x")
        driver.unbind("i", "rw")
    session.session.close()
    assert len(sandbox.ram[0]) == users
    assert isinstance(driver.unbind("i", "b").end, Succeeded)


def test_a_lost_answer_is_asked_for_again(driver: Driver, sandbox: Sandbox) -> None:
    driver.twice = True
    sandbox.fault("AssumeRole", "reset", when="after")
    assert driver.bind("i", "b", DurationSeconds=1000).credentials["security_token"]
    assert isinstance(driver.unbind("i", "b").end, Succeeded)


def test_too_long_a_time_is_refused_by_the_role(driver: Driver) -> None:
    operation = driver.bind("i", "b", DurationSeconds=40_000)
    assert isinstance(operation.end, Failed)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)


def test_without_a_role_there_are_no_temporary_keys(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", PLAN)
    operation = driver.bind("i", "b", DurationSeconds=900)
    assert isinstance(operation.end, Failed)
    assert "ALIBROKER_OSS_ROLE" in operation.end.reason
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_temporary_key_that_is_refused_for_good_ends_the_bind(
    driver: Driver, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation, "_SECONDS", 0.3)
    sandbox.fault("ListObjects", "error", status=403, code="AccessDenied", times=None)
    end = driver.bind("i", "b", DurationSeconds=900).end
    assert isinstance(end, Failed)
    assert "AccessDenied" in end.reason


@pytest.mark.parametrize("level", Level)
def test_a_session_policy_is_short_enough(level: Level) -> None:
    """STS AssumeRole takes 2,048 characters; a bucket's name has 63, a prefix 256 at most."""
    access = Access(level, "p" * 255 + "/")
    assert len(access.policy_document("b" * 63)) <= 2048
