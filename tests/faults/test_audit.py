"""The audit finds what is wrong: each of its findings is brought about by hand, in real worlds."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from audit import audit, stored_records
from fate import Fate
from history import Asked, Request, Told
from laboratory import Laboratory, Life
from owner import Owner
from waiting import eventually
from world import OSS, RDS, World

from alibroker.etcd import keys
from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.records import encode
from alibroker.lifecycle.records import OperationState, Record

ALL = ("provision", "bind", "unbind", "deprovision")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    world = World(tmp_path_factory.mktemp("world"))
    try:
        yield Laboratory(Fate(world, 0))
    finally:
        world.stop()


@pytest.fixture
def world(laboratory: Laboratory) -> World:
    return laboratory.world


@pytest.fixture
def owner(world: World) -> Owner:
    return Owner(world)


Found = Callable[[], list[str]]
Live = Callable[..., Life]


@pytest.fixture
def found(laboratory: Laboratory) -> Found:
    """Return a function that says what an audit finds more than when the test began.

    The worlds are shared by all tests here, so what one has broken the next finds broken.
    """
    before = set(audit(laboratory).findings)
    return lambda: [one for one in audit(laboratory).findings if one not in before]


@pytest.fixture
def live(laboratory: Laboratory, found: Found) -> Live:
    """Return a function that walks through a life; it has to end well, and the audit to agree."""

    def begin(service: str, *story: str) -> Life:
        plan = (RDS if service == "rds" else OSS)["plan_id"]
        life = Life(len(laboratory.lives), service, story, plan)
        laboratory.lives.append(life)
        laboratory.walk(life)
        assert found() == []
        return life

    return begin


def record_of(world: World, life: Life, binding: str = "") -> Record:
    return stored_records(world)[0][life.instance, binding]


def path_of(life: Life, binding: str = "") -> str:
    if binding:
        return keys.binding_key(life.instance, binding)
    return keys.instance_key(life.instance)


def write(world: World, path: str, value: bytes | None) -> None:
    with Etcd([world.store]) as etcd:
        (held,) = etcd.read([path], timeout=5)
        entry = Entry(path, value, held.revision if held else 0)
        (outcome,) = etcd.commit([entry], timeout=5)
        assert isinstance(outcome, Committed)


def store(world: World, record: Record, path: str) -> None:
    write(world, path, encode(record, world.sealer(), path))


def matches(findings: list[str], *patterns: str) -> None:
    """Each pattern fits one finding, and no finding is left."""
    assert len(findings) == len(patterns), findings
    for pattern in patterns:
        assert any(re.fullmatch(pattern, one) for one in findings), findings


def test_good_lives_are_no_findings(live: Live, laboratory: Laboratory) -> None:
    for service in ("rds", "oss"):
        for story in (ALL, ("provision", "update"), ("provision", "bind")):
            live(service, *story)
        live(service, "provision at once", "deprovision")
    text = audit(laboratory).text()
    assert "The three worlds agree" in text or "DO NOT AGREE" in text
    assert re.search(r"accepted +\d+ operations on \d+ instances", text)


def test_a_database_instance_that_vanished(
    live: Live, world: World, owner: Owner, found: Found
) -> None:
    life = live("rds", "provision", "bind")
    name = record_of(world, life).resource["instance_id"]
    owner.call("rds", "DeleteDBInstance", DBInstanceId=name)
    eventually(lambda: name not in {one["id"] for one in world.inventory()["instances"]})
    matches(
        found(),
        f"RDS instance {name}: a record means it, the cloud does not hold it",
        f"database account \\w+ of {name}: a record means it, the cloud does not hold it",
    )


def test_a_database_instance_too_many(live: Live, world: World, owner: Owner, found: Found) -> None:
    life = live("rds", "provision")
    held = next(iter(world.inventory()["instances"]))
    name = owner.call(
        "rds",
        "CreateDBInstance",
        ZoneId=held["zone"],
        Engine="MySQL",
        EngineVersion="8.0",
        DBInstanceClass=held["class"],
        DBInstanceStorage=20,
        DBInstanceNetType="Intranet",
        SecurityIPList="127.0.0.1",
        PayType="Postpaid",
    )["DBInstanceId"]
    assert name != record_of(world, life).resource["instance_id"]
    matches(found(), f"RDS instance {name}: the cloud holds it, no record means it")


def test_a_database_account_that_vanished(
    live: Live, world: World, owner: Owner, found: Found
) -> None:
    life = live("rds", "provision", "bind")
    place = record_of(world, life).resource["instance_id"]
    name = record_of(world, life, "b").resource["username"]
    owner.call("rds", "DeleteAccount", DBInstanceId=place, AccountName=name)
    gone = f"database account {name} of {place}: a record means it, the cloud does not hold it"
    eventually(lambda: gone in found())


def test_a_database_password_that_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a real server says so."""
    monkeypatch.setenv("SANDBOX_DATA_PLANES", "auto")
    world = World(tmp_path)
    try:
        if "MySQL" not in world.sandbox.control("GET", "inventory")["rds"]["servers"]:
            if os.environ.get("CI") == "true":
                pytest.fail("no database server is installed: run `make databases`")
            pytest.skip("no database server is installed")
        laboratory = Laboratory(Fate(world, 0))
        life = Life(0, "rds", ("provision", "bind"), RDS["plan_id"])
        laboratory.lives.append(life)
        laboratory.walk(life)
        assert audit(laboratory).findings == []
        Owner(world).call(
            "rds",
            "ResetAccountPassword",
            DBInstanceId=record_of(world, life).resource["instance_id"],
            AccountName=record_of(world, life, "b").resource["username"],
            AccountPassword="Another-Pass1",
        )
        closed = "life-0: the database does not open with the credentials"
        assert audit(laboratory).findings == [closed]
    finally:
        world.stop()


