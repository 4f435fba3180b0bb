"""Whole lives of buckets through oss2 and through the newer client: one reads what the other wrote.

The newer client reads strictly: an element of an answer that its models do not name is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
from oss_hands import Origin, Oss2, OssV2, Rule

TAGS = {"broker": "a b+c", "empty": "", "täg": "\u4e2d"}
RULE = Rule("one", "logs/", 30, 10, 3, 7)
ORIGIN = Origin(["https://a.example", "*.b.example"], ["GET", "PUT"], ["x-*"], ["etag"], 600)
STATEMENT = {
    "Effect": "Deny",
    "Action": ["oss:PutObject"],
    "Principal": ["1"],
    "Resource": ["acs:oss:*:*:*"],
}
ODD_KEYS = [
    "a/b c+d&e=f%20g.txt",
    "\u4e2d\u6587/ä\u0301\U0001f600",
    "quotes'\"<>`{}|\\^~[]",
    "dots/.hidden/.../..x",
    "two//slashes//",
    " blanks at both ends ",
    "?query#fragment;params",
    "tab\tnewline\nreturn\rbell\x07",
    "k" * 1023,
]
Pair = tuple[Oss2 | OssV2, Oss2 | OssV2]


@pytest.fixture(params=["oss2 writes", "the newer one writes"])
def pair(request: Any, owner: Any, client: oss_v2.Client, unique: Callable[[str], str]) -> Pair:
    """Return who writes and who reads, about a bucket that is not there."""
    name = unique("life-")
    service = oss2.Service(oss2.AuthV4(owner.key_id, owner.secret), owner.url, region="cn-hangzhou")
    old, new = Oss2(owner.bucket(name), service), OssV2(client, name)
    return (old, new) if request.param == "oss2 writes" else (new, old)


def test_what_is_set_on_a_bucket_is_read_back(pair: Pair) -> None:
    writer, reader = pair
    writer.create()
    writer.configure(TAGS, RULE, ORIGIN)
    for one in pair:
        assert one.settings() == {
            "info": ("IA", "ZRS", "private"),
            "places": (
                "oss-cn-hangzhou",
                "oss-cn-hangzhou.aliyuncs.com",
                "oss-cn-hangzhou-internal.aliyuncs.com",
            ),
            "tags": TAGS,
            "versioning": {"Enabled"},
            "encryption": {("KMS", "key-1")},
            "blocked": True,
            "rule": RULE,
            "origin": ORIGIN,
        }
    policy = json.dumps({"Version": "1", "Statement": [STATEMENT]})
    writer.set_policy(policy)
    assert reader.policy() == policy
    writer.unset()
    for one in pair:
        assert one.bare() == {
            "tags": {},
            "versioning": "Suspended",
            "encryption": "None",
            "blocked": False,
        }
    reader.remove()


def test_objects_of_any_name_are_written_listed_and_deleted(pair: Pair) -> None:
    writer, reader = pair
    writer.create()
    for key in ODD_KEYS:
        writer.put(key, key.encode())
    assert writer.keys() == reader.keys() == sorted(ODD_KEYS, key=str.encode)
    assert [reader.get(key) for key in ODD_KEYS] == [key.encode() for key in ODD_KEYS]
    writer.tag(ODD_KEYS[2], TAGS)
    assert reader.tags(ODD_KEYS[2]) == TAGS
    writer.delete(ODD_KEYS[0])
    reader.delete(ODD_KEYS[1])
    left = writer.versions()
    assert left == reader.versions()
    assert {key for key, _, _ in left} == set(ODD_KEYS[2:])
    for key in ODD_KEYS[2:]:
        writer.delete(key)
    assert reader.keys() == []
    writer.remove()


def test_versions_and_markers_are_deleted_for_good(pair: Pair) -> None:
    writer, reader = pair
    writer.create()
    writer.configure(TAGS, RULE, ORIGIN)
    keys = ["a", "b/\u4e2d c+%", "c"]
    made = {(key, writer.put(key, text), False) for key in keys for text in (b"1", b"2")}
    writer.delete("a")
    assert reader.keys() == keys[1:]
    listed = reader.versions()
    assert writer.versions() == listed
    assert {one for one in listed if not one[2]} == made
    assert [key for key, _, marker in listed if marker] == ["a"]
    writer.delete_versions(listed[:4])
    reader.delete_versions(listed[4:])
    assert (writer.versions(), reader.versions()) == ([], [])
    writer.remove()


def test_an_object_is_uploaded_in_parts_and_an_upload_given_up(pair: Pair) -> None:
    writer, reader = pair
    writer.create()
    key, big = "parts/\u4e2d a+b%", b"x" * 102_400
    upload, other = writer.begin(key), writer.begin("other&<>")
    writer.part(key, upload, 1, big)
    reader.part(key, upload, 2, b"end")
    writer.part("other&<>", other, 1, b"1")
    assert set(reader.uploads()) == set(writer.uploads()) == {(key, upload), ("other&<>", other)}
    parts = reader.parts(key, upload)
    assert parts == writer.parts(key, upload)
    writer.complete(key, upload, parts)
    reader.abort("other&<>", other)
    assert (writer.uploads(), reader.uploads()) == ([], [])
    assert reader.get(key) == big + b"end"
    writer.delete(key)
    reader.remove()
    name = reader.keys if isinstance(reader, OssV2) else writer.keys
    with pytest.raises(oss_v2.exceptions.OperationError, match="NoSuchBucket"):
        name()
