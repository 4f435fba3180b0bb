"""Deprovision: never more is deleted than was agreed on, and then all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import oss2
import pytest

from alibroker.brokers import oss as package
from alibroker.brokers.api import Failed, InProgress, OperationKind, Succeeded, TryAgainError
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]
    Owner = Callable[[Driver, str], oss2.Bucket]

CATALOG = Path(package.__file__).with_name("catalog.yaml")
PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"


@pytest.fixture
def owner(sandbox: Sandbox) -> Iterator[Owner]:
    """Return a function that opens an instance's bucket as the account's owner."""
    session = oss2.Session()
    session.session.trust_env = False

    def open_bucket(driver: Driver, instance: str) -> oss2.Bucket:
        name = driver.resource(instance)["bucket"]
        auth = oss2.AuthV4("testid", "testsecret")
        return oss2.Bucket(auth, sandbox.inside, name, region="cn-hangzhou", session=session)

    yield open_bucket
    session.session.close()


def fill(sandbox: Sandbox, bucket: oss2.Bucket, **what: int) -> None:
    sandbox.control("POST", "objects", {"bucket": bucket.bucket_name, **what})


def empty(bucket: oss2.Bucket) -> None:
    """Empty a bucket as its owner."""
    for one in bucket.list_multipart_uploads().upload_list:
        bucket.abort_multipart_upload(one.key, one.upload_id)
    found = bucket.list_object_versions(max_keys=1000)
    for version in (*found.versions, *found.delete_marker):
        bucket.delete_object(version.key, params={"versionId": version.versionid})


@pytest.mark.parametrize(
    "what", [{"objects": 1}, {"uploads": 1}, {"objects": 1, "old_versions": 1}], ids=str
)
@pytest.mark.parametrize("parameters", [{}, {"DeletionPolicy": "refuse"}], ids=str)
def test_contents_are_not_deleted_unless_asked_for(
    oss: Drive, sandbox: Sandbox, owner: Owner, what: dict[str, int], parameters: dict[str, str]
) -> None:
    driver = oss()
    driver.provision("i", PLAN, **parameters)
    bucket = owner(driver, "i")
    fill(sandbox, bucket, **what)
    before = sandbox.buckets
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert "empty it" in operation.end.reason
    assert operation.end.instance_usable
    assert sandbox.buckets == before
    empty(bucket)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_old_versions_alone_keep_a_bucket(oss: Drive, sandbox: Sandbox, owner: Owner) -> None:
    driver = oss()
    driver.provision("i", PLAN, Versioning=True)
    bucket = owner(driver, "i")
    bucket.put_object("x", b"precious")
    bucket.delete_object("x")
    assert bucket.list_objects().object_list == []
    assert isinstance(driver.deprovision("i").end, Failed)
    empty(bucket)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_contents_are_deleted_where_that_was_asked_for(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss()
    driver.provision("i", PLAN, Versioning=True, DeletionPolicy="delete")
    driver.provision("other", PLAN, DeletionPolicy="delete")
    bucket, other = owner(driver, "i"), owner(driver, "other")
    fill(sandbox, bucket, objects=900, old_versions=2, uploads=70)
    fill(sandbox, other, objects=10, uploads=1)
    bucket.put_object("odd key/ä&<>%2F", b"x")
    bucket.delete_object("odd key/ä&<>%2F")
    before = next(one for one in sandbox.buckets if one["name"] == other.bucket_name)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Succeeded)
    said = [step.description for step in operation.steps if isinstance(step, InProgress)]
    # 2,702 versions go in pages of 1,000, 70 uploads in pages of 50.
    assert len(said) == 6
    assert "1,000 objects and versions and 0 unfinished uploads" in said[1]
    assert "2,702 objects and versions and 70 unfinished uploads" in said[-1]
    assert sandbox.buckets == [before]
    assert isinstance(driver.deprovision("other").end, Succeeded)
    assert sandbox.empty


def test_emptying_goes_on_after_any_crash(oss: Drive, sandbox: Sandbox, owner: Owner) -> None:
    driver = oss(twice=True)
    driver.provision("i", PLAN, Versioning=True, DeletionPolicy="delete")
    fill(sandbox, owner(driver, "i"), objects=900, old_versions=1, uploads=60)
    for action in ("ListObjectVersions", "DeleteMultipleObjects", "AbortMultipartUpload"):
        sandbox.fault(action, "reset", when="after")
        sandbox.fault(action, "error", when="before", status=500, code="InternalError")
        sandbox.fault(action, "throttle", when="before", seconds=0.05)
    operation = Operation(OperationKind.DEPROVISION, "i")
    while operation.end is None:
        driver.run([operation], steps=1)
    assert isinstance(operation.end, Succeeded)
    assert any(isinstance(step, TryAgainError) for step in operation.steps)
    assert sandbox.hits() == 9
    assert sandbox.empty


def test_a_bucket_that_is_written_to_meanwhile_is_emptied_again(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss()
    driver.provision("i", PLAN, DeletionPolicy="delete")
    bucket = owner(driver, "i")
    fill(sandbox, bucket, objects=3)
    sandbox.fault("DeleteBucket", "error", status=409, code="BucketNotEmpty", times=3)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_with_other_tags_is_not_emptied(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss()
    driver.provision("i", PLAN, DeletionPolicy="delete")
    bucket = owner(driver, "i")
    tags = bucket.get_bucket_tagging()
    bucket.delete_bucket_tagging()
    bucket.put_object("x", b"1")
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert "tags" in operation.end.reason
    assert bucket.object_exists("x")
    bucket.put_bucket_tagging(tags)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_emptying_stops_when_the_tags_are_taken_away(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss()
    driver.provision("i", PLAN, DeletionPolicy="delete")
    bucket = owner(driver, "i")
    fill(sandbox, bucket, objects=2500)
    operation = Operation(OperationKind.DEPROVISION, "i")
    driver.run([operation], steps=2)
    tags = bucket.get_bucket_tagging()
    bucket.delete_bucket_tagging()
    driver.run([operation])
    assert isinstance(operation.end, Failed)
    assert "tags" in operation.end.reason
    assert [one["objects"] for one in sandbox.buckets] == [1500]
    bucket.put_bucket_tagging(tags)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_is_kept_where_that_was_asked_for(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss(twice=True)
    driver.provision("i", PLAN, DeletionPolicy="keep", Tags={"team": "a"})
    bucket = owner(driver, "i")
    bucket.put_object("x", b"1")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    (kept,) = sandbox.buckets
    assert kept["objects"] == 1
    assert kept["tags"]["alibroker-kept"] == "true"
    assert kept["tags"]["alibroker-instance"] == "i"
    assert kept["tags"]["team"] == "a"
    bucket.delete_object("x")
    bucket.delete_bucket()
    assert sandbox.empty


@pytest.mark.parametrize("policy", ["delete", "keep"])
def test_a_failed_creation_is_undone_whatever_was_agreed_on(
    oss: Drive, sandbox: Sandbox, policy: str
) -> None:
    driver = oss()
    sandbox.fault("PutBucketTagging", "error", status=400, code="InvalidTag")
    operation = driver.provision("i", PLAN, DeletionPolicy=policy)
    assert isinstance(operation.end, Failed)
    assert len(sandbox.buckets) == 1
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_that_somebody_else_deleted_is_gone(
    oss: Drive, sandbox: Sandbox, owner: Owner
) -> None:
    driver = oss()
    for policy in ("refuse", "delete", "keep"):
        driver.provision(policy, PLAN, DeletionPolicy=policy)
        owner(driver, policy).delete_bucket()
        assert isinstance(driver.deprovision(policy).end, Succeeded)
    assert sandbox.empty


def test_the_plan_may_say_what_becomes_of_contents(
    oss: Drive, sandbox: Sandbox, owner: Owner, tmp_path: Path
) -> None:
    text = CATALOG.read_text()
    file = tmp_path / "catalog.yaml"
    file.write_text(text.replace("deletion: refuse", "deletion: delete"))
    driver = oss(ALIBROKER_OSS_CATALOG=str(file))
    driver.provision("i", PLAN)
    owner(driver, "i").put_object("x", b"1")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    driver.provision("j", PLAN, DeletionPolicy="refuse")
    owner(driver, "j").put_object("x", b"1")
    assert isinstance(driver.deprovision("j").end, Failed)
    owner(driver, "j").delete_object("x")
    assert isinstance(driver.deprovision("j").end, Succeeded)
    assert sandbox.empty
