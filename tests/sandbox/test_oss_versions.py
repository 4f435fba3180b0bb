"""Versions, copies, appended objects, signed URLs and conditions, with both SDKs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
import requests
from oss2 import models
from refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable

ODD_KEY = "a/b c+ä&<>%2F.txt"


@pytest.fixture
def versioned(bucket: Any) -> Any:
    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    return bucket


def versions(bucket: Any, **where: Any) -> list[tuple[str, str, bool, bool]]:
    """Return key, version, whether it is the latest and a marker, page by page, as listed."""
    found: list[tuple[str, str, bool, bool]] = []
    key, version = "", ""
    while True:
        page = bucket.list_object_versions(key_marker=key, versionid_marker=version, **where)
        listed = [(one, False) for one in page.versions] + [
            (one, True) for one in page.delete_marker
        ]
        found += [(one.key, one.versionid, one.is_latest, marker) for one, marker in listed]
        if not page.is_truncated:
            return found
        key, version = page.next_key_marker, page.next_versionid_marker


def get(bucket: Any, key: str, version: str) -> bytes:
    content: bytes = bucket.get_object(key, params={"versionId": version}).read()
    return content


def test_old_versions_stay_until_they_are_deleted(versioned: Any) -> None:
    one, two = (versioned.put_object("x", text).versionid for text in ("1", "2"))
    assert versioned.get_object("x").read() == b"2"
    assert get(versioned, "x", one) == b"1"
    marker = versioned.delete_object("x")
    assert marker.delete_marker
    assert refused(versioned.get_object, "x") == (404, "NoSuchKey")
    assert versioned.list_objects().object_list == []
    assert get(versioned, "x", two) == b"2"
    assert versions(versioned) == [
        ("x", two, False, False),
        ("x", one, False, False),
        ("x", marker.versionid, True, True),
    ]
    assert refused(get, versioned, "x", marker.versionid) == (405, "MethodNotAllowed")
    assert refused(versioned.delete_bucket) == (409, "BucketNotEmpty")
    versioned.delete_object("x", params={"versionId": marker.versionid})
    assert versioned.get_object("x").read() == b"2"
    versioned.delete_object("x", params={"versionId": two})
    assert versioned.get_object("x").read() == b"1"
    assert refused(get, versioned, "x", two) == (404, "NoSuchVersion")
    versioned.delete_object("x", params={"versionId": one})
    assert versions(versioned) == []
    versioned.delete_bucket()


def test_a_suspended_bucket_overwrites_the_version_null_only(versioned: Any) -> None:
    old = versioned.put_object("x", "old").versionid
    versioned.put_bucket_versioning(models.BucketVersioningConfig("Suspended"))
    for text in ("a", "b"):
        assert versioned.put_object("x", text).versionid == "null"
    assert [(one[1], one[2]) for one in versions(versioned)] == [("null", True), (old, False)]
    assert versioned.delete_object("x").versionid == "null"
    assert sorted(one[1:] for one in versions(versioned)) == sorted(
        [(old, False, False), ("null", True, True)]
    )
    assert get(versioned, "x", old) == b"old"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lists_of_versions_have_pages(versioned: Any, size: int) -> None:
    for key in ("a", "b/1", "b/2", "c"):
        for text in ("1", "2", "3"):
            versioned.put_object(key, text)
    versioned.delete_object("a")
    found = versions(versioned, max_keys=size)
    assert len(found) == len(set(found)) == 13
    assert sum(one[2] for one in found) == 4
    assert {one[0] for one in versions(versioned, max_keys=size, prefix="b/")} == {"b/1", "b/2"}
    page = versioned.list_object_versions(delimiter="/")
    assert page.common_prefix == ["b/"]
    listed = models.BatchDeleteObjectVersionList(
        [models.BatchDeleteObjectVersion(one[0], one[1]) for one in found]
    )
    assert len(versioned.delete_object_versions(listed).delete_versions) == 13
    versioned.delete_bucket()


def test_objects_are_copied(owner: Any, bucket: Any, unique: Callable[[str], str]) -> None:
    other = owner.bucket(unique("other-"))
    other.create_bucket()
    headers = {"Content-Type": "text/plain", "x-oss-meta-who": "me", "x-oss-tagging": "a=b"}
    bucket.put_object(ODD_KEY, b"content", headers=headers)
    other.copy_object(bucket.bucket_name, ODD_KEY, ODD_KEY)
    bucket.delete_object(ODD_KEY)
    copy = other.get_object(ODD_KEY)
    assert (copy.read(), copy.content_type) == (b"content", "text/plain")
    assert copy.headers["x-oss-meta-who"] == "me"
    assert other.get_object_tagging(ODD_KEY).tag_set.tagging_rule == {"a": "b"}
    anew = {"x-oss-metadata-directive": "REPLACE", "x-oss-meta-who": "you"}
    other.copy_object(other.bucket_name, ODD_KEY, ODD_KEY, headers=anew)
    assert other.head_object(ODD_KEY).headers["x-oss-meta-who"] == "you"
    assert other.get_object(ODD_KEY).read() == b"content"
    assert refused(bucket.copy_object, bucket.bucket_name, "nope", "x") == (404, "NoSuchKey")
    other.delete_object_tagging(ODD_KEY)
    assert other.get_object_tagging(ODD_KEY).tag_set.tagging_rule == {}


def test_parts_are_copied(bucket: Any) -> None:
    content = b"a" * 102_400 + b"b" * 102_400
    bucket.put_object("from", content)
    upload = bucket.init_multipart_upload("to").upload_id
    parts = [
        models.PartInfo(
            number,
            bucket.upload_part_copy(
                bucket.bucket_name, "from", (first, first + 102_399), "to", upload, number
            ).etag,
        )
        for number, first in ((1, 102_400), (2, 0))
    ]
    bucket.complete_multipart_upload("to", upload, parts)
    assert bucket.get_object("to").read() == content[102_400:] + content[:102_400]


def test_objects_grow_where_they_end(bucket: Any) -> None:
    first = bucket.append_object("log", 0, b"one ")
    assert first.next_position == 4
    bucket.append_object("log", first.next_position, b"two", init_crc=first.crc)
    assert bucket.get_object("log").read() == b"one two"
    assert bucket.head_object("log").object_type == "Appendable"
    code = refused(bucket.append_object, "log", 0, b"x")
    assert code == (409, "PositionNotEqualToLength")
    bucket.put_object("fixed", b"")
    assert refused(bucket.append_object, "fixed", 0, b"x") == (409, "ObjectNotAppendable")


def test_checksums_are_those_that_the_sdk_computes(bucket: Any) -> None:
    content = bytes(range(256)) * 1000
    put = bucket.put_object("x", content)
    assert put.headers["x-oss-hash-crc64ecma"] == str(put.crc)
    checksum = oss2.utils.Crc64()
    checksum.update(content)
    assert bucket.head_object("x").headers["x-oss-hash-crc64ecma"] == str(checksum.crc)
    got = bucket.get_object("x")
    assert got.read() == content
    assert got.client_crc == got.server_crc


@pytest.mark.parametrize("auth", [oss2.AuthV4, oss2.Auth])
def test_signed_urls_open_what_they_name_and_only_for_a_while(
    owner: Any, as_caller: Any, bucket: Any, auth: type
) -> None:
    mine = owner.bucket(bucket.bucket_name, auth)
    url = mine.sign_url("PUT", ODD_KEY, 60, slash_safe=True)
    assert requests.put(url, data=b"content", timeout=10).status_code == 200
    params = {"response-content-type": "text/x-test"}
    url = mine.sign_url("GET", ODD_KEY, 60, params=params, slash_safe=True)
    answer = requests.get(url, timeout=10)
    assert (answer.content, answer.headers["content-type"]) == (b"content", "text/x-test")
    assert requests.put(url, data=b"other", timeout=10).status_code == 403
    assert requests.get(url.replace("b%20c", "bc"), timeout=10).status_code == 403
    assert requests.get(url.replace("text%2Fx-test", "text%2Fhtml"), timeout=10).status_code == 403
    wrong = as_caller(owner.url, secret="wrong").bucket(bucket.bucket_name, auth)
    url = wrong.sign_url("GET", ODD_KEY, 60, slash_safe=True)
    assert requests.get(url, timeout=10).status_code == 403


def test_signed_urls_expire(owner: Any, bucket: Any, eventually: Callable[..., Any]) -> None:
    bucket.put_object("x", b"1")
    for auth in (oss2.AuthV4, oss2.Auth):
        mine = owner.bucket(bucket.bucket_name, auth)
        url = mine.sign_url("GET", "x", 1)
        assert requests.get(url, timeout=10).status_code == 200
        eventually(lambda url=url: requests.get(url, timeout=10).status_code == 403)
    assert bucket.object_exists("x")


def test_signed_urls_of_version_1_can_be_refused(start: Callable[..., Any]) -> None:
    owner = start("--time-scale", "0", "--no-signature-v1").owner
    owner.bucket("modern-bucket").create_bucket()
    url = owner.bucket("modern-bucket", oss2.Auth).sign_url("GET", "x", 60)
    assert "0002-00000080" in requests.get(url, timeout=10).text


def test_a_prefix_condition_limits_lists(
    owner: Any, as_caller: Any, bucket: Any, unique: Callable[[str], str]
) -> None:
    name = unique("u")
    resource = f"acs:oss:*:*:{bucket.bucket_name}"
    lists = {
        "Effect": "Allow",
        "Action": ["oss:ListObjects", "oss:ListObjectVersions"],
        "Resource": [resource],
        "Condition": {
            "StringLike": {"oss:Prefix": ["a/*"]},
            "StringEquals": {"oss:Delimiter": "/"},
        },
    }
    document = json.dumps({"Version": "1", "Statement": [lists]})
    owner.call("ram", "CreateUser", UserName=name)
    owner.call("ram", "CreatePolicy", PolicyName=name, PolicyDocument=document)
    owner.call("ram", "AttachPolicyToUser", UserName=name, PolicyName=name, PolicyType="Custom")
    key = owner.call("ram", "CreateAccessKey", UserName=name)["AccessKey"]
    mine = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"]).bucket(
        bucket.bucket_name
    )
    for call in (mine.list_objects, mine.list_objects_v2, mine.list_object_versions):
        assert call(prefix="a/", delimiter="/").status == 200
        assert call(prefix="a/b/", delimiter="/").status == 200
        for wrong in ({"prefix": "a/"}, {"prefix": "b/", "delimiter": "/"}, {"delimiter": "/"}):
            assert refused(call, **wrong) == (403, "AccessDenied")


def test_conditional_requests_are_answered(bucket: Any) -> None:
    etag = bucket.put_object("x", b"1").etag
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("x", headers={"If-None-Match": f'"{etag}"'})
    code = refused(bucket.get_object, "x", headers={"If-Match": '"other"'})
    assert code == (412, "PreconditionFailed")
    assert bucket.get_object("x", headers={"If-Match": f'"{etag}"'}).read() == b"1"


def test_web_page_rules_are_kept(bucket: Any) -> None:
    with pytest.raises(oss2.exceptions.NoSuchCors):
        bucket.get_bucket_cors()
    rule = models.CorsRule(["https://example.com"], ["GET"], ["*"], [], 5)
    bucket.put_bucket_cors(models.BucketCors([rule]))
    assert bucket.get_bucket_cors().rules[0].max_age_seconds == 5
    bucket.delete_bucket_cors()


def test_versions_and_contents_survive_a_kill(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0")
    bucket = sandbox.owner.bucket("kept-bucket")
    bucket.create_bucket()
    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    old = bucket.put_object("x", b"old").versionid
    bucket.put_object("x", b"new")
    bucket.put_object("y", b"y")
    bucket.delete_object("y")
    before = versions(bucket)
    sandbox.kill_and_restart()
    assert versions(bucket) == before
    assert get(bucket, "x", old) == b"old"
    assert bucket.get_object("x").read() == b"new"


def test_a_bucket_is_filled_at_once(sandbox: Any, bucket: Any) -> None:
    filling = {"bucket": bucket.bucket_name, "objects": 3, "old_versions": 2, "uploads": 4}
    sandbox.control("POST", "objects", filling)
    assert len(bucket.list_objects().object_list) == 3
    assert len(versions(bucket)) == 9
    assert len(bucket.list_multipart_uploads().upload_list) == 4
    body = {"bucket": "no-such-bucket"}
    assert requests.post(f"{sandbox.url}/sandbox/objects", json=body, timeout=9).status_code == 404


def test_the_new_sdk_does_its_ordinary_work(
    client: oss_v2.Client, unique: Callable[[str], str], tmp_path: Path
) -> None:
    name = unique("v2-")
    client.put_bucket(oss_v2.PutBucketRequest(bucket=name))
    client.put_object(oss_v2.PutObjectRequest(bucket=name, key=ODD_KEY, body=b"content"))
    got = client.get_object(oss_v2.GetObjectRequest(bucket=name, key=ODD_KEY))
    assert got.body is not None
    assert got.body.content == b"content"
    client.copy_object(oss_v2.CopyObjectRequest(bucket=name, key="copy", source_key=ODD_KEY))
    position = 0
    for text in (b"one", b"two"):
        appended = client.append_object(
            oss_v2.AppendObjectRequest(bucket=name, key="log", position=position, body=text)
        )
        position = appended.next_position or 0
    content = b"0123456789" * 40_000
    big = oss_v2.PutObjectRequest(bucket=name, key="big")
    client.uploader(part_size=102_400).upload_from(big, io.BytesIO(content))
    file = tmp_path / "big"
    wanted = oss_v2.GetObjectRequest(bucket=name, key="big")
    client.downloader(part_size=102_400).download_file(wanted, str(file))
    assert file.read_bytes() == content
    signed = client.presign(oss_v2.GetObjectRequest(bucket=name, key=ODD_KEY))
    assert signed.url is not None
    assert requests.get(signed.url, timeout=10).content == b"content"
    pages = client.list_objects_v2_paginator(limit=2).iter_page(
        oss_v2.ListObjectsV2Request(bucket=name)
    )
    keys = [one.key for page in pages for one in page.contents or []]
    assert keys == [ODD_KEY, "big", "copy", "log"]
    client.delete_multiple_objects(
        oss_v2.DeleteMultipleObjectsRequest(
            bucket=name, objects=[oss_v2.DeleteObject(key=key) for key in keys]
        )
    )
    client.delete_bucket(oss_v2.DeleteBucketRequest(bucket=name))


def test_an_object_s_own_acl_goes_before_the_bucket_s(bucket: Any) -> None:
    public = {"x-oss-object-acl": "public-read"}
    assert refused(bucket.put_object, "x", b"1", headers=public) == (403, "AccessDenied")
    bucket.put_object("x", b"1")
    assert bucket.get_object_acl("x").acl == "default"
    url = f"{bucket.endpoint}/{bucket.bucket_name}/x"
    assert requests.get(url, timeout=10).status_code == 403
    assert refused(bucket.put_object_acl, "x", "public-read") == (403, "AccessDenied")
    bucket.put_bucket_public_access_block(block_public_access=False)
    bucket.put_object_acl("x", "public-read")
    assert requests.get(url, timeout=10).content == b"1"
    bucket.put_bucket_acl("public-read")
    bucket.put_object_acl("x", "private")
    assert requests.get(url, timeout=10).status_code == 403
    bucket.put_object_acl("x", "default")
    assert requests.get(url, timeout=10).content == b"1"
    bucket.put_bucket_public_access_block(block_public_access=True)
    assert requests.get(url, timeout=10).status_code == 403