def test_a_bucket_that_vanished(live: Live, world: World, owner: Owner, found: Found) -> None:
    life = live("oss", "provision")
    name = record_of(world, life).resource["bucket"]
    owner.bucket(name).delete_bucket()
    matches(found(), f"bucket {name}: a record means it, the cloud does not hold it")


def test_a_bucket_too_many(live: Live, owner: Owner, found: Found) -> None:
    live("oss", "provision")
    owner.bucket("nobody-asked-for-it").create_bucket()
    matches(found(), "bucket nobody-asked-for-it: the cloud holds it, no record means it")


def test_a_bucket_whose_tags_were_changed(
    live: Live, world: World, owner: Owner, found: Found
) -> None:
    life = live("oss", "provision")
    bucket = owner.bucket(record_of(world, life).resource["bucket"])
    bucket.delete_bucket_tagging()
    matches(found(), f"{life.instance}: what the cloud holds has the tags .*")


def test_a_user_and_a_policy_too_many(live: Live, owner: Owner, found: Found) -> None:
    live("oss", "provision")
    owner.call("ram", "CreateUser", UserName="nobody")
    nothing = '{"Effect": "Deny", "Action": "oss:*", "Resource": "*"}'
    document = f'{{"Version": "1", "Statement": [{nothing}]}}'
    owner.call("ram", "CreatePolicy", PolicyName="nothing", PolicyDocument=document)
    matches(
        found(),
        "user nobody: the cloud holds it, no record means it",
        "policy nothing: the cloud holds it, no record means it",
    )


@pytest.mark.parametrize("how", ["replaced", "disabled", "doubled"])
def test_an_access_key_that_is_another(
    live: Live, world: World, owner: Owner, found: Found, how: str
) -> None:
    life = live("oss", "provision", "bind")
    assert life.credentials is not None
    user = {"UserName": record_of(world, life, "b").resource["user"]}
    key = {"UserAccessKeyId": life.credentials["access_key_id"]}
    if how in ("replaced", "doubled"):
        owner.call("ram", "CreateAccessKey", **user)
    if how == "replaced":
        owner.call("ram", "DeleteAccessKey", **user, **key)
    if how == "disabled":
        owner.call("ram", "UpdateAccessKey", **user, **key, Status="Inactive")
    keys_differ = f"{life.instance}: the user has the keys .*, told was {key['UserAccessKeyId']}"
    if how == "doubled":
        matches(found(), keys_differ)
    else:
        closed = f"{life.instance}: the bucket does not open with the credentials"
        matches(found(), keys_differ, closed)


def test_a_user_without_its_policy(live: Live, world: World, owner: Owner, found: Found) -> None:
    life = live("oss", "provision", "bind")
    facts = record_of(world, life, "b").resource
    owner.call(
        "ram",
        "DetachPolicyFromUser",
        PolicyType="Custom",
        PolicyName=facts["policy"],
        UserName=facts["user"],
    )
    policyless = f"{life.instance}: the user does not have its policy"
    closed = f"{life.instance}: the bucket does not open with the credentials"
    # The bucket learns of it a little later.
    eventually(lambda: set(found()) == {policyless, closed})


