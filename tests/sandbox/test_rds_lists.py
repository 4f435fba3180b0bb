"""Tags, allow lists, pages, filters and the offer of RDS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "Aa1!*xyz"
TWENTY_ONE_TAGS = {f"Tag__{n}__Key": f"k{n}" for n in range(1, 22)}


def test_allow_lists_are_changed_by_group(owner: Any) -> None:
    here = {"DBInstanceId": owner.create_instance(SecurityIPList="127.0.0.1")}
    group = {**here, "DBInstanceIPArrayName": "broker"}
    owner.call("rds", "ModifySecurityIps", **group, SecurityIps="10.0.0.1,10.0.0.2")
    append = {**group, "ModifyMode": "Append"}
    owner.call("rds", "ModifySecurityIps", **append, SecurityIps="10.0.0.3")
    code = owner.refusal("rds", "ModifySecurityIps", **append, SecurityIps="10.0.0.3")
    assert code == "InvalidSecurityIPList.Duplicate"
    delete = {**group, "ModifyMode": "Delete"}
    owner.call("rds", "ModifySecurityIps", **delete, SecurityIps="10.0.0.1")
    code = owner.refusal("rds", "ModifySecurityIps", **delete, SecurityIps="10.0.0.2,10.0.0.3")
    assert code == "InvalidSecurityIPList.Format"
    code = owner.refusal("rds", "ModifySecurityIps", **group, SecurityIps="nowhere")
    assert code == "InvalidSecurityIPList.Format"
    groups = owner.call("rds", "DescribeDBInstanceIPArrayList", **here)["Items"][
        "DBInstanceIPArray"
    ]
    assert {g["DBInstanceIPArrayName"]: g["SecurityIPList"] for g in groups} == {
        "default": "127.0.0.1",
        "broker": "10.0.0.2,10.0.0.3",
    }


def test_tags_are_one_store(owner: Any, unique: Callable[[str], str]) -> None:
    mark = unique("t")
    name = owner.create_instance(Tag__1__Key=mark, Tag__1__Value="1")
    owner.call("rds", "AddTagsToResource", DBInstanceId=name, Tags=json.dumps({"old": "way"}))
    target = {"ResourceType": "INSTANCE", "ResourceId__1": name}
    listed = owner.call("rds", "ListTagResources", **target)["TagResources"]["TagResource"]
    assert {row["TagKey"]: row["TagValue"] for row in listed} == {mark: "1", "old": "way"}
    owner.call("rds", "UntagResources", **target, TagKey__1="old")
    rows = owner.call(
        "rds", "ListTagResources", ResourceType="INSTANCE", Tag__1__Key=mark, Tag__1__Value="1"
    )
    assert [row["ResourceId"] for row in rows["TagResources"]["TagResource"]] == [name]
    owner.call("rds", "UntagResources", **target, All="true")
    listed = owner.call("rds", "ListTagResources", **target)["TagResources"]["TagResource"]
    assert listed == []
    assert owner.refusal("rds", "ListTagResources", ResourceType="INSTANCE") == "MissingParameter"
    code = owner.refusal("rds", "TagResources", **{**target, "ResourceType": "CAR"})
    assert code == "InvalidParameter"
    code = owner.refusal("rds", "TagResources", **target, **TWENTY_ONE_TAGS)
    assert code == "NumberExceed.Tags"


def test_instances_are_listed_by_page_and_filter(owner: Any, unique: Callable[[str], str]) -> None:
    mark = unique("t")
    names = [
        owner.create_instance(
            Tag__1__Key=mark, Tag__1__Value=str(n % 2), DBInstanceDescription=f"{mark}-{n}"
        )
        for n in range(5)
    ]

    def find(**filters: Any) -> list[str]:
        items = owner.call("rds", "DescribeDBInstances", **filters)["Items"]["DBInstance"]
        return [item["DBInstanceId"] for item in items]

    assert find(SearchKey=mark) == names
    assert find(SearchKey=mark, PageSize=2, PageNumber=3) == names[4:]
    assert find(Tags=json.dumps({mark: "1"})) == [names[1], names[3]]
    # One of several tags suffices.
    assert find(Tags=json.dumps({mark: "1", "other": "x"})) == [names[1], names[3]]
    assert find(SearchKey=mark, DBInstanceStatus="Creating") == []
    assert find(SearchKey=mark, Engine="PostgreSQL") == []
    assert find(DBInstanceId=names[2]) == [names[2]]
    pages: list[list[str]] = []
    token = ""
    while True:
        more = {"NextToken": token} if token else {}
        answer = owner.call("rds", "DescribeDBInstances", SearchKey=mark, MaxResults=2, **more)
        pages.append([item["DBInstanceId"] for item in answer["Items"]["DBInstance"]])
        token = answer.get("NextToken", "")
        if not token:
            break
    assert pages == [names[:2], names[2:4], names[4:]]
    for wrong in ({"PageSize": 101}, {"PageSize": 0}, {"PageSize": "x"}):
        code = owner.refusal("rds", "DescribeDBInstances", **wrong)
        assert code == "InvalidPageSize.Malformed"
    assert owner.refusal("rds", "DescribeDBInstances", Tags="no json") == "InvalidParameter"


def test_the_offer_can_be_looked_up(owner: Any) -> None:
    regions = owner.call("rds", "DescribeRegions")["Regions"]["RDSRegion"]
    zones = [row["ZoneId"] for row in regions]
    assert len(zones) == 3
    found = owner.call("rds", "DescribeAvailableZones", Engine="MySQL")["AvailableZones"]
    assert [zone["ZoneId"] for zone in found] == zones
    classes = owner.call(
        "rds",
        "DescribeAvailableClasses",
        ZoneId=zones[0],
        Engine="MySQL",
        EngineVersion="8.0",
        DBInstanceStorageType="cloud_essd",
        Category="HighAvailability",
    )["DBInstanceClasses"]
    ranges = {row["DBInstanceClass"]: row["DBInstanceStorageRange"] for row in classes}
    assert ranges["mysql.n2.medium.2c"] == {"MinValue": 20, "MaxValue": 64000, "Step": 5}
    assert "rds.mysql.s1.small" not in ranges
    rows = owner.call("rds", "ListClasses", CommodityCode="bards", OrderType="BUY")["Items"]
    assert {"ClassCode": "mysql.n2.medium.2c", "Cpu": "2", "MemoryClass": "4GB"}.items() <= next(
        row for row in rows if row["ClassCode"] == "mysql.n2.medium.2c"
    ).items()
