"""Emptying a bucket: objects of any name go, and what does not go ends it early."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import oss2
import pytest

from alibroker.brokers.api import Failed, InProgress, OperationKind, Succeeded
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]
    Owner = Callable[[Driver], oss2.Bucket]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
ODD = [
    "\r",
    "a\rb",
    "a\r\nb",
    "a\nb",
    "\t",
    "\x01",
    "a\x1fb",
    "\x7f\x85",
    " leading",
    "trailing ",
    "trailing\n",
    "\u3000wide",
    "\ufffe",
    "a\uffff",
    "x/../\x02/..",
    "%0D + & <ä>",
    "\U0001f600\x0b",
]


@pytest.fixture
def driver(oss: Drive) -> Driver:
    """A driver with an instance `i` whose contents may be deleted."""
    driver = oss()
    assert isinstance(driver.provision("i", PLAN, DeletionPolicy="delete").end, Succeeded)
    return driver


@pytest.fixture
def owner(sandbox: Sandbox) -> Iterator[Owner]:
    """Return a function that opens the instance's bucket as the account's owner."""
    session = oss2.Session()
    session.session.trust_env = False

    def open_bucket(driver: Driver) -> oss2.Bucket:
        name = driver.resource("i")["bucket"]
        auth = oss2.AuthV4("testid", "testsecret")
        return oss2.Bucket(auth, sandbox.inside, name, region="cn-hangzhou", session=session)

    yield open_bucket
    session.session.close()


def send(bucket: oss2.Bucket, method: str, key: str, query: str = "") -> int:
    """Send a request whose path stays as it is, unlike with oss2, and return the status."""
    request = oss2.http.Request(
        method,
        bucket._make_url(bucket.bucket_name, key),
        params={query: ""} if query else {},
        region=bucket.region,
        product=bucket.product,
    )
    bucket.auth._sign_request(request, bucket.bucket_name, key)
    place = urlsplit(request.url)
    path = f"{place.path}?{query}" if query else place.path
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=20)) as connection:
        connection.request(method, path, headers={**request.headers, "Accept-Encoding": ""})
        return connection.getresponse().status


def said(operation: Operation) -> list[str]:
    return [step.description for step in operation.steps if isinstance(step, InProgress)]


@pytest.mark.parametrize("versioning", [True, False])
def test_objects_of_any_name_are_deleted(
    driver: Driver, sandbox: Sandbox, owner: Owner, *, versioning: bool
) -> None:
    driver.update("i", Versioning=versioning)
    bucket = owner(driver)
    for key in ODD:
        bucket.put_object(key, b"1")
        with contextlib.suppress(ParseError):  # the answer repeats the key
            bucket.init_multipart_upload(key)
        if versioning:
            bucket.put_object(key, b"2")
            bucket.delete_object(key)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Succeeded)
    objects = len(ODD) * (3 if versioning else 1)
    assert f"{objects} objects and versions and {len(ODD)} unfinished" in said(operation)[-1]
    assert sandbox.calls()["oss:DeleteMultipleObjects"] == 1
    assert sandbox.empty


def test_what_is_altered_on_the_way_goes_one_by_one(
    driver: Driver, sandbox: Sandbox, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = owner(driver)
    for number in range(5):
        bucket.put_object(f"{number}", b"1")
    # A cloud that answers that all have gone, and has deleted others.
    monkeypatch.setattr(oss2.Bucket, "delete_object_versions", lambda *_, **__: None)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Succeeded)
    assert "0 objects" in said(operation)[1]
    assert "5 objects" in said(operation)[-1]
    assert sandbox.empty


def test_only_what_has_gone_counts(
    driver: Driver, sandbox: Sandbox, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = owner(driver)
    for number in range(5):
        bucket.put_object(f"{number}", b"1")
    delete = oss2.Bucket.delete_object_versions

    def all_but_one(self: oss2.Bucket, versions: Any, *rest: Any, **named: Any) -> Any:
        if len(versions.object_version_list) > 1:
            versions.object_version_list.pop(0)
        return delete(self, versions, *rest, **named)

    monkeypatch.setattr(oss2.Bucket, "delete_object_versions", all_but_one)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Succeeded)
    assert [text.partition(": ")[2][:9] for text in said(operation)] == [
        *("0 objects", "4 objects", "5 objects")
    ]
    assert sandbox.empty


def test_what_nobody_may_delete_ends_it_and_is_named(
    driver: Driver, sandbox: Sandbox, owner: Owner
) -> None:
    bucket = owner(driver)
    bucket.put_object("evidence", b"1")
    bucket.put_object("odd\r", b"1")
    bucket.init_bucket_worm(1)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert operation.end.instance_usable
    for text in ("'evidence'", r"'odd\r'", "FileImmutable"):
        assert text in operation.end.reason
    assert len(operation.steps) <= 5
    bucket.abort_bucket_worm()
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_uploads_that_do_not_go_end_it(
    driver: Driver, sandbox: Sandbox, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(driver).init_multipart_upload("big")
    with monkeypatch.context() as patch:
        patch.setattr(oss2.Bucket, "abort_multipart_upload", lambda *_, **__: None)
        operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert "'big'" in operation.end.reason
    assert "unfinished uploads" in operation.end.reason
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_keys_that_are_steps_in_a_path_are_deleted(
    driver: Driver, sandbox: Sandbox, owner: Owner
) -> None:
    """Uploads go by their path alone; oss2 signs it, and then asks for another one."""
    bucket = owner(driver)
    for key in (".", ".."):
        assert send(bucket, "PUT", key) == 200
        assert send(bucket, "POST", key, "uploads") == 200
        with pytest.raises(oss2.exceptions.ServerError):
            bucket.abort_multipart_upload(key, "0" * 32)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Succeeded)
    assert "2 objects and versions and 2 unfinished" in said(operation)[-1]
    assert sandbox.empty


def test_keys_that_are_steps_and_do_not_arrive_end_it(
    driver: Driver, sandbox: Sandbox, owner: Owner
) -> None:
    bucket = owner(driver)
    assert send(bucket, "POST", "..", "uploads") == 200
    code = "SignatureDoesNotMatch"
    sandbox.fault("AbortMultipartUpload", "error", status=403, code=code, times=None)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert "unfinished uploads that cannot be deleted, such as '..'" in operation.end.reason
    assert len(operation.steps) <= 5
    sandbox.control("DELETE", "faults")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_what_is_in_no_list_ends_it(driver: Driver, sandbox: Sandbox) -> None:
    sandbox.fault("DeleteBucket", "error", status=409, code="BucketNotEmpty", times=None)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert "LiveChannels" in operation.end.reason
    assert sandbox.hits() < 10
    sandbox.control("DELETE", "faults")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_deletion_that_is_cut_off_is_repeated(
    driver: Driver, sandbox: Sandbox, owner: Owner
) -> None:
    owner(driver).put_object("a\rb", b"1")
    sandbox.fault("DeleteObject", "error", status=500, code="InternalError")
    sandbox.fault("DeleteObject", "reset", when="before")
    sandbox.fault("DeleteObject", "reset", when="after")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.hits() == 3
    assert sandbox.empty


def test_any_step_may_be_done_twice(oss: Drive, sandbox: Sandbox, owner: Owner) -> None:
    driver = oss(twice=True)
    driver.provision("i", PLAN, DeletionPolicy="delete")
    bucket = owner(driver)
    for key in (*ODD, *"abc"):
        bucket.put_object(key, b"1")
    operation = Operation(OperationKind.DEPROVISION, "i")
    driver.run([operation])
    assert isinstance(operation.end, Succeeded)
    assert sandbox.empty