@pytest.mark.parametrize("service", ["rds", "oss"])
def test_a_record_that_was_forgotten(live: Live, world: World, found: Found, service: str) -> None:
    life = live(service, "provision")
    write(world, path_of(life), None)
    what = "RDS instance" if service == "rds" else "bucket"
    matches(
        found(),
        f"{life.instance}: the platform was told ready, etcd holds nothing",
        f"{what} [a-z0-9-]+: the cloud holds it, no record means it",
    )


def test_a_record_that_nobody_asked_for(live: Live, world: World, found: Found) -> None:
    life = live("oss", *ALL)
    record = record_of(world, life)
    path = keys.instance_key("invented")
    store(world, msgspec.structs.replace(record, instance_id="invented"), path)
    matches(found(), "invented: etcd holds a record that nobody asked for")


def test_a_record_that_was_damaged(live: Live, world: World, found: Found) -> None:
    life = live("oss", *ALL)
    write(world, path_of(life, "b"), b'{"schema": 1, "private": "x"}')
    assert any(one.startswith("a record cannot be read") for one in found())


def test_an_operation_without_an_end(live: Live, world: World, found: Found) -> None:
    life = live("oss", *ALL)
    record = record_of(world, life)
    running = msgspec.structs.replace(record.operation, state=OperationState.IN_PROGRESS)
    store(world, msgspec.structs.replace(record, operation=running), path_of(life))
    matches(
        found(),
        f"{life.instance}: its deprovision has no end",
        f"{life.instance}: the platform was told deleted, etcd holds deleting",
    )


def test_a_binding_whose_credentials_were_changed_in_the_store(
    live: Live, world: World, found: Found
) -> None:
    life = live("oss", "provision", "bind")
    record = record_of(world, life, "b")
    other = {**(record.private.credentials or {}), "secret_access_key": "another"}
    private = msgspec.structs.replace(record.private, credentials=other)
    store(world, msgspec.structs.replace(record, private=private), path_of(life, "b"))
    matches(found(), f"{life.instance}: etcd holds other credentials than those told")


def test_a_plan_that_is_another(live: Live, world: World, found: Found) -> None:
    life = live("rds", "provision", "update")
    record = msgspec.structs.replace(record_of(world, life), plan_id=RDS["plan_id"])
    store(world, record, path_of(life))
    matches(found(), f"{life.instance}: etcd holds plan .*, asked for was {life.plan_id}")


def test_what_was_deleted_though_the_platform_holds_it(
    live: Live, world: World, found: Found
) -> None:
    life = live("oss", "provision")
    world.do("deprovision", life.offer, life.instance)
    matches(found(), f"{life.instance}: the platform was told ready, etcd holds deleted")


def test_a_wrong_answer_to_the_platform(live: Live, laboratory: Laboratory, found: Found) -> None:
    """A binding of an instance that does not exist is refused, though the story has it succeed."""
    live("oss", "provision")
    life = Life(len(laboratory.lives), "oss", ("bind",), OSS["plan_id"])
    laboratory.lives.append(life)
    laboratory.walk(life)
    matches(found(), f"{life.instance}: bind was answered 404")


def test_an_answer_that_was_true_before(live: Live, laboratory: Laboratory, found: Found) -> None:
    """As a replica would give that has not heard of the latest change."""
    life = live("oss", "provision", "deprovision")
    answers = laboratory.history.of_instance[life.instance]
    before = next(one for one in answers if one.told and one.told.state == "succeeded")
    now = time.monotonic()
    answers.append(Request(Asked("fetch"), Told(200, plan=life.plan_id), now, now))
    (finding,) = found()
    assert finding.startswith(f"{life.instance}: nothing explains this answer")
    assert str(before) in finding


def test_a_defect_that_the_log_tells_of(live: Live, world: World, found: Found) -> None:
    live("oss", "provision")
    with (world.directory / "broker.log").open("a") as log:
        log.write("12:00:00 ERROR alibroker.actors.worker: bind of i: defect in a step\n")
    (finding,) = found()
    assert finding.endswith("bind of i: defect in a step")
