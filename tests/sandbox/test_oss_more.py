"""Storage classes, restoring, links, web forms and lifecycle rules, with SDKs and plain HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
import requests
from oss2 import models
from refusals import refused
from waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_buckets_are_listed_by_tag(owner: Any, unique: Callable[[str], str]) -> None:
    prefix, value = unique("tagged-"), unique("v")
    for number in range(3):
        made = owner.bucket(f"{prefix}-{number}")
        made.create_bucket()
        rule = models.TaggingRule()
        rule.add("owner", value if number else "other")
        made.put_bucket_tagging(models.Tagging(rule))
    service = oss2.Service(oss2.AuthV4(owner.key_id, owner.secret), owner.url, region="cn-hangzhou")

    def names(**more: Any) -> list[str]:
        return [one.name for one in service.list_buckets(**more).buckets]

    mine = {"tag-key": "owner", "tag-value": value}
    assert names(params=mine) == [f"{prefix}-1", f"{prefix}-2"]
    assert names(params=mine, max_keys=1) == [f"{prefix}-1"]
    assert names(params={"tag-key": "owner"}, prefix=prefix) == [f"{prefix}-{n}" for n in range(3)]
    assert refused(names, params={"tag-value": value}) == (400, "InvalidArgument")


def test_a_bucket_is_in_the_region_whose_endpoint_made_it(
    owner: Any, unique: Callable[[str], str]
) -> None:
    name = unique("far-")
    auth = oss2.AuthV4(owner.key_id, owner.secret)
    far = oss2.Bucket(auth, owner.url, name, region="eu-central-1")
    far.create_bucket()
    far.put_object("x", b"1")
    assert far.get_bucket_location().location == "oss-eu-central-1"
    near = owner.bucket(name)
    assert refused(near.get_object, "x") == (403, "AccessDenied")
    assert refused(near.create_bucket) == (409, "BucketAlreadyExists")
    service = oss2.Service(auth, owner.url, region="cn-hangzhou")
    (listed,) = service.list_buckets(prefix=name).buckets
    assert (listed.location, listed.region) == ("oss-eu-central-1", "eu-central-1")
    far.delete_object("x")
    far.delete_bucket()


def test_an_object_has_its_own_storage_class_or_its_buckets(
    owner: Any, unique: Callable[[str], str]
) -> None:
    made = owner.bucket(unique("cool-"))
    made.create_bucket(input=models.BucketCreateConfig("IA"))
    made.put_object("a", b"1")
    made.put_object("b", b"1", headers={"x-oss-storage-class": "Standard"})
    made.append_object("c", 0, b"1")
    upload = made.init_multipart_upload("d").upload_id
    part = made.upload_part("d", upload, 1, b"1")
    made.complete_multipart_upload("d", upload, [models.PartInfo(1, part.etag)])
    listed = {one.key: one.storage_class for one in made.list_objects_v2().object_list}
    assert listed == {"a": "IA", "b": "Standard", "c": "IA", "d": "IA"}
    assert made.head_object("a").headers["x-oss-storage-class"] == "IA"
    made.copy_object(made.bucket_name, "b", "b", headers={"x-oss-storage-class": "Archive"})
    assert made.head_object("b").headers["x-oss-storage-class"] == "Archive"
    wrong = {"x-oss-storage-class": "Frozen"}
    assert refused(made.put_object, "x", b"", headers=wrong) == (400, "InvalidArgument")


def test_what_is_archived_is_restored_before_it_is_read(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0.02")
    mine = sandbox.owner.bucket("cold-bucket")
    mine.create_bucket(input=models.BucketCreateConfig("Archive"))
    mine.put_object("x", b"old")
    assert refused(mine.get_object, "x") == (403, "InvalidObjectState")
    assert refused(mine.copy_object, "cold-bucket", "x", "y") == (403, "InvalidObjectState")
    assert mine.head_object("x").content_length == 3
    assert mine.restore_object("x").status == 202
    assert refused(mine.restore_object, "x") == (409, "RestoreAlreadyInProgress")
    assert mine.head_object("x").headers["x-oss-restore"] == 'ongoing-request="true"'
    eventually(lambda: "false" in mine.head_object("x").headers["x-oss-restore"])
    assert mine.get_object("x").read() == b"old"
    config = models.RestoreConfiguration(days=2)
    assert mine.restore_object("x", input=config).status == 200
    mine.copy_object("cold-bucket", "x", "y", headers={"x-oss-storage-class": "Standard"})
    assert mine.get_object("y").read() == b"old"
    assert refused(mine.restore_object, "y") == (400, "OperationNotSupported")
    deep = {"x-oss-storage-class": "ColdArchive"}
    mine.put_object("z", b"", headers=deep)
    bulk = models.RestoreConfiguration(2, models.RestoreJobParameters("Bulk"))
    assert mine.restore_object("z", input=bulk).status == 202
    assert refused(mine.get_object, "z") == (403, "InvalidObjectState")


def test_a_link_stands_for_its_target(bucket: Any, client: oss_v2.Client) -> None:
    bucket.put_object("dir/täget", b"content", headers={"Content-Type": "text/plain"})
    bucket.put_symlink("dir/täget", "link", headers={"x-oss-meta-who": "me"})
    found = bucket.get_symlink("link")
    assert found.target_key == "dir/täget"
    got = bucket.get_object("link")
    assert got.read() == b"content"
    assert (got.headers["x-oss-meta-who"], got.content_type) == ("me", "text/plain")
    head = bucket.head_object("link")
    assert (head.object_type, head.content_length) == ("Symlink", 7)
    (listed,) = bucket.list_objects(prefix="link").object_list
    assert (listed.type, listed.size) == ("Symlink", 0)
    assert refused(bucket.get_symlink, "dir/täget") == (400, "NotSymlink")
    bucket.put_symlink("link", "link2")
    assert refused(bucket.get_object, "link2") == (400, "InvalidTargetType")
    bucket.delete_object("dir/täget")
    assert refused(bucket.get_object, "link") == (404, "SymlinkTargetNotExist")
    request = oss_v2.PutSymlinkRequest(
        bucket=bucket.bucket_name, key="v2", symlink_target="other", forbid_overwrite="true"
    )
    client.put_symlink(request)
    with pytest.raises(oss_v2.exceptions.OperationError, match="FileAlreadyExists"):
        client.put_symlink(request)
    read = oss_v2.GetSymlinkRequest(bucket=bucket.bucket_name, key="v2")
    assert client.get_symlink(read).target == "other"


def form_policy(bucket: str, *conditions: Any, minutes: float = 5) -> str:
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    policy = {
        "expiration": until.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "conditions": [{"bucket": bucket}, *conditions],
    }
    return base64.b64encode(json.dumps(policy).encode()).decode()


def version_4(owner: Any, policy: str) -> dict[str, str]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/cn-hangzhou/oss/aliyun_v4_request"
    key = f"aliyun_v4{owner.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return {
        "policy": policy,
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": f"{owner.key_id}/{scope}",
        "x-oss-date": stamp,
        "x-oss-signature": hmac.new(key, policy.encode(), hashlib.sha256).hexdigest(),
    }


def version_1(owner: Any, policy: str) -> dict[str, str]:
    digest = hmac.new(owner.secret.encode(), policy.encode(), hashlib.sha1).digest()
    signature = base64.b64encode(digest).decode()
    return {"policy": policy, "OSSAccessKeyId": owner.key_id, "Signature": signature}


@pytest.fixture
def post(owner: Any, bucket: Any) -> Iterator[Callable[..., requests.Response]]:
    """Return a function that sends a form as a browser does."""
    with requests.Session() as session:
        session.trust_env = False

        def send(fields: dict[str, str], content: bytes = b"a\r\n--b\0") -> requests.Response:
            files = {"file": ("ä b.txt", content, "text/plain")}
            url = f"{owner.inside}/{bucket.bucket_name}"
            return session.post(url, data=fields, files=files, timeout=10, allow_redirects=False)

        yield send


@pytest.mark.parametrize("sign", [version_1, version_4])
def test_a_web_form_uploads_an_object(
    owner: Any, bucket: Any, post: Callable[..., requests.Response], sign: Callable[..., Any]
) -> None:
    conditions = (["starts-with", "$key", "up/"], ["content-length-range", 1, 10])
    signed = sign(owner, form_policy(bucket.bucket_name, *conditions))
    answer = post({**signed, "key": "up/x", "x-oss-meta-who": "me", "content-type": "text/css"})
    assert answer.status_code == 204, answer.text
    got = bucket.get_object("up/x")
    assert got.read() == b"a\r\n--b\0"
    assert (got.headers["x-oss-meta-who"], got.content_type) == ("me", "text/css")
    created = post({**signed, "key": "up/y", "success_action_status": "201"})
    assert created.status_code == 201
    assert "<Key>up/y</Key>" in created.text
    there = post({**signed, "key": "up/z", "success_action_redirect": "http://example.com/"})
    assert (there.status_code, there.headers["location"]) == (303, "http://example.com/")
    assert post({**signed, "key": "down/x"}).status_code == 403
    assert "Condition failed" in post({**signed, "key": "up/x"}, b"0123456789a").text
    assert post(signed).status_code == 400
    late = sign(owner, form_policy(bucket.bucket_name, minutes=-1))
    assert "expired" in post({**late, "key": "up/x"}).text
    forged = {**signed, "policy": form_policy(bucket.bucket_name), "key": "up/x"}
    assert "SignatureDoesNotMatch" in post(forged).text
    elsewhere = sign(owner, form_policy("other-bucket"))
    assert post({**elsewhere, "key": "up/x"}).status_code == 403
    assert "InvalidPolicyDocument" in post({**sign(owner, "e30="), "key": "up/x"}).text


def test_a_form_without_a_policy_needs_a_public_bucket(
    bucket: Any, post: Callable[..., requests.Response]
) -> None:
    assert post({"key": "x"}).status_code == 403
    bucket.put_bucket_public_access_block(False)
    bucket.put_bucket_acl("public-read-write")
    assert post({"key": "up/${filename}"}).status_code == 204
    assert [one.key for one in bucket.list_objects().object_list] == ["up/ä b.txt"]


def rule(name: str, prefix: str, **more: Any) -> models.LifecycleRule:
    return models.LifecycleRule(name, prefix, **more)


def test_lifecycle_rules_act(start: Callable[..., Any]) -> None:
    # A day takes 0.86 seconds.
    sandbox = start("--time-scale", "0.00001")
    mine = sandbox.owner.bucket("aging-bucket")
    mine.create_bucket()
    for key in ("tmp/a", "logs/b", "keep/c"):
        mine.put_object(key, b"1")
    mine.init_multipart_upload("tmp/upload")
    rules = [
        rule(
            "r1",
            "tmp/",
            expiration=models.LifecycleExpiration(2),
            abort_multipart_upload=models.AbortMultipartUpload(1),
        ),
        rule(
            "r2",
            "logs/",
            storage_transitions=[
                models.StorageTransition(1, storage_class="IA"),
                models.StorageTransition(3, storage_class="Archive"),
            ],
        ),
        models.LifecycleRule(
            "r3", "keep/", status="Disabled", expiration=models.LifecycleExpiration(1)
        ),
    ]
    mine.put_bucket_lifecycle(models.BucketLifecycle(rules))
    seen: list[str] = []

    def storage_class() -> str:
        found = str(mine.head_object("logs/b").headers["x-oss-storage-class"])
        if found not in seen:
            seen.append(found)
        return found

    eventually(lambda: storage_class() == "Archive")
    assert seen == ["Standard", "IA", "Archive"]
    assert [one.key for one in mine.list_objects().object_list] == ["keep/c", "logs/b"]
    assert mine.list_multipart_uploads().upload_list == []


def test_old_versions_expire_and_lonely_markers_go(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0.00001")
    mine = sandbox.owner.bucket("versions-bucket")
    mine.create_bucket()
    mine.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    for key in ("x", "x", "y"):
        mine.put_object(key, b"1")
    mine.delete_object("y")
    expiry = models.LifecycleExpiration(expired_detete_marker=True)
    noncurrent = models.NoncurrentVersionExpiration(1)
    made = models.LifecycleRule(
        "r", "", expiration=expiry, noncurrent_version_expiration=noncurrent
    )
    mine.put_bucket_lifecycle(models.BucketLifecycle([made]))

    def left() -> list[str]:
        found = mine.list_object_versions()
        return [one.key for one in (*found.versions, *found.delete_marker)]

    assert sorted(left()) in (["x", "x", "y", "y"], ["x", "y"], ["x"])
    eventually(lambda: left() == ["x"])
    assert mine.get_object("x").read() == b"1"


def test_a_rule_with_a_tag_concerns_what_has_it(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0")
    mine = sandbox.owner.bucket("tagging-bucket")
    mine.create_bucket()
    mine.put_object("a", b"1", headers={"x-oss-tagging": "temporary=yes"})
    mine.put_object("b", b"1")
    tags = models.Tagging(models.TaggingRule())
    tags.tag_set.add("temporary", "yes")
    made = models.LifecycleRule("r", "", expiration=models.LifecycleExpiration(1), tagging=tags)
    mine.put_bucket_lifecycle(models.BucketLifecycle([made]))
    assert [one.key for one in mine.list_objects().object_list] == ["b"]


def test_what_is_retained_cannot_be_deleted(sandbox: Any, bucket: Any) -> None:
    bucket.put_object("x", b"1")
    assert refused(bucket.get_bucket_worm) == (404, "NoSuchWORMConfiguration")
    assert refused(lambda: bucket.init_bucket_worm(0)) == (400, "InvalidArgument")
    policy = bucket.init_bucket_worm(70).worm_id
    found = bucket.get_bucket_worm()
    assert (found.worm_id, found.retention_period_days) == (policy, 70)
    sandbox.control("PUT", "settings", {"time_scale": 1})
    assert refused(lambda: bucket.delete_object("x")) == (409, "FileImmutable")
    assert bucket.batch_delete_objects(["x", "other"]).deleted_keys == ["other"]
    sandbox.control("PUT", "settings", {"time_scale": 0})  # days are over at once
    assert bucket.batch_delete_objects(["x"]).deleted_keys == ["x"]
    bucket.abort_bucket_worm()
    bucket.delete_bucket()
