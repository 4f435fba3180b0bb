"""The witness notices what the vendor's clients would not send, or could not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import alibabacloud_oss_v2 as oss_v2
import broker_calls
import oss_models
import pytest
import vendor_models
from strict_xml import faults
from witness import check_answer, check_request, check_values
from witness_plugin import Court

from alibroker.sandbox.journal import answered
from alibroker.sandbox.wire import Response

GRANT = {"DBInstanceId": "rm-1", "AccountName": "a", "DBName": "d"}
POLICY = {"PolicyName": "p", "PolicyDocument": "{}"}


@pytest.mark.parametrize(
    ("product", "action", "parameters", "words"),
    [
        ("rds", "GrantAccountPrivilege", {**GRANT, "AccountPrivilege": "ReadOnly"}, ""),
        ("rds", "GrantAccountPrivilege", GRANT, "AccountPrivilege is required"),
        ("rds", "GrantAccountPrivilege", {**GRANT, "AccountPrivilege": "Read"}, "not Read"),
        ("rds", "DeleteDBInstance", {"InstanceId": "x"}, "InstanceId is not a parameter"),
        ("rds", "DescribeDBInstances", {"PageSize": "many"}, "PageSize is a whole number"),
        ("rds", "MakeCoffee", {}, "no such action"),
        ("rds", "TagResources", {"Tag": "[]", "ResourceId.1": "x"}, "Tag is a list"),
        ("ram", "CreatePolicy", {**POLICY, "Tag": '[{"Key":"a","Value":"b"}]'}, ""),
        ("ram", "CreatePolicy", {**POLICY, "Tag": '[{"TagKey":"a"}]'}, "TagKey is not"),
        ("ram", "CreatePolicy", {**POLICY, "Tag.1.Key": "a"}, "one parameter of JSON text"),
        ("ram", "DeletePolicy", {"PolicyName": "p", "CascadingDelete": "1"}, "true or false"),
    ],
)
def test_a_request_is_judged(
    product: str, action: str, parameters: dict[str, str], words: str
) -> None:
    found = check_request(product, action, parameters)
    assert any(words in one for one in found) if words else not found, found


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"RequestId": "str", "DBInstanceId": "str", "Port": "str"}, ""),
        ({"Port": "int"}, "/Port as int, which is str"),
        ({"Colour": "str"}, "/Colour, which is not a field"),
    ],
)
def test_an_answer_is_judged(shape: dict[str, Any], words: str) -> None:
    found = check_answer("rds", "CreateDBInstance", shape)
    assert any(words in one for one in found) if words else not found, found


def test_nested_lists_are_judged_to_their_leaves() -> None:
    shape = {"Items": {"DBInstance": [{"DBInstanceId": "str"}, {"Colour": "str"}]}}
    (found,) = check_answer("rds", "DescribeDBInstances", shape)
    assert found.endswith("/Items/DBInstance/Colour, which is not a field")


def test_the_texts_of_an_answer_are_judged() -> None:
    assert check_values("rds", "DescribeDBInstanceTDE", {"TDEStatus": "Enabled"}) == []
    days = {"PreferredBackupPeriod": "Monday,Sunday", "BackupRetentionPeriod": 7}
    assert check_values("rds", "DescribeBackupPolicy", days) == []
    (found,) = check_values("rds", "DescribeDBInstanceTDE", {"TDEStatus": "On"})
    assert found == "TDEStatus is one of Disabled, Enabled, not On"
    table = {"RouteTable": {"RouteTableType": "Mine"}}
    assert len(check_values("vpc", "DescribeVSwitchAttributes", table)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Name>x</Name><AccessControlList><Grant>private</Grant></AccessControlList>", []),
        ("<Colour>red</Colour>", ["Colour is not read"]),
        ("<AccessControlList><Red/></AccessControlList>", ["AccessControlList/Red is not read"]),
        ("<Name>x</Name><Name>y</Name>", ["Name is there 2 times"]),
        ("<Name><First/></Name>", ["Name has elements in it"]),
        ("<BlockPublicAccess>Yes</BlockPublicAccess>", ["BlockPublicAccess is Yes"]),
    ],
)
def test_an_answer_of_oss_is_judged(text: str, words: list[str]) -> None:
    root = ET.fromstring(f"<Bucket>{text}</Bucket>")  # noqa: S314 - our own text
    assert list(faults(root, oss_v2.models.bucket_basic.BucketInfo())) == words


@pytest.mark.parametrize(
    ("action", "parameters", "answer", "words"),
    [
        ("ListObjectsV2", {"list-type": "1", "max-keys": "1", "prefix": "x"}, None, ""),
        ("ListObjectsV2", {"max-keys": "x"}, None, "max-keys is a whole number"),
        ("ListObjectsV2", {"size": "1"}, None, "size is not a parameter"),
        ("PutObject", {"x-oss-meta-who": "x", "x-oss-object-acl": "x"}, None, ""),
        ("PutObject", {"x-oss-colour": "x"}, None, "x-oss-colour is not a parameter"),
        ("CopyObject", {"x-oss-copy-source": "x"}, None, ""),
        ("GetBucketTagging", {"tagging": ""}, "<Tagging/>", ""),
        ("GetBucketTagging", {}, "<Tags/>", "the answer is Tags, not Tagging"),
        ("GetBucketStat", {}, "<BucketStat><Storage>x</Storage></BucketStat>", "Storage is x"),
        ("PutBucket", {}, "<Made/>", "of which nothing is read"),
        ("MakeCoffee", {}, None, "no such operation"),
    ],
)
def test_a_call_to_oss_is_judged(
    action: str, parameters: dict[str, str], answer: str | None, words: str
) -> None:
    found = oss_models.check(action, parameters, answer)
    assert any(words in one for one in found) if words else not found, found


@pytest.mark.parametrize(
    ("action", "body", "words"),
    [
        ("PutBucketTagging", "<TagSet><Tag><Key>x</Key><Value>x</Value></Tag></TagSet>", ""),
        ("PutBucketTagging", "<Tag><Key>x</Key></Tag>", "Tagging/Tag is not known"),
        ("PutBucketTagging", "<TagSet/><TagSet/>", "Tagging/TagSet is there 2 times"),
        ("PutBucketLifecycle", "<Rule><Expiration><Days>1</Days></Expiration></Rule>", ""),
        ("PutBucketLifecycle", "<Rule><Expiration><Day>1</Day></Expiration></Rule>", "Day is not"),
        ("PutBucketLifecycle", "<Rule><Expiration>1</Expiration></Rule>", "Expiration has a text"),
        ("PutBucketLifecycle", "<Rule><Prefix><x/></Prefix></Rule>", "Prefix has elements in it"),
        ("PutBucketCors", "<CORSRule><MaxAgeSeconds>x</MaxAgeSeconds></CORSRule>", "is x"),
        ("DeleteMultipleObjects", "<Quiet>x</Quiet>", "Quiet is x"),
        ("DeleteMultipleObjects", "<Object><Key>x</Key><Name/></Object>", "Name is not known"),
        ("CompleteMultipartUpload", "<Part><ETag>x</ETag><Size>1</Size></Part>", "Size is not"),
        ("GetBucketTagging", "", "which has no body"),
    ],
)
def test_a_body_for_oss_is_judged(action: str, body: str, words: str) -> None:
    roots = {
        "PutBucketLifecycle": "LifecycleConfiguration",
        "PutBucketCors": "CORSConfiguration",
        "DeleteMultipleObjects": "Delete",
        "CompleteMultipartUpload": "CompleteMultipartUpload",
    }
    root = roots.get(action, "Tagging")
    found = oss_models.check(action, {}, None, f"<{root}>{body}</{root}>")
    assert any(words in one for one in found) if words else not found, found
    (found_root,) = oss_models.check("PutBucketVersioning", {}, None, "<Versioning/>")
    assert found_root.endswith("the body is Versioning, not VersioningConfiguration")


def test_an_answer_of_oss_is_outlined() -> None:
    items = "<Key>a</Key><Size>12</Size>"
    body = f"<All><At>2026-01-02T03:04:05.000Z</At>{items * 3}<On>true</On><None/></All>"
    headers = [("content-type", "application/xml")]
    assert answered(Response(200, body.encode(), headers)) == (
        "<All><At>2000-01-01T00:00:00.000Z</At><Key>x</Key><Size>1</Size><Key>x</Key>"
        "<Size>1</Size><On>true</On><None /></All>"
    )
    assert answered(Response(200, b"<Key>\x01</Key>", headers)) is None
    assert answered(Response(200, b"<Key/>", [("content-type", "text/plain")])) is None


def test_what_stands_in_the_vendor_s_comments_is_read() -> None:
    model = vendor_models.request("rds", "CreateDBInstance")
    assert model is not None
    assert model["PayType"].required
    assert model["PayType"].values == {"Postpaid", "Prepaid", "Serverless"}
    assert not model["Port"].values  # a range is no enumeration
    tagged = vendor_models.request("ram", "CreatePolicy")
    assert tagged is not None
    assert tagged["Tag"].style == "json"


def test_a_journal_has_no_secrets(start: Any, tmp_path: Any) -> None:
    journal = tmp_path / "journal"
    sandbox = start("--time-scale", "0", "--journal", str(journal))
    name = sandbox.owner.create_instance()
    account = {"DBInstanceId": name, "AccountName": "shop", "AccountPassword": "Aa1!*xyz"}
    sandbox.owner.call("rds", "CreateAccount", **account)
    text = journal.read_text()
    assert '"AccountPassword":"***"' in text
    assert "Aa1!*xyz" not in text
    assert '"answer":{"RequestId":"str"}' in text


def test_what_was_never_witnessed_is_told_over_processes(tmp_path: Path) -> None:
    worker, controller = Court(tmp_path / "none"), Court(tmp_path / "none")
    worker.whole = {"sandbox", "brokers"}
    worker.witness.judged.add(("rds", "DescribeRegions"), ["RegionId"], ["/Regions"])
    worker.brokers.answered.add(("rds", "DescribeRegions"), (), ["/Regions"])
    worker.brokers.read.add(("rds", "DescribeRegions"), (), ["/Regions"])
    controller.merge(json.loads(json.dumps(worker.dump())))
    controller.close()
    missing = set(controller.missing)
    assert {
        "the sandbox never answered CreateDBInstance of rds",
        "the sandbox never answered PutBucket of oss",
        "CreateDBInstance of rds was never answered",
        "brokers/rds never read DBInstanceAttribute",
    } <= missing
    assert not missing & {
        "the sandbox never answered DescribeRegions of rds",
        "DescribeRegions of rds was never answered",
        "brokers/rds never read Regions",
    }
    (line,) = controller.lines()
    assert f"1 of {len(broker_calls.actions())} actions" in line


def test_a_part_of_the_tests_misses_nothing(tmp_path: Path) -> None:
    court = Court(tmp_path / "none")
    court.close()
    assert court.missing == []
