"""What exists is found without any record, and goes on from what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import oss2
import pytest
from oss_findings import adopt, inventory, opened

from alibroker.brokers.alibabacloud.naming import tag_value
from alibroker.brokers.api import Failed, Inventory, OperationKind, Succeeded, TryAgainError
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]

SERVICE = "oss-997b8372-8dac-40ac-ae65-758b4a502222"
DEFAULT = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SELF_DEFINE = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_found_where_nothing_is(oss: Drive) -> None:
    driver = oss()
    assert inventory(driver) == {"OSS bucket": [], "RAM user": [], "RAM policy": []}
    assert isinstance(driver.broker, Inventory)
    assert (driver.broker.instance_fact, driver.broker.binding_fact) == ("bucket", "user")


def test_what_is_found_says_what_the_records_say(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    before = time.time() - 1
    driver.provision("i 1", SELF_DEFINE, ACL="public-read", Tags={"team": "a"}, BucketPrefix="web")
    driver.provision("i2", DEFAULT)
    driver.bind("i 1", "b/1", Access="read-only", Prefix="logs/")
    driver.bind("i 1", "b2", Access="read-only", Prefix="logs/")
    found = inventory(driver)
    buckets = {one.instance_id: one for one in found["OSS bucket"]}
    assert set(buckets) == {"i 1", "i2"}
    web, plain = buckets["i 1"], buckets["i2"]
    for bucket in (web, plain):
        record = driver.resource(bucket.instance_id)
        assert bucket.name == record["bucket"] == bucket.resource["bucket"]
        assert set(record) - set(bucket.resource) == {"requested_at"}
        assert {key: record[key] for key in bucket.resource} == bucket.resource
        assert bucket.service_id == SERVICE
        assert before <= bucket.created_at <= time.time()
        assert not bucket.kept
        assert bucket.main
    assert (web.plan_id, plain.plan_id) == (SELF_DEFINE, DEFAULT)
    assert plain.parameters == {}
    assert web.parameters == {
        "BucketPrefix": "web",
        "ACL": "public-read",
        "Tags": {"team": "a"},
    }
    users = {one.binding_id: one for one in found["RAM user"]}
    assert set(users) == {"b/1", "b2"}
    for user in users.values():
        record = driver.resource("i 1", user.binding_id)
        assert user.resource == record
        assert user.name == record["user"]
        assert user.instance_id == "i 1"
        assert (user.service_id, user.plan_id) == (SERVICE, SELF_DEFINE)
        assert user.parameters == {"Access": "read-only", "Prefix": "logs/"}
    (policy,) = found["RAM policy"]
    assert not policy.main
    assert (policy.instance_id, policy.binding_id) == ("i 1", "")
    for name in ("b/1", "b2"):
        driver.unbind("i 1", name)
    driver.deprovision("i 1")
    driver.deprovision("i2")
    assert sandbox.empty


def test_buckets_of_all_regions_are_found(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", SELF_DEFINE, Region="eu-central-1")
    credentials = driver.bind("i", "b").credentials
    assert credentials["region"] == "eu-central-1"
    opened(credentials).list_objects()
    (found,) = inventory(driver)["OSS bucket"]
    assert found.parameters == {"Region": "eu-central-1"}
    record = driver.resource("i")
    assert {key: record[key] for key in found.resource} == found.resource
    assert isinstance(driver.broker, Inventory)
    driver.broker.keep(found)
    assert inventory(driver)["OSS bucket"][0].kept
    assert isinstance(driver.provision("j", SELF_DEFINE, BucketName=found.name).end, Failed)
    driver.deprovision("j")
    driver.unbind("i", "b")
    driver.deprovision("i")
    assert sandbox.empty


def test_what_others_have_is_not_found(oss: Drive, sandbox: Sandbox) -> None:
    driver, other = oss(), oss(ALIBROKER_NAME="other")
    other.provision("i", DEFAULT)
    other.bind("i", "b")
    sandbox.control("POST", "foreign-buckets", {"name": "alibroker-aaaaaaaaaa-0123456789abcdef"})
    assert not any(inventory(driver).values())
    assert [len(found) for found in inventory(other).values()] == [1, 1, 1]
    other.unbind("i", "b")
    other.deprovision("i")
    assert sandbox.empty


def test_what_exists_does_so_whatever_its_marks_say(oss: Drive, sandbox: Sandbox) -> None:
    driver, other = oss(), oss(ALIBROKER_NAME="other")
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    bucket, user = driver.resource("i"), driver.resource("i", "b")
    assert isinstance(other.broker, Inventory)
    exists = other.broker.exists
    assert not any(inventory(other).values())
    assert exists(bucket, of_binding=False)
    assert exists(user, of_binding=True)
    for action in ("ListBuckets", "ListUsers"):
        sandbox.fault(action, "error", code="AccessDenied", status=403, times=9)
    for resource, of_binding in ((bucket, False), (user, True)):
        with pytest.raises(TryAgainError):
            exists(resource, of_binding=of_binding)
    sandbox.control("DELETE", "faults")
    driver.unbind("i", "b")
    driver.deprovision("i")
    assert not exists(user, of_binding=True)
    # Another's bucket of the name is not it.
    sandbox.control("POST", "foreign-buckets", {"name": bucket["bucket"]})
    assert not exists(bucket, of_binding=False)


def test_a_change_behind_the_back_shows(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", SELF_DEFINE)
    broker: Any = driver.broker
    bucket = broker._instances.bucket(driver.work(driver.changed("i")))
    bucket.block_public_access(block=False)
    bucket.set_acl("public-read")
    bucket.set_versioning(on=True)
    (found,) = inventory(driver)["OSS bucket"]
    record = driver.resource("i")
    differing = {
        key for key in record.keys() & found.resource.keys() if record[key] != found.resource[key]
    }
    assert differing == {"acl", "versioning"}
    driver.deprovision("i")
    assert sandbox.empty


def test_an_update_keeps_record_and_cloud_alike(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    changed = {"ACL": "public-read", "Versioning": True, "Encryption": "KMS", "KmsKeyId": "key-1"}
    driver.update("i", SELF_DEFINE, **changed)
    (found,) = inventory(driver)["OSS bucket"]
    assert (found.plan_id, found.parameters) == (SELF_DEFINE, changed)
    record = driver.resource("i")
    assert {key: record[key] for key in found.resource} == found.resource
    driver.deprovision("i")
    assert sandbox.empty


def test_a_lost_store_is_rebuilt(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", SELF_DEFINE, Versioning=True, Tags={"team": "a"})
    old = driver.bind("i", "b", Access="read-only").credentials
    anew = oss()
    for kind in ("OSS bucket", "RAM user"):
        (found,) = inventory(anew)[kind]
        adopt(anew, found)
    new = anew.run([Operation(OperationKind.BIND, "i", "b")])[0].credentials
    assert new["username"] == old["username"]
    assert new["access"] == "read-only"
    assert opened(new).list_objects().object_list == []
    with pytest.raises(oss2.exceptions.ServerError, match="InvalidAccessKeyId"):
        opened(old).list_objects()
    ((user,), (_,)) = sandbox.ram
    assert [key["id"] for key in user["keys"]] == [new["access_key_id"]]
    assert isinstance(anew.update("i", Versioning=False).end, Succeeded)
    assert sandbox.buckets[0]["tags"]["team"] == "a"
    assert isinstance(anew.unbind("i", "b").end, Succeeded)
    assert isinstance(anew.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_the_key_in_use_works_until_the_new_one_does(
    oss: Drive, sandbox: Sandbox, lost: int, *, twice: bool
) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    old = driver.bind("i", "b").credentials
    (found,) = inventory(driver)["RAM user"]
    anew = oss(twice=twice)
    adopt(anew, inventory(driver)["OSS bucket"][0])
    adopt(anew, found)
    operation = Operation(OperationKind.BIND, "i", "b")
    if lost:
        sandbox.fault("CreateAccessKey", "reset", when="after", times=lost)
    while operation.state == b"{}" or b'"verify"' not in operation.state:
        anew.run([operation], steps=1)
        assert opened(old).list_objects().object_list == []
    new = anew.run([operation])[0].credentials
    opened(new).list_objects()
    ((user,), _) = sandbox.ram
    assert [key["id"] for key in user["keys"]] == [new["access_key_id"]]
    anew.unbind("i", "b")
    anew.deprovision("i")
    assert sandbox.empty


def test_a_user_whose_rights_are_unknown_is_not_bound_anew(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    broker: Any = driver.broker
    ram = broker._bindings._ram
    (user,) = inventory(driver)["RAM user"]
    ram.detach(user.resource["policy"], user.name)
    (found,) = inventory(driver)["RAM user"]
    assert (found.instance_id, found.binding_id) == ("i", "b")
    assert found.parameters == {}
    account = driver.resource("i")["account_id"]
    assert found.resource == {"user": user.name, "bound": True, "account_id": account}
    adopt(driver, found)
    operation = driver.run([Operation(OperationKind.BIND, "i", "b")])[0]
    assert isinstance(operation.end, Failed)
    assert "create another binding" in operation.end.reason
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.ram[0] == []
    driver.deprovision("i")
    assert sandbox.empty


def test_a_policy_that_was_edited_gives_no_ids(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    (user,) = inventory(driver)["RAM user"]
    broker: Any = driver.broker
    ram = broker._bindings._ram
    policy = user.resource["policy"]
    ram.detach(policy, user.name)
    ram.delete_policy(policy)
    wide = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}'
    ram.create_policy(policy, wide, {"alibroker": "alibroker", "alibroker-instance": "i"})
    ram.attach(policy, user.name)
    (found,) = inventory(driver)["RAM user"]
    assert (found.name, found.instance_id, found.binding_id) == (user.name, "", user.name)
    driver.unbind("i", "b")
    driver.deprovision("i")
    assert sandbox.empty


def test_an_unbind_needs_no_instance(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    driver.deprovision("i")
    assert sandbox.buckets == []
    (found,) = inventory(driver)["RAM user"]
    anew = oss()
    anew.ordered("i", DEFAULT)
    adopt(anew, found)
    assert anew.resource("i") == {}
    assert isinstance(anew.unbind("i", "b").end, Succeeded)
    assert sandbox.empty


def test_leftover_policies_go_with_an_instance_of_which_nothing_else_is_known(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    broker: Any = driver.broker
    document = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"x"}]}'
    for instance in ("i", "j"):
        tags = {"alibroker": "alibroker", "alibroker-instance": tag_value(instance)}
        broker._bindings._ram.create_policy(f"left-{instance}", document, tags)
    assert [one.instance_id for one in inventory(driver)["RAM policy"]] == ["i", "j"]
    driver.ordered("i", DEFAULT)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert [one.instance_id for one in inventory(driver)["RAM policy"]] == ["j"]
    driver.ordered("j", DEFAULT)
    assert isinstance(driver.deprovision("j").end, Succeeded)
    assert sandbox.empty


def test_a_policy_that_is_attached_elsewhere_stays_and_says_where(
    oss: Drive, sandbox: Sandbox, call: Callable[..., Any]
) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    (policy,) = inventory(driver)["RAM policy"]
    assert policy.held == ""
    named = {"PolicyName": policy.name, "PolicyType": "Custom"}
    call("CreateGroup", GroupName="ops")
    call("AttachPolicyToGroup", GroupName="ops", **named)
    call("CreateUser", UserName="joe")
    call("AttachPolicyToUser", UserName="joe", **named)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    (left,) = inventory(driver)["RAM policy"]
    assert left.held == "attached to RAM user joe, RAM group ops"
    # As an orphan that an operator wants gone.
    driver.ordered("orphan", DEFAULT)
    driver.instances["orphan"].resource = msgspec.json.encode(left.resource)
    failed = driver.deprovision("orphan").end
    assert isinstance(failed, Failed)
    assert f"{policy.name} is attached to RAM user joe, RAM group ops" in failed.reason
    call("DetachPolicyFromUser", UserName="joe", **named)
    call("DetachPolicyFromGroup", GroupName="ops", **named)
    assert isinstance(driver.deprovision("orphan").end, Succeeded)
    assert inventory(driver)["RAM policy"] == []
    call("DeleteUser", UserName="joe")
    call("DeleteGroup", GroupName="ops")
    assert sandbox.empty


def test_what_is_kept_says_so(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    assert isinstance(driver.broker, Inventory)
    driver.provision("i", DEFAULT, Tags={"team": "a"})
    driver.provision("j", DEFAULT, DeletionPolicy="keep")
    driver.bind("i", "b")
    driver.deprovision("j")
    found = inventory(driver)
    assert {one.instance_id: one.kept for one in found["OSS bucket"]} == {"i": False, "j": True}
    mine = next(one for one in found["OSS bucket"] if one.instance_id == "i")
    before = next(one["tags"] for one in sandbox.buckets if one["name"] == mine.name)
    for _ in range(2):
        driver.broker.keep(mine)
    after = next(one["tags"] for one in sandbox.buckets if one["name"] == mine.name)
    assert after == before | {"alibroker-kept": "true"}
    found = inventory(driver)
    assert all(one.kept for one in found["OSS bucket"])
    assert not found["RAM user"][0].kept
    with pytest.raises(TryAgainError, match="only buckets"):
        driver.broker.keep(found["RAM user"][0])
    assert next(one for one in found["OSS bucket"] if one.name == mine.name).parameters == {
        "Tags": {"team": "a"}
    }
    driver.unbind("i", "b")
    driver.deprovision("i")
    (left,) = inventory(driver)["OSS bucket"]
    adopt(driver, left)
    driver.instances["j"].parameters = {}
    assert isinstance(driver.deprovision("j").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_without_tags_is_known_by_its_name(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    operation = driver.ordered("i", DEFAULT)
    driver.step(operation)
    sandbox.fault("PutBucketTagging", "reset", when="before")
    driver.step(operation)
    (found,) = inventory(driver)["OSS bucket"]
    assert found.name == driver.resource("i")["bucket"]
    assert (found.instance_id, found.service_id) == ("", "")
    assert "created" not in found.resource
    driver.run([operation])
    assert inventory(driver)["OSS bucket"][0].instance_id == "i"
    driver.deprovision("i")
    assert sandbox.empty


CALLS = (
    "oss:ListBuckets",
    "oss:GetBucketTagging",
    "oss:GetBucketInfo",
    "ram:ListPolicies",
    "ram:GetPolicy",
    "ram:ListEntitiesForPolicy",
    "ram:ListUsers",
)


def test_half_an_inventory_is_never_returned(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    driver.bind("i", "b")
    sandbox.control("DELETE", "counters")
    whole = inventory(driver)
    assert set(CALLS) == set(sandbox.calls())
    for call in CALLS:
        for kind, details in (
            ("reset", {"when": "before"}),
            ("garbage", {"when": "after"}),
            ("throttle", {"when": "before", "seconds": 1.0}),
            ("error", {"when": "before", "status": 403, "code": "AccessDenied"}),
            ("error", {"when": "before", "status": 400, "code": "InvalidArgument"}),
        ):
            sandbox.fault(call, kind, **details)
            with pytest.raises(TryAgainError) as raised:
                inventory(driver)
            assert "testsecret" not in raised.value.reason
            assert inventory(driver) == whole
    sandbox.fault("GetBucketTagging", "reset", when="before")
    assert isinstance(driver.broker, Inventory)
    with pytest.raises(TryAgainError):
        driver.broker.keep(whole["OSS bucket"][0])
    driver.unbind("i", "b")
    driver.deprovision("i")
    assert sandbox.empty


def test_a_bucket_that_goes_while_it_is_looked_at_is_left_out(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    sandbox.fault("GetBucketInfo", "error", when="before", status=404, code="NoSuchBucket")
    assert inventory(driver)["OSS bucket"] == []
    driver.deprovision("i")
    assert sandbox.empty


def test_all_pages_are_read(oss: Drive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alibroker.brokers.oss.storage._PAGE", 2)
    monkeypatch.setattr("alibroker.brokers.oss.users._PAGE", 2)
    driver = oss()
    names = [f"i{number}" for number in range(5)]
    driver.run([driver.ordered(name, DEFAULT) for name in names])
    for name in names:
        driver.bind(name, "b")
    found = inventory(driver)
    for kind in found.values():
        assert sorted(one.instance_id for one in kind) == names
    for name in names:
        driver.unbind(name, "b")
        driver.deprovision(name)
    assert sandbox.empty


def test_of_a_long_instance_id_the_policy_reminds(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    long = "i" * 100
    driver.provision(long, DEFAULT)
    driver.bind(long, "b" * 36)
    (user,) = inventory(driver)["RAM user"]
    assert (user.instance_id, user.binding_id) == (long, "b" * 36)
    assert user.resource == driver.resource(long, "b" * 36)
    driver.unbind(long, "b" * 36)
    driver.deprovision(long)
    assert sandbox.empty


@pytest.mark.parametrize("policy_first", [False, True])
def test_what_has_no_ids_can_be_deleted(
    oss: Drive, sandbox: Sandbox, *, policy_first: bool
) -> None:
    driver = oss()
    instance, binding = "i" * 300, "b" * 300
    driver.provision(instance, DEFAULT)
    driver.bind(instance, binding)
    found = inventory(driver)
    (user,), (policy,) = found["RAM user"], found["RAM policy"]
    assert (user.instance_id, user.binding_id, policy.instance_id) == ("", user.name, "")
    anew = oss()
    anew.ordered("orphan", DEFAULT)
    anew.binding("orphan", user.name)
    anew.bindings["orphan", user.name].resource = msgspec.json.encode(user.resource)
    anew.instances["orphan"].resource = msgspec.json.encode(policy.resource)
    if policy_first:
        assert isinstance(anew.deprovision("orphan").end, Succeeded)
    assert isinstance(anew.unbind("orphan", user.name).end, Succeeded)
    assert isinstance(anew.deprovision("orphan").end, Succeeded)
    assert sandbox.ram == ([], [])
    driver.deprovision(instance)
    assert sandbox.empty
