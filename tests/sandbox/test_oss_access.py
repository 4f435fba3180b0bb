"""Who may do what in OSS: signatures, policies, public access and other accounts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import oss2
import pytest
import requests
from oss2.exceptions import ServerError
from refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable

ODD_KEY = "a/b c+ä&<>%2F.txt"


def user_key(
    owner: Any, unique: Callable[[str], str], *statements: dict[str, Any]
) -> dict[str, str]:
    name = unique("u")
    owner.call("ram", "CreateUser", UserName=name)
    if statements:
        document = json.dumps({"Version": "1", "Statement": statements})
        owner.call("ram", "CreatePolicy", PolicyName=name, PolicyDocument=document)
        attachment = {"UserName": name, "PolicyName": name, "PolicyType": "Custom"}
        owner.call("ram", "AttachPolicyToUser", **attachment)
    return dict(owner.call("ram", "CreateAccessKey", UserName=name)["AccessKey"])


def test_names_are_shared_with_other_accounts(
    sandbox: Any, owner: Any, unique: Callable[[str], str]
) -> None:
    name = unique("theirs-")
    sandbox.control("POST", "foreign-buckets", {"name": name})
    for taken in (name, "backup"):
        theirs = owner.bucket(taken)
        assert refused(theirs.create_bucket) == (409, "BucketAlreadyExists")
        assert refused(theirs.get_bucket_info) == (403, "AccessDenied")
        assert refused(theirs.delete_bucket) == (403, "AccessDenied")
    answer = requests.post(f"{sandbox.url}/sandbox/foreign-buckets", json={"name": name}, timeout=9)
    assert answer.status_code == 409


def test_public_access_is_blocked_until_it_is_allowed(
    owner: Any, bucket: Any, unique: Callable[[str], str]
) -> None:
    public = owner.bucket(unique("public-"))
    denied = (403, "AccessDenied")
    assert refused(public.create_bucket, oss2.BUCKET_ACL_PUBLIC_READ) == denied
    assert refused(bucket.put_bucket_acl, oss2.BUCKET_ACL_PUBLIC_READ) == denied
    bucket.put_object("page", b"hello")
    page = f"{owner.inside}/{bucket.bucket_name}/page"
    assert requests.get(page, timeout=10).status_code == 403
    bucket.put_bucket_public_access_block(block_public_access=False)
    assert bucket.get_bucket_public_access_block().block_public_access is False
    bucket.put_bucket_acl(oss2.BUCKET_ACL_PUBLIC_READ)
    assert bucket.get_bucket_acl().acl == "public-read"
    assert requests.get(page, timeout=10).text == "hello"
    assert requests.put(page, data=b"x", timeout=10).status_code == 403


def test_a_users_key_is_limited_to_its_bucket(
    owner: Any, as_caller: Any, bucket: Any, unique: Callable[[str], str]
) -> None:
    name = bucket.bucket_name
    key = user_key(
        owner,
        unique,
        {
            "Effect": "Allow",
            "Action": ["oss:ListObjects", "oss:GetBucketInfo"],
            "Resource": [f"acs:oss:*:*:{name}"],
        },
        {
            "Effect": "Allow",
            "Action": ["oss:GetObject", "oss:PutObject", "oss:DeleteObject"],
            "Resource": [f"acs:oss:*:*:{name}/*"],
        },
        {
            "Effect": "Deny",
            "Action": "oss:DeleteObject",
            "Resource": [f"acs:oss:*:*:{name}/keep/*"],
        },
    )
    user = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    mine = user.bucket(name)
    mine.put_object("keep/x", b"1")
    mine.put_object("y", b"1")
    assert [one.key for one in mine.list_objects().object_list] == ["keep/x", "y"]
    assert mine.get_object("y").read() == b"1"
    denied = (403, "AccessDenied")
    assert refused(mine.delete_object, "keep/x") == denied
    assert refused(mine.batch_delete_objects, ["y", "keep/x"]) == denied
    assert mine.object_exists("y")
    mine.batch_delete_objects(["y"])
    assert refused(mine.delete_bucket) == denied
    assert refused(mine.get_bucket_acl) == denied
    other = owner.bucket(unique("other-"))
    other.create_bucket()
    theirs = user.bucket(other.bucket_name)
    assert refused(theirs.list_objects) == denied
    assert refused(theirs.put_object, "x", b"1") == denied
    assert refused(user.bucket(unique("new-")).create_bucket) == denied
    service = oss2.Service(oss2.AuthV4(user.key_id, user.secret), owner.url, region="cn-hangzhou")
    assert refused(service.list_buckets) == denied


def test_a_bucket_policy_allows_and_denies(
    owner: Any, as_caller: Any, bucket: Any, unique: Callable[[str], str]
) -> None:
    key = user_key(owner, unique)
    user = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    mine = user.bucket(bucket.bucket_name)
    bucket.put_object("x", b"1")
    assert refused(mine.get_object, "x") == (403, "AccessDenied")
    identity = user.call("sts", "GetCallerIdentity")["UserId"]

    def rule(effect: str, principal: str) -> str:
        statement = {
            "Effect": effect,
            "Action": ["oss:GetObject"],
            "Principal": [principal],
            "Resource": [f"acs:oss:*:*:{bucket.bucket_name}/*"],
        }
        return json.dumps({"Version": "1", "Statement": [statement]})

    assert refused(bucket.put_bucket_policy, rule("Allow", "*")) == (403, "AccessDenied")
    bucket.put_bucket_policy(rule("Allow", identity))
    assert mine.get_object("x").read() == b"1"
    bucket.put_bucket_policy(rule("Deny", "*"))
    assert refused(bucket.get_object, "x") == (403, "AccessDenied")
    bucket.delete_bucket_policy()
    assert bucket.get_object("x").read() == b"1"


def test_a_new_key_reaches_oss_late_and_a_deleted_one_never_again(
    start: Callable[..., Any],
    as_caller: Any,
    eventually: Callable[..., Any],
    unique: Callable[[str], str],
) -> None:
    sandbox = start("--time-scale", "0.2")
    owner = sandbox.owner
    bucket = owner.bucket("late-bucket")
    bucket.create_bucket()
    key = user_key(owner, unique, {"Effect": "Allow", "Action": "oss:*", "Resource": "*"})
    user = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    mine = user.bucket("late-bucket")
    assert refused(mine.get_bucket_info) == (403, "InvalidAccessKeyId")
    begun = time.monotonic()
    eventually(mine.get_bucket_info)
    assert time.monotonic() - begun > 0.2
    name = user.call("sts", "GetCallerIdentity")["Arn"].rpartition("/")[2]
    owner.call("ram", "DeleteAccessKey", UserName=name, UserAccessKeyId=user.key_id)
    assert refused(mine.get_bucket_info) == (403, "InvalidAccessKeyId")


def test_a_new_attachment_reaches_oss_late(
    start: Callable[..., Any],
    as_caller: Any,
    eventually: Callable[..., Any],
    unique: Callable[[str], str],
) -> None:
    sandbox = start("--time-scale", "0.2")
    owner = sandbox.owner
    owner.bucket("late-bucket").create_bucket()
    key = user_key(owner, unique)
    user = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    mine = user.bucket("late-bucket")

    def known() -> bool:
        return refused(mine.get_bucket_info) == (403, "AccessDenied")

    eventually(known)
    name = user.call("sts", "GetCallerIdentity")["Arn"].rpartition("/")[2]
    system = {"PolicyType": "System", "PolicyName": "AliyunOSSFullAccess"}
    owner.call("ram", "AttachPolicyToUser", UserName=name, **system)
    assert refused(mine.get_bucket_info) == (403, "AccessDenied")
    eventually(mine.get_bucket_info)


def test_wrong_signatures_times_and_keys_are_refused(
    owner: Any, as_caller: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket.bucket_name
    for auth in (oss2.AuthV4, oss2.Auth):
        wrong = as_caller(owner.url, secret="wrong").bucket(name, auth)
        assert refused(wrong.get_bucket_info) == (403, "SignatureDoesNotMatch")
        nobody = as_caller(owner.url, key_id="nobody").bucket(name, auth)
        assert refused(nobody.get_bucket_info) == (403, "InvalidAccessKeyId")
    for region, refusal in (("cn-beijing", 403), ("mars-1", 400)):
        auth = oss2.AuthV4(owner.key_id, owner.secret)
        elsewhere = oss2.Bucket(auth, owner.url, name, region=region)
        assert refused(elsewhere.get_bucket_info)[0] == refusal
    assert requests.get(f"{owner.url}/{name}/?acl", timeout=10).status_code == 403
    odd = requests.get(f"{owner.url}/{name}/", headers={"Authorization": "OSS what"}, timeout=10)
    assert odd.status_code == 400
    real = time.time
    late = owner.bucket(name, oss2.Auth)
    monkeypatch.setattr(oss2.utils.time, "time", lambda: real() - 1000)
    assert refused(late.get_bucket_info) == (403, "RequestTimeTooSkewed")


def test_signature_version_1_can_be_refused(start: Callable[..., Any]) -> None:
    owner = start("--time-scale", "0", "--no-signature-v1").owner
    owner.bucket("modern-bucket").create_bucket()
    old = owner.bucket("modern-bucket", oss2.Auth)
    with pytest.raises(ServerError) as caught:
        old.get_bucket_info()
    assert caught.value.status == 403
    assert caught.value.ec == "0002-00000080"
