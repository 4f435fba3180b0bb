"""OSS with oss2: buckets, objects, ownership, policies and signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import oss2
import pytest
from oss2 import models
from refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable

ODD_KEY = "a/b c+ä&<>%2F.txt"


@pytest.mark.parametrize("auth", [oss2.AuthV4, oss2.Auth])
def test_a_bucket_lives(owner: Any, unique: Callable[[str], str], auth: type) -> None:
    name = unique("bucket-")
    mine = owner.bucket(name, auth)
    assert mine.create_bucket(
        input=models.BucketCreateConfig("IA", oss2.BUCKET_DATA_REDUNDANCY_TYPE_ZRS)
    ).request_id
    info = mine.get_bucket_info()
    assert (info.name, info.storage_class, info.data_redundancy_type) == (name, "IA", "ZRS")
    assert info.acl.grant == "private"
    assert info.owner.id == owner.call("sts", "GetCallerIdentity")["AccountId"]
    assert mine.get_bucket_location().location == "oss-cn-hangzhou"
    mine.put_object("x", b"12345")
    stat = mine.get_bucket_stat()
    assert (stat.object_count, stat.storage_size_in_bytes) == (1, 5)
    assert refused(mine.delete_bucket) == (409, "BucketNotEmpty")
    mine.delete_object("x")
    upload = mine.init_multipart_upload("x").upload_id
    assert refused(mine.delete_bucket) == (409, "BucketNotEmpty")
    mine.abort_multipart_upload("x", upload)
    assert mine.delete_bucket().status == 204
    assert refused(mine.get_bucket_info) == (404, "NoSuchBucket")


def test_buckets_are_listed(owner: Any, unique: Callable[[str], str]) -> None:
    prefix = unique("l-")
    for n in range(3):
        owner.bucket(f"{prefix}-{n}").create_bucket()
    service = oss2.Service(oss2.AuthV4(owner.key_id, owner.secret), owner.url, region="cn-hangzhou")
    listed = service.list_buckets(prefix=prefix, max_keys=2)
    assert [one.name for one in listed.buckets] == [f"{prefix}-0", f"{prefix}-1"]
    rest = service.list_buckets(prefix=prefix, marker=listed.next_marker)
    assert [one.name for one in rest.buckets] == [f"{prefix}-2"]
    assert not rest.is_truncated


@pytest.mark.parametrize("name", ["no-such-bucket-yet-", "-ab", "ab", "a" * 64, "abc-"])
def test_bad_bucket_names_are_refused(owner: Any, name: str) -> None:
    # oss2 would refuse them itself, so the name is set behind its back.
    mine = owner.bucket("fine-name")
    mine.bucket_name = name
    assert refused(mine.create_bucket) == (400, "InvalidBucketName")


def test_creating_ones_own_bucket_again_changes_its_acl_only(bucket: Any) -> None:
    assert bucket.create_bucket().status == 200
    other = models.BucketCreateConfig("Archive")
    assert refused(bucket.create_bucket, input=other) == (409, "BucketAlreadyExists")
    zrs = models.BucketCreateConfig("Standard", oss2.BUCKET_DATA_REDUNDANCY_TYPE_ZRS)
    assert refused(bucket.create_bucket, input=zrs) == (409, "BucketAlreadyExists")


def test_the_bucket_quota_is_kept(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0")
    sandbox.control("PUT", "settings", {"bucket_quota": 1})
    sandbox.owner.bucket("first-bucket").create_bucket()
    second = sandbox.owner.bucket("second-bucket")
    assert refused(second.create_bucket) == (400, "TooManyBuckets")


def test_setting_an_acl_creates_a_missing_bucket(owner: Any, unique: Callable[[str], str]) -> None:
    mine = owner.bucket(unique("typo-"))
    mine.put_bucket_acl(oss2.BUCKET_ACL_PRIVATE)
    assert mine.get_bucket_info().acl.grant == "private"


def test_objects_keep_content_headers_and_odd_names(bucket: Any) -> None:
    headers = {"Content-Type": "text/plain", "x-oss-meta-who": "me", "Cache-Control": "no-cache"}
    put = bucket.put_object(ODD_KEY, "grüße".encode(), headers=headers)
    got = bucket.get_object(ODD_KEY)
    assert got.read().decode() == "grüße"
    assert got.etag == put.etag
    assert (got.content_type, got.headers["x-oss-meta-who"]) == ("text/plain", "me")
    assert got.headers["cache-control"] == "no-cache"
    head = bucket.head_object(ODD_KEY)
    assert head.content_length == len("grüße".encode())
    assert bucket.object_exists(ODD_KEY)
    assert not bucket.object_exists("other")
    assert [one.key for one in bucket.list_objects().object_list] == [ODD_KEY]
    assert bucket.get_object(ODD_KEY, byte_range=(2, 3)).read() == "grüße".encode()[2:4]
    assert refused(bucket.get_object, "other") == (404, "NoSuchKey")
    assert refused(bucket.get_object, ODD_KEY, byte_range=(100, 200))[0] == 416
    bucket.put_object(ODD_KEY, b"", headers={"Content-Type": "text/plain"})
    assert bucket.get_object(ODD_KEY).read() == b""
    wrong = {"Content-MD5": "rL0Y20zC+Fzt72VPzMSk2A=="}
    assert refused(bucket.put_object, "y", b"x", headers=wrong) == (400, "BadDigest")
    bucket.delete_object(ODD_KEY)
    bucket.delete_object(ODD_KEY)
    assert bucket.list_objects().object_list == []


def test_replaced_and_deleted_contents_leave_no_files(sandbox: Any, bucket: Any) -> None:
    files = sandbox.directory / "objects"
    before = len(list(files.iterdir()))
    for _ in range(3):
        bucket.put_object("same", b"content")
    assert len(list(files.iterdir())) == before + 1
    bucket.delete_object("same")
    assert len(list(files.iterdir())) == before


@pytest.mark.parametrize("version", [1, 2])
def test_lists_have_prefixes_and_pages(bucket: Any, version: int) -> None:
    keys = ["a", "d/1", "d/2", "e/", "e/x y", "f"]
    for key in keys:
        bucket.put_object(key, b"1")
    iterator = oss2.ObjectIterator if version == 1 else oss2.ObjectIteratorV2
    assert [one.key for one in iterator(bucket, max_keys=2)] == keys
    assert [one.key for one in iterator(bucket, max_keys=1, delimiter="/")] == [
        "a",
        "d/",
        "e/",
        "f",
    ]
    inside = list(iterator(bucket, prefix="e/", delimiter="/"))
    assert [(one.key, one.is_prefix()) for one in inside] == [("e/", False), ("e/x y", False)]
    versions = bucket.list_object_versions()
    assert [one.key for one in versions.versions] == keys
    deleted = bucket.batch_delete_objects([*keys, "not there"])
    assert deleted.deleted_keys == [*keys, "not there"]
    assert bucket.list_objects_v2().object_list == []


def test_a_multipart_upload_becomes_one_object(bucket: Any) -> None:
    upload = bucket.init_multipart_upload("big", headers={"Content-Type": "text/plain"}).upload_id
    other = bucket.init_multipart_upload("big").upload_id
    content = [b"a" * 102_400, b"b" * 10]
    parts = [
        models.PartInfo(n, bucket.upload_part("big", upload, n, data).etag)
        for n, data in enumerate(content, 1)
    ]
    listed = bucket.list_multipart_uploads()
    assert {one.upload_id for one in listed.upload_list} == {upload, other}
    assert [part.size for part in bucket.list_parts("big", upload).parts] == [102_400, 10]
    wrong = [models.PartInfo(1, "0" * 32)]
    assert refused(bucket.complete_multipart_upload, "big", upload, wrong) == (400, "InvalidPart")
    done = bucket.complete_multipart_upload("big", upload, parts)
    assert done.etag.endswith("-2")
    assert bucket.get_object("big").read() == b"".join(content)
    middle = bucket.get_object("big", byte_range=(102_398, 102_401)).read()
    assert middle == b"aabb"
    assert refused(bucket.list_parts, "big", upload) == (404, "NoSuchUpload")
    bucket.upload_part("big", other, 1, b"x")
    bucket.upload_part("big", other, 2, b"y")
    small = [models.PartInfo(p.part_number, p.etag) for p in bucket.list_parts("big", other).parts]
    code = refused(bucket.complete_multipart_upload, "big", other, small)
    assert code == (400, "EntityTooSmall")
    bucket.abort_multipart_upload("big", other)
    assert bucket.list_multipart_uploads().upload_list == []


def test_configurations_are_kept(bucket: Any) -> None:
    assert bucket.get_bucket_versioning().status is None
    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    assert bucket.get_bucket_versioning().status == "Enabled"
    rule = models.TaggingRule()
    rule.add("who", "me & you")
    bucket.put_bucket_tagging(models.Tagging(rule))
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"who": "me & you"}
    bucket.delete_bucket_tagging()
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {}
    assert refused(bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")
    expiry = models.LifecycleExpiration(days=3)
    bucket.put_bucket_lifecycle(
        models.BucketLifecycle([models.LifecycleRule("r", "p/", expiration=expiry)])
    )
    assert bucket.get_bucket_lifecycle().rules[0].expiration.days == 3
    bucket.delete_bucket_lifecycle()
    code = (404, "NoSuchServerSideEncryptionRule")
    assert refused(bucket.get_bucket_encryption) == code
    bucket.put_bucket_encryption(models.ServerSideEncryptionRule(sse_algorithm="AES256"))
    assert bucket.get_bucket_encryption().sse_algorithm == "AES256"
    assert bucket.get_bucket_info().bucket_encryption_rule.sse_algorithm == "AES256"
    bucket.delete_bucket_encryption()
    assert refused(bucket.get_bucket_policy) == (404, "NoSuchBucketPolicy")
    assert refused(bucket.put_bucket_policy, "{}") == (400, "InvalidPolicyDocument")


def test_an_unknown_sub_resource_is_not_implemented(bucket: Any) -> None:
    assert refused(bucket.get_bucket_logging) == (501, "NotImplemented")
