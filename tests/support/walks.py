"""The operations of both services, each call that they make to the cloud, and what they leave."""

from __future__ import annotations

from world import OSS, POSTGRES, RDS, World

from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.rds.setting_calls import SettingCalls

OFFERS = {"rds": RDS, "postgres": POSTGRES, "oss": OSS}

# The cloud calls of each operation, in their order: `test_the_calls_are_these` keeps this true.
CALLS: dict[tuple[str, str], list[str]] = {
    ("rds", "provision"): ["rds:CreateDBInstance", "rds:DescribeDBInstanceAttribute"],
    ("rds", "bind"): [
        "rds:CreateAccount",
        "rds:CreateDatabase",
        "rds:DescribeAccounts",
        "rds:GrantAccountPrivilege",
    ],
    ("rds", "unbind"): ["rds:RevokeAccountPrivilege", "rds:DeleteAccount", "rds:DescribeAccounts"],
    ("rds", "update"): [
        "rds:ModifySecurityGroupConfiguration",
        "rds:ModifyBackupPolicy",
        "rds:ModifySecurityIps",
        "rds:TagResources",
        "rds:DescribeDBInstanceAttribute",
        "rds:ModifyDBInstanceSpec",
    ],
    ("rds", "deprovision"): ["rds:DeleteDBInstance", "rds:DescribeDBInstanceAttribute"],
    ("oss", "provision"): [
        "oss:PutBucket",
        "oss:PutBucketPublicAccessBlock",
        "oss:PutBucketTagging",
    ],
    ("oss", "bind"): [
        "ram:CreateUser",
        "ram:CreatePolicy",
        "ram:AttachPolicyToUser",
        "ram:CreateAccessKey",
        "oss:ListObjects",
    ],
    ("oss", "unbind"): [
        "ram:ListAccessKeys",
        "ram:DeleteAccessKey",
        "ram:DetachPolicyFromUser",
        "ram:DeletePolicy",
        "ram:DeleteUser",
    ],
    ("oss", "deprovision"): ["ram:ListPolicies", "oss:DeleteBucket"],
    # What PostgreSQL does otherwise: it shows grants elsewhere, and refuses to delete accounts.
    ("postgres", "bind"): [
        "rds:CreateAccount",
        "rds:CreateDatabase",
        "rds:DescribeAccounts",
        "rds:GrantAccountPrivilege",
        "rds:DescribeDatabases",
    ],
    ("postgres", "unbind"): [
        "rds:DescribeAccounts",
        "rds:ResetAccountPassword",
        "rds:DeleteAccount",
        "rds:ModifyAccountDescription",
        "rds:LockAccount",
    ],
}
LIFE = ["provision", "bind", "unbind", "deprovision"]

# Another plan, which takes a class and a size: everything that an update can change at once.
CHANGED = {**RDS, "plan_id": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"}
CHANGES = {
    "Class": "mysql.n2.large.2c",
    "Storage": 60,
    "AllowedIPs": ["10.0.0.0/8"],
    "BackupRetentionDays": 30,
    "SecurityGroupIDs": ["sg-a"],
}


def offer(service: str, after: str) -> dict[str, str]:
    """Return service and plan of an instance after an operation of a kind."""
    return CHANGED if after == "update" else OFFERS[service]


def start(world: World, service: str, kind: str, instance: str, after: str = "") -> int:
    """Ask for an operation; returns the status."""
    if kind == "update":
        path = f"/v2/service_instances/{instance}"
        body = {**CHANGED, "parameters": CHANGES}
        return world.request("PATCH", path, body, accepts_incomplete="true").status_code
    return world.start(kind, offer(service, after), instance)


def before(world: World, service: str, kind: str, instance: str) -> None:
    """Walk to where an operation of a kind can begin."""
    earlier = ["provision"] if kind == "update" else LIFE[: LIFE.index(kind)]
    for one in earlier:
        world.do(one, OFFERS[service], instance)


def expect(world: World, service: str, kind: str) -> None:
    """The cloud holds exactly what an operation of a kind is to leave."""
    found = {name: len(some) for name, some in world.left().items()}
    wanted: dict[str, int] = {}
    if kind != "deprovision":
        wanted["buckets" if service == "oss" else "instances"] = 1
    if kind == "bind" and service == "oss":
        wanted |= {"users": 1, "policies": 1}
    assert found == wanted, world.left()
    if kind == "bind" and service == "oss":
        assert len(world.inventory()["users"][0]["keys"]) == 1
    if service != "oss" and kind != "deprovision":
        accounts = world.inventory()["instances"][0]["accounts"]
        assert len(accounts) == (1 if kind == "bind" or service == "postgres" else 0)
        locked = kind == "unbind"  # PostgreSQL keeps it
        assert all((one["status"] == "Lock") == locked for one in accounts)
        assert all(("_retired-" in one["description"]) == locked for one in accounts)
    if kind == "update":
        (found_instance,) = world.inventory()["instances"]
        assert (found_instance["class"], found_instance["storage"]) == ("mysql.n2.large.2c", 60)
        assert found_instance["allow_lists"] == {"default": ["10.0.0.0/8"]}
        assert found_instance["tags"]["alibroker-plan"] == CHANGED["plan_id"]
        calls = SettingCalls(connect(world.settings)[1])
        assert calls.backup(found_instance["id"]).retention_days == 30
        assert calls.security_groups(found_instance["id"]) == ["sg-a"]


def clean_up(world: World, service: str, instance: str, after: str) -> None:
    world.sandbox.control("DELETE", "faults")
    for kind in ("unbind", "deprovision"):
        if world.start(kind, offer(service, after), instance) == 202:
            assert world.end(kind, instance) == "succeeded"
    assert world.left() == {}
