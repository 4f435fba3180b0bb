"""The OSS broker against the sandbox: whole lives, crashes, lost answers, refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import oss2
import pytest

from alibroker.brokers.api import Failed, Succeeded, TryAgainError
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    Drive = Callable[..., Driver]

DEFAULT = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SELF_DEFINE = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"
CALLS = (
    "oss:PutBucket",
    "oss:PutBucketPublicAccessBlock",
    "oss:PutBucketTagging",
    "ram:CreateUser",
    "ram:CreatePolicy",
    "ram:AttachPolicyToUser",
    "ram:ListAccessKeys",
    "ram:CreateAccessKey",
    "oss:ListObjects",
    "ram:DeleteAccessKey",
    "ram:DetachPolicyFromUser",
    "ram:DeleteUser",
    "ram:DeletePolicy",
    "oss:DeleteBucket",
)


def live(driver: Driver, sandbox: Sandbox) -> None:
    """Go through a whole life, and check that there never is more than one of anything."""
    assert isinstance(driver.provision("i", DEFAULT).end, Succeeded)
    assert len(sandbox.buckets) == 1
    credentials = driver.bind("i", "b").credentials
    users, policies = sandbox.ram
    assert [(user["name"], [key["id"] for key in user["keys"]]) for user in users] == [
        (credentials["username"], [credentials["access_key_id"]])
    ]
    assert [policy["attachments"] for policy in policies] == [1]
    use(credentials)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.ram == ([], [])
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def opened(credentials: dict[str, Any], name: str = "") -> oss2.Bucket:
    """Open a bucket as an application does."""
    auth = oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"])
    return oss2.Bucket(
        auth,
        credentials["endpoint"],
        name or credentials["bucket"],
        region=credentials["region"],
        connect_timeout=10,
    )


def use(credentials: dict[str, Any]) -> None:
    bucket = opened(credentials)
    bucket.put_object("a/b c", b"hello")
    assert bucket.get_object("a/b c").read() == b"hello"
    assert [item.key for item in bucket.list_objects_v2().object_list] == ["a/b c"]
    bucket.delete_object("a/b c")
    bucket.session.session.close()


def reason(operation: Operation) -> str:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end.reason


def test_a_whole_life_leaves_nothing_behind(oss: Drive, sandbox: Sandbox) -> None:
    live(oss(), sandbox)


def test_every_step_may_be_made_twice(oss: Drive, sandbox: Sandbox) -> None:
    live(oss(twice=True), sandbox)


@pytest.mark.parametrize("action", CALLS)
def test_an_answer_may_be_lost_after_any_call_took_effect(
    oss: Drive, sandbox: Sandbox, action: str
) -> None:
    sandbox.fault(action, "reset", when="after")
    live(oss(), sandbox)
    assert sandbox.hits() == 1


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("garbage", {"when": "after"}),
        ("error", {"when": "after", "status": 500, "code": "InternalError"}),
        ("error", {"when": "before", "status": 503, "code": "ServiceUnavailable"}),
        ("throttle", {"when": "before", "seconds": 0.1}),
        ("reset", {"when": "before"}),
    ],
)
def test_every_call_may_go_wrong_once(
    oss: Drive, sandbox: Sandbox, kind: str, details: dict[str, Any]
) -> None:
    for action in CALLS:
        sandbox.fault(action, kind, **details)
    live(oss(), sandbox)
    assert sandbox.hits() == len(CALLS)


@pytest.mark.parametrize("steps", range(3))
def test_a_provision_given_up_after_any_step_can_be_deprovisioned(
    oss: Drive, sandbox: Sandbox, steps: int
) -> None:
    driver = oss()
    driver.run([driver.ordered("i", DEFAULT)], steps=steps)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_whose_only_trace_is_the_intent_is_deleted(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    operation = driver.ordered("i", DEFAULT)
    driver.step(operation)
    sandbox.fault("PutBucket", "reset", when="after")
    driver.step(operation)
    assert isinstance(operation.steps[-1], TryAgainError)
    assert len(sandbox.buckets) == 1
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("steps", range(5))
def test_a_bind_given_up_after_any_step_can_be_unbound(
    oss: Drive, sandbox: Sandbox, steps: int
) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.run([driver.binding("i", "b")], steps=steps)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.ram == ([], [])
    driver.deprovision("i")


def test_a_key_whose_answer_was_lost_does_not_stay(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    sandbox.fault("CreateAccessKey", "reset", when="after", times=2)
    credentials = driver.bind("i", "b").credentials
    assert sandbox.calls()["ram:CreateAccessKey"] == 3
    ((user,), _) = sandbox.ram
    assert [key["id"] for key in user["keys"]] == [credentials["access_key_id"]]
    driver.unbind("i", "b")
    driver.deprovision("i")


def test_a_bucket_is_private_and_marked_as_ours(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss(ALIBROKER_NAME="my-broker")
    driver.provision("i", DEFAULT, AccessKeyId="LTAIuser", AccessKeySecret="hush")
    (bucket,) = sandbox.buckets
    assert bucket["acl"] == "private"
    assert bucket["tags"] == {
        "alibroker": "my-broker",
        "alibroker-instance": "i",
        "alibroker-service": "oss-997b8372-8dac-40ac-ae65-758b4a502222",
        "alibroker-plan": DEFAULT,
        "service_catalog": "true",
        "alibroker-platform": "driver",
    }
    assert "hush" not in str(driver.resource("i"))
    driver.deprovision("i")


@pytest.mark.parametrize("parameter", ["ACL", "Acl"])
def test_a_public_bucket_is_made_on_request_only(
    oss: Drive, sandbox: Sandbox, parameter: str
) -> None:
    driver = oss()
    driver.provision("i", SELF_DEFINE, StorageClass="IA", **{parameter: "public-read"})
    (bucket,) = sandbox.buckets
    assert bucket["acl"] == "public-read"
    driver.deprovision("i")


def test_a_name_that_somebody_else_has_is_given_up_for_another(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    operation = driver.ordered("i", DEFAULT)
    driver.step(operation)
    taken = driver.resource("i")["bucket"]
    sandbox.control("POST", "foreign-buckets", {"name": taken})
    assert isinstance(driver.run([operation])[0].end, Succeeded)
    (bucket,) = sandbox.buckets
    assert bucket["name"] == driver.resource("i")["bucket"] != taken
    driver.deprovision("i")
    assert sandbox.empty


def test_a_bucket_with_objects_is_not_deleted(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    credentials = driver.bind("i", "b").credentials
    bucket = opened(dict(credentials))
    bucket.put_object("precious", b"1")
    operation = driver.deprovision("i")
    assert "empty it" in reason(operation)
    assert isinstance(operation.end, Failed)
    assert operation.end.instance_usable
    bucket.delete_object("precious")
    bucket.session.session.close()
    driver.unbind("i", "b")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_key_opens_its_own_bucket_only(oss: Drive) -> None:
    driver = oss()
    driver.provision("one", DEFAULT)
    driver.provision("two", DEFAULT)
    credentials = dict(driver.bind("one", "b").credentials)
    other = opened(credentials, driver.resource("two")["bucket"])
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.put_object("x", b"")
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.list_objects()
    other.session.session.close()
    driver.unbind("one", "b")
    driver.deprovision("one")
    driver.deprovision("two")


def test_credentials_have_the_keys_that_applications_know(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    found = driver.bind("i", "b").credentials
    host = sandbox.inside.removeprefix("http://")
    assert set(found) == {
        *("bucket", "username", "access_key_id", "secret_access_key"),
        *("host", "uri", "region", "endpoint", "internal_endpoint", "s3_endpoint", "access"),
    }
    key, secret = found["access_key_id"], found["secret_access_key"]
    assert found["uri"] == f"oss://{key}:{secret}@{host}/{found['bucket']}"
    assert found["region"] == "cn-hangzhou"
    assert secret not in str(driver.resource("i", "b"))
    driver.unbind("i", "b")
    driver.deprovision("i")


def test_a_policy_fits_the_limit_and_names_one_bucket(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    (_, (policy,)) = sandbox.ram
    bucket = driver.resource("i")["bucket"]
    document = policy["document"]
    document = document if isinstance(document, str) else json.dumps(document)
    assert len(document) <= 6144
    resources = [
        resource
        for statement in json.loads(document)["Statement"]
        for resource in statement["Resource"]
    ]
    assert set(resources) == {f"acs:oss:*:*:{bucket}", f"acs:oss:*:*:{bucket}/*"}
    driver.unbind("i", "b")
    driver.deprovision("i")


def test_deletions_may_be_repeated(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    known = driver.instances["i"].resource
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    driver.instances["i"].resource = known
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize(
    ("changes", "advice"), [({"bucket_quota": 0}, "limit"), ({"user_quota": 0}, "limit")]
)
def test_a_limit_of_the_account_is_explained(
    oss: Drive, sandbox: Sandbox, changes: dict[str, int], advice: str
) -> None:
    driver = oss()
    sandbox.settings(**changes)
    operation = driver.provision("i", DEFAULT)
    if "user_quota" in changes:
        operation = driver.bind("i", "b")
        driver.unbind("i", "b")
    assert advice in reason(operation)
    driver.deprovision("i")
    assert sandbox.empty


def test_a_missing_permission_is_named(oss: Drive, sandbox: Sandbox) -> None:
    sandbox.fault("PutBucket", "error", code="AccessDenied", status=403)
    assert "oss:PutBucket" in reason(oss().provision("i", DEFAULT))


def test_secrets_are_in_no_log(
    oss: Drive, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    driver = oss()
    driver.provision("i", DEFAULT)
    sandbox.fault("CreateAccessKey", "reset", when="after")
    secret = driver.bind("i", "b").credentials["secret_access_key"]
    assert secret not in caplog.text
    assert "Signature" not in caplog.text
    driver.unbind("i", "b")
    driver.deprovision("i")
