"""What the brokers have made, read back through the vendor's newest clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import alibabacloud_oss_v2 as oss_v2
import pytest
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from oss_hands import OssV2
from strict_xml import strict_xml
from vendor_clients import VendorClient

from alibroker.brokers.api import Succeeded

if TYPE_CHECKING:
    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

BUCKET = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"
REGION = {"RegionId": "cn-hangzhou"}
KEY = ("testid", "testsecret")
DATABASES = {
    "MySQL": ("rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e", "ReadWrite"),
    "PostgreSQL": ("rds-434599f1-3a4b-5c9d-ae12-804329c0839a", "ALL"),
    "SQLServer": ("rds-6db8ed51-e8d5-5f4f-ba43-858c7fe27e07", "ReadWrite"),
    "MariaDB": ("rds-eccd8844-5803-50dd-bcfc-a0d0a4c98b8c", "ReadWrite"),
}
"""A plan of each engine, and what is shown of the privilege of a binding."""


@pytest.fixture
def ask(sandbox: Sandbox) -> Callable[..., dict[str, Any]]:
    sandbox.settings(time_scale=0.0)
    clients = {name: VendorClient(name, sandbox.url, *KEY) for name in ("rds", "ram")}
    return lambda product, action, **given: clients[product].call(action, **given)


@pytest.mark.parametrize("engine", DATABASES)
def test_a_database_and_its_binding_are_as_they_were_ordered(
    rds: Drive, ask: Callable[..., dict[str, Any]], engine: str
) -> None:
    plan, privilege = DATABASES[engine]
    driver = rds()
    backup = {"BackupRetentionDays": 30, "BackupTime": "02:00Z-03:00Z"}
    allowed = ["10.1.0.0/16", "10.2.3.4"]
    more = {"TimeZone": "+8:00"} if engine == "MySQL" else {}
    days = ["Monday", "Thursday"]
    operation = driver.provision(
        "i", plan, Storage=60, AllowedIPs=allowed, BackupDays=days, **backup, **more
    )
    assert isinstance(operation.end, Succeeded), operation.steps
    login = driver.bind("i", "b").credentials

    tags = json.dumps({"alibroker-instance": "i"})
    listed = ask("rds", "DescribeDBInstances", **REGION, Tags=tags)["Items"]["DBInstance"]
    (name,) = (one["DBInstanceId"] for one in listed)
    here = {"DBInstanceId": name}
    (found,) = ask("rds", "DescribeDBInstanceAttribute", **here)["Items"]["DBInstanceAttribute"]
    assert (found["Engine"], found["DBInstanceStorage"], found["PayType"]) == (
        engine,
        60,
        "Postpaid",
    )
    assert (found["ConnectionString"], found["Port"]) == (login["host"], login["port"])
    assert found.get("TimeZone") == more.get("TimeZone")
    resource = {**REGION, "ResourceType": "INSTANCE", "ResourceId": [name]}
    rows = ask("rds", "ListTagResources", **resource)["TagResources"]["TagResource"]
    marks = {one["TagKey"]: one["TagValue"] for one in rows}
    assert {**marks, "alibroker": "alibroker", "alibroker-instance": "i"} == marks
    (array,) = ask("rds", "DescribeDBInstanceIPArrayList", **here)["Items"]["DBInstanceIPArray"]
    assert sorted(array["SecurityIPList"].split(",")) == allowed
    policy = ask("rds", "DescribeBackupPolicy", **here)
    assert policy["BackupRetentionPeriod"] == 30
    assert policy["PreferredBackupTime"] == "02:00Z-03:00Z"
    assert policy["PreferredBackupPeriod"] == "Monday,Thursday"

    asked = {**here, "AccountName": login["username"]}
    (account,) = ask("rds", "DescribeAccounts", **asked)["Accounts"]["DBInstanceAccount"]
    assert (account["AccountType"], account["AccountStatus"]) == ("Normal", "Available")
    (database,) = ask("rds", "DescribeDatabases", **here)["Databases"]["Database"]
    (user,) = database["Accounts"]["AccountPrivilegeInfo"]
    assert database["DBName"] == login["database"]
    assert (user["Account"], user["AccountPrivilege"]) == (login["username"], privilege)

    driver.unbind("i", "b")
    left = ask("rds", "DescribeAccounts", **here)["Accounts"]["DBInstanceAccount"]
    usable = [one for one in left if one["AccountStatus"] == "Available"]
    assert login["username"] not in [one["AccountName"] for one in usable]
    driver.deprovision("i")
    with pytest.raises(AlibabaCloudException, match="InvalidDBInstanceId"):
        ask("rds", "DescribeDBInstanceAttribute", **here)


def test_a_bucket_and_its_binding_are_as_they_were_ordered(
    oss: Drive, sandbox: Sandbox, ask: Callable[..., dict[str, Any]]
) -> None:
    driver = oss()
    operation = driver.provision(
        "i",
        BUCKET,
        StorageClass="IA",
        Redundancy="ZRS",
        Versioning=True,
        Encryption="KMS",
        KmsKeyId="key-1",
        Tags={"team": "blue"},
        Lifecycle=[
            {
                "Prefix": "logs/",
                "ExpirationDays": 30,
                "AbortUploadsAfterDays": 3,
                "NoncurrentExpirationDays": 7,
                "Transitions": [{"Days": 10, "StorageClass": "Archive"}],
            }
        ],
        Cors=[
            {
                "AllowedOrigins": ["*"],
                "AllowedMethods": ["GET"],
                "ExposeHeaders": ["etag"],
                "AllowedHeaders": ["x-*"],
                "MaxAgeSeconds": 600,
            }
        ],
    )
    assert isinstance(operation.end, Succeeded), operation.steps
    login = driver.bind("i", "b", Access="read-only", Prefix="logs/").credentials

    name = driver.resource("i")["bucket"]
    keys = oss_v2.credentials.StaticCredentialsProvider(*KEY)
    config = oss_v2.Config(
        region="cn-hangzhou",
        endpoint=sandbox.inside,
        credentials_provider=keys,
        use_path_style=True,
    )
    with strict_xml():
        found = OssV2(oss_v2.Client(config), name).settings()
    assert found["info"] == ("IA", "ZRS", "private")
    assert {**found["tags"], "team": "blue", "alibroker-instance": "i"} == found["tags"]
    assert (found["versioning"], found["blocked"]) == ({"Enabled"}, True)
    assert found["encryption"] == {("KMS", "key-1")}
    rule, origin = found["rule"], found["origin"]
    assert (rule.prefix, rule.days, rule.colder_after) == ("logs/", 30, 10)
    assert (rule.uploads_after, rule.old_versions_after) == (3, 7)
    assert (origin.origins, origin.methods, origin.headers) == (["*"], ["GET"], ["x-*"])
    assert (origin.exposed, origin.seconds) == (["etag"], 600)

    (user,) = ask("ram", "ListUsers")["Users"]["User"]
    owned = {"UserName": user["UserName"]}
    (key,) = ask("ram", "ListAccessKeys", **owned)["AccessKeys"]["AccessKey"]
    assert (key["AccessKeyId"], key["Status"]) == (login["access_key_id"], "Active")
    (attached,) = ask("ram", "ListPoliciesForUser", **owned)["Policies"]["Policy"]
    mark = [{"Key": "alibroker", "Value": "alibroker"}]
    (policy,) = ask("ram", "ListPolicies", PolicyType="Custom", Tag=mark)["Policies"]["Policy"]
    assert (policy["PolicyName"], policy["AttachmentCount"]) == (attached["PolicyName"], 1)
    shown = ask("ram", "GetPolicy", PolicyName=policy["PolicyName"], PolicyType="Custom")
    document = json.loads(shown["DefaultPolicyVersion"]["PolicyDocument"])
    assert f"acs:oss:*:*:{name}/logs/*" in str(document)

    driver.unbind("i", "b")
    assert ask("ram", "ListUsers")["Users"]["User"] == []
    assert ask("ram", "ListPolicies", PolicyType="Custom")["Policies"]["Policy"] == []
    driver.deprovision("i")
    with pytest.raises(oss_v2.exceptions.OperationError, match="NoSuchBucket"):
        OssV2(oss_v2.Client(config), name).settings()
