"""Access by level and prefix, shared policies, rotation, and every leftover of a crash."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import oss2
import pytest

from alibroker.brokers.api import Accounts, InProgress, Succeeded
from alibroker.brokers.driver import Driver

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]
    Open = Callable[..., oss2.Bucket]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"


@pytest.fixture
def opened() -> Iterator[Open]:
    """Return a function that opens a bucket as an application does."""
    session = oss2.Session()
    session.session.trust_env = False

    def open_bucket(credentials: dict[str, Any], name: str = "") -> oss2.Bucket:
        auth = oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"])
        url, name = credentials["endpoint"], name or credentials["bucket"]
        return oss2.Bucket(auth, url, name, region=credentials["region"], session=session)

    yield open_bucket
    session.session.close()


@pytest.fixture
def driver(oss: Drive) -> Driver:
    """A driver with the instance `i`."""
    driver = oss()
    assert isinstance(driver.provision("i", PLAN).end, Succeeded)
    return driver


def allowed(call: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    """Tell whether a call is allowed; it must not fail for any other reason."""
    try:
        result = call(*arguments, **named)
    except oss2.exceptions.AccessDenied:
        return False
    except oss2.exceptions.ServerError as error:
        if error.code != "InvalidAccessKeyId":
            raise
        return False
    if hasattr(result, "read"):
        result.read()
    return True


def abilities(bucket: oss2.Bucket, there: str, new: str, prefix: str = "") -> dict[str, bool]:
    """Try out what a key may do with an object that is there and one that is new."""
    upload = ""

    def start() -> None:
        nonlocal upload
        upload = bucket.init_multipart_upload(new).upload_id

    found = {
        "list": allowed(bucket.list_objects_v2, prefix=prefix),
        "versions": allowed(bucket.list_object_versions, prefix=prefix),
        "get": allowed(bucket.get_object, there),
        "put": allowed(bucket.put_object, new, b"1"),
        "upload": allowed(start),
        "copy": allowed(bucket.copy_object, bucket.bucket_name, there, new),
        "delete": allowed(bucket.delete_object, new),
        "bucket": allowed(bucket.delete_bucket)
        or allowed(bucket.put_bucket_acl, "private")
        or allowed(bucket.put_object, new, b"1", headers={"x-oss-object-acl": "private"}),
    }
    if upload:
        assert allowed(bucket.abort_multipart_upload, new, upload)
    return found


def can(*names: str) -> dict[str, bool]:
    every = ("list", "versions", "get", "put", "upload", "copy", "delete", "bucket")
    return {name: name in names for name in every}


READS = ("list", "versions", "get")
WRITES = ("put", "upload")
CAN = {
    "read-write": can(*READS, *WRITES, "copy", "delete"),
    "read-only": can(*READS),
    "write-only": can(*WRITES),
}


def clean(driver: Driver, sandbox: Sandbox, *bindings: str) -> None:
    for binding in bindings:
        assert isinstance(driver.unbind("i", binding).end, Succeeded)
    assert sandbox.ram == ([], [])
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("level", list(CAN))
def test_a_key_may_do_what_its_level_says(
    driver: Driver, sandbox: Sandbox, opened: Open, level: str
) -> None:
    full = opened(driver.bind("i", "full").credentials)
    full.put_object("there", b"x")
    credentials = driver.bind("i", "b", Access=level).credentials
    assert credentials["access"] == level
    bucket = opened(credentials)
    assert abilities(bucket, "there", "new") == CAN[level]
    full.batch_delete_objects(["there", "new"])
    clean(driver, sandbox, "b", "full")
    assert not any(abilities(bucket, "there", "new").values())


@pytest.mark.parametrize("level", list(CAN))
def test_a_key_with_a_prefix_ends_there(
    driver: Driver, sandbox: Sandbox, opened: Open, level: str
) -> None:
    full = opened(driver.bind("i", "full").credentials)
    for key in ("a/there", "ab/there", "there"):
        full.put_object(key, b"x")
    bucket = opened(driver.bind("i", "b", Access=level, Prefix="a/").credentials)
    assert abilities(bucket, "a/there", "a/new", "a/") == CAN[level]
    assert abilities(bucket, "a/there", "a/new", "a/deeper/") == CAN[level]
    for outside in ("ab/", ""):
        found = abilities(bucket, f"{outside}there", f"{outside}new", outside)
        assert not any(found.values()), outside
    assert not allowed(bucket.list_objects)
    full.batch_delete_objects(["a/there", "a/new", "ab/there", "there"])
    clean(driver, sandbox, "b", "full")


def test_bindings_with_the_same_access_share_a_policy(driver: Driver, sandbox: Sandbox) -> None:
    wanted: dict[str, dict[str, str]] = {
        "b1": {},
        "b2": {},
        "b3": {"Access": "read-write"},
        "b4": {"Access": "read-only"},
        "b5": {"Access": "read-only", "Prefix": "p/"},
    }
    for name, parameters in wanted.items():
        driver.bind("i", name, **parameters)
    users, policies = sandbox.ram
    assert len(users) == 5
    assert sorted(policy["attachments"] for policy in policies) == [1, 1, 3]
    assert all(policy["tags"]["alibroker-instance"] == "i" for policy in policies)
    for name, left in zip(("b1", "b4", "b3", "b5", "b2"), (3, 2, 2, 1, 0), strict=True):
        assert isinstance(driver.unbind("i", name).end, Succeeded)
        assert len(sandbox.ram[1]) == left
    clean(driver, sandbox)


def test_an_unbind_may_take_the_policy_away_while_a_bind_is_about_to_attach_it(
    driver: Driver, sandbox: Sandbox, opened: Open
) -> None:
    driver.bind("i", "old")
    sandbox.fault("AttachPolicyToUser", "latency", when="before", seconds=0.5)
    ended: list[Any] = []
    bind = threading.Thread(target=lambda: ended.append(driver.bind("i", "new")))
    bind.start()
    while not sandbox.hits():
        threading.Event().wait(0.01)
    assert isinstance(driver.unbind("i", "old").end, Succeeded)
    assert sandbox.ram[1] == []
    bind.join(30)
    opened(ended[0].credentials).put_object("x", b"")
    opened(ended[0].credentials).delete_object("x")
    clean(driver, sandbox, "new")


def test_many_come_and_go_at_once(driver: Driver, sandbox: Sandbox) -> None:
    names = [f"b{number}" for number in range(12)]

    def live(name: str) -> None:
        for _ in range(2):
            assert isinstance(driver.bind("i", name).end, Succeeded)
            assert isinstance(driver.unbind("i", name).end, Succeeded)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(live, names))
    clean(driver, sandbox)


def test_a_policy_that_ram_still_sees_in_use_is_asked_about_again(
    driver: Driver, sandbox: Sandbox
) -> None:
    driver.bind("i", "b")
    sandbox.fault("DeletePolicy", "error", status=409, code="DeleteConflict.Policy.User", times=2)
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.hits() == 2
    clean(driver, sandbox)


def test_a_rotated_binding_overlaps_with_the_old_one(
    driver: Driver, sandbox: Sandbox, opened: Open
) -> None:
    (plan, *_) = driver.broker.offerings()[0].plans
    assert plan.binding_rotatable
    old, new = (opened(driver.bind("i", name).credentials) for name in ("old", "new"))
    old.put_object("x", b"old")
    assert new.get_object("x").read() == b"old"
    assert isinstance(driver.unbind("i", "old").end, Succeeded)
    assert not allowed(old.get_object, "x")
    new.delete_object("x")
    clean(driver, sandbox, "new")


def test_the_first_use_of_a_key_works(oss: Drive, sandbox: Sandbox, opened: Open) -> None:
    sandbox.settings(time_scale=0.2)
    driver = oss()
    driver.provision("i", PLAN)
    for level in CAN:
        bucket = opened(driver.bind("i", level, Access=level).credentials)
        assert allowed(bucket.put_object, "x", b"1") == (level != "read-only")
        assert allowed(bucket.list_objects) == (level != "write-only")
    sandbox.settings(time_scale=0.0)
    opened(driver.bind("i", "b").credentials).delete_object("x")
    clean(driver, sandbox, "b", *CAN)


@pytest.mark.parametrize("lost", ["CreateUser", "CreatePolicy", "AttachPolicyToUser"])
def test_a_user_without_a_key_is_taken_up_again(
    driver: Driver, sandbox: Sandbox, lost: str
) -> None:
    operation = driver.binding("i", "b")
    driver.step(operation)
    sandbox.fault(lost, "reset", when="after")
    driver.step(operation)
    assert len(sandbox.ram[0]) == 1
    assert sandbox.ram[0][0]["keys"] == []
    driver.run([operation])
    assert len(sandbox.ram[0][0]["keys"]) == 1
    clean(driver, sandbox, "b")


def test_a_key_that_comes_up_late_does_not_stay(driver: Driver, sandbox: Sandbox) -> None:
    """Its request took effect after the keys had been looked at and before the bind had ended."""
    operation = driver.binding("i", "b")
    driver.step(operation)
    sandbox.fault("CreateAccessKey", "reset", when="after")
    driver.step(operation)
    driver.step(operation)
    assert isinstance(operation.steps[-1], InProgress)
    user = driver.resource("i", "b")["user"]
    broker: Any = driver.broker
    broker._bindings._ram.create_access_key(user)
    key = driver.run([operation])[0].credentials["access_key_id"]
    assert [one["id"] for one in sandbox.ram[0][0]["keys"]] == [key]
    clean(driver, sandbox, "b")


def test_a_binding_says_where_the_bucket_is(driver: Driver, sandbox: Sandbox) -> None:
    end = driver.bind("i", "b", Prefix="p/").end
    assert isinstance(end, Succeeded)
    host, port = sandbox.inside.removeprefix("http://").split(":")
    assert end.endpoints == ({"host": host, "ports": [port], "protocol": "tcp"},)
    assert end.credentials is not None
    assert end.credentials["prefix"] == "p/"
    clean(driver, sandbox, "b")


def test_the_cloud_is_called_rarely(oss: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(time_scale=0.0)
    driver = oss()
    assert isinstance(driver.broker, Accounts)
    driver.broker.account()  # which is asked once
    sandbox.control("DELETE", "counters")
    counts = {}

    def count(name: str) -> None:
        counts[name] = sum(sandbox.calls().values())
        sandbox.control("DELETE", "counters")

    driver.provision("i", PLAN)
    count("provision")
    for name in ("b1", "b2"):
        driver.bind("i", name)
        count(f"bind {name}")
    for name in ("b1", "b2"):
        driver.unbind("i", name)
        count(f"unbind {name}")
    driver.deprovision("i")
    count("deprovision")
    assert counts == {
        "provision": 3,
        "bind b1": 5,
        "bind b2": 5,
        "unbind b1": 6,
        "unbind b2": 5,
        "deprovision": 2,
    }


def test_a_policy_that_everybody_left_to_the_other_goes_with_the_bucket(
    driver: Driver, sandbox: Sandbox
) -> None:
    driver.bind("i", "b")
    ((_,), (policy,)) = sandbox.ram
    driver.unbind("i", "b")
    broker: Any = driver.broker
    ram = broker._bindings._ram
    ram.create_policy(policy["name"], policy["document"], policy["tags"])
    elsewhere = policy["tags"] | {"alibroker-instance": "other"}
    ram.create_policy("not-of-this-instance", policy["document"], elsewhere)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert [one["name"] for one in sandbox.ram[1]] == ["not-of-this-instance"]
    ram.delete_policy("not-of-this-instance")
    assert sandbox.empty
