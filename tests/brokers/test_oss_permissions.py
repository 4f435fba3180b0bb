"""The policy that docs/oss.md wants for the broker is enough for all that it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from identities import documented

from alibroker.brokers.api import Failed, Inventory, Succeeded
from alibroker.brokers.driver import Driver

if TYPE_CHECKING:
    from conftest import Sandbox
    from identities import Owner

    Drive = Callable[..., Driver]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"


def test_the_documented_policy_is_enough_for_everything(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss(**owner.identity(documented()))
    everything = {
        "ACL": "public-read",
        "Versioning": True,
        "Encryption": "AES256",
        "Lifecycle": [{"ExpirationDays": 1}],
        "Cors": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}],
        "DeletionPolicy": "delete",
    }
    operations = [driver.provision("i", PLAN, **everything)]
    back = {"ACL": "private", "Versioning": False, "Encryption": "none", "Lifecycle": []}
    operations.append(driver.update("i", **back, Cors=[]))
    for name, access in (("a", "read-write"), ("b", "read-write"), ("c", "write-only")):
        operations.append(driver.bind("i", name, Access=access))
    operations += [driver.unbind("i", name) for name in ("a", "b", "c")]
    assert isinstance(driver.broker, Inventory)
    (found,) = driver.broker.inventory()
    driver.broker.keep(found)
    bucket = driver.resource("i")["bucket"]
    sandbox.control("POST", "objects", {"bucket": bucket, "objects": 2, "uploads": 2})
    operations.append(driver.deprovision("i"))
    assert [one.end for one in operations if not isinstance(one.end, Succeeded)] == []
    assert not sandbox.buckets
    owner.clean()
    assert sandbox.empty


def test_it_is_enough_for_chosen_names_if_the_resources_are_opened(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    rows = [
        (feature, actions, resource.replace(":oss:*:*:alibroker-", ":oss:*:*:"))
        for feature, actions, resource in documented()
        if not feature.startswith(("finding", "`DeletionPolicy"))
    ]
    driver = oss(**owner.identity(rows))
    operations = [
        driver.provision("i", PLAN, BucketName="chosen"),
        driver.bind("i", "b"),
        driver.update("i", Tags={"team": "a"}),
        driver.unbind("i", "b"),
        driver.deprovision("i"),
    ]
    assert [one.end for one in operations if not isinstance(one.end, Succeeded)] == []
    owner.clean()
    assert sandbox.empty


def test_what_a_feature_lacks_is_named(oss: Drive, sandbox: Sandbox, owner: Owner) -> None:
    rows = [row for row in documented() if row[0] != "versioning, encryption"]
    driver = oss(**owner.identity(rows))
    operation = driver.provision("i", PLAN, Versioning=True)
    assert isinstance(operation.end, Failed)
    assert "oss:PutBucketVersioning" in operation.end.reason
    assert isinstance(driver.deprovision("i").end, Succeeded)
    owner.clean()
    assert sandbox.empty


def test_it_is_enough_to_take_from_users_what_others_gave_them(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss(**owner.identity(documented()))
    driver.provision("i", PLAN)
    driver.bind("i", "b")
    user = driver.resource("i", "b")["user"]
    owner.call("CreateGroup", GroupName="theirs")
    owner.call("AddUserToGroup", UserName=user, GroupName="theirs")
    owner.call(
        "AttachPolicyToUser", UserName=user, PolicyName="ReadOnlyAccess", PolicyType="System"
    )
    owner.call("CreateLoginProfile", UserName=user, Password="Aa1!Aa1!Aa1!")
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    owner.call("DeleteGroup", GroupName="theirs")
    owner.clean()
    assert sandbox.empty
