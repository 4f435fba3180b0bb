"""Endpoints: what serves objects is found out, and applications are told what they can use."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import oss2
import pytest
from oss2.models import PutBucketCnameRequest

from alibroker.brokers.api import Failed, Succeeded, TryAgainError
from alibroker.brokers.driver import Driver
from alibroker.brokers.oss.endpoints import OSS_BINDING_ENDPOINT, OSS_ENDPOINT

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]
    Open = Callable[[dict[str, Any]], oss2.Bucket]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SELF_DEFINE = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"
REFUSED = "PublicEndpointForbidden"


@pytest.fixture
def opened() -> Iterator[Open]:
    """Return a function that opens a bucket as an application does."""
    session = oss2.Session()
    session.session.trust_env = False

    def open_bucket(credentials: dict[str, Any]) -> oss2.Bucket:
        return oss2.Bucket(
            oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"]),
            credentials["endpoint"],
            credentials["bucket"],
            is_cname=credentials.get("cname", False),
            region=credentials["region"],
            session=session,
        )

    yield open_bucket
    session.session.close()


@pytest.fixture
def owner(sandbox: Sandbox, opened: Open) -> Callable[[str], oss2.Bucket]:
    """Return a function that opens a bucket as the account's owner, from inside the region."""

    def open_bucket(name: str) -> oss2.Bucket:
        key = {"access_key_id": "testid", "secret_access_key": "testsecret"}
        return opened(key | {"endpoint": sandbox.inside, "bucket": name, "region": "cn-hangzhou"})

    return open_bucket


def clean(driver: Driver, sandbox: Sandbox, *bindings: str) -> None:
    for binding in bindings:
        assert isinstance(driver.unbind("i", binding).end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("level", ["read-write", "read-only", "write-only"])
def test_where_the_public_endpoint_serves_no_objects_the_internal_one_is_told(
    oss: Drive, sandbox: Sandbox, opened: Open, level: str
) -> None:
    driver = oss(**{OSS_ENDPOINT: ""})
    driver.provision("i", PLAN)
    end = driver.bind("i", "b", Access=level).end
    assert isinstance(end, Succeeded)
    found: Any = end.credentials
    assert found["endpoint"] == found["internal_endpoint"] == sandbox.inside
    assert found["host"] == urlsplit(sandbox.inside).netloc
    assert end.endpoints[0]["host"] == "localhost"
    bucket = opened(found)
    if level == "write-only":
        bucket.put_object("x", b"1")
        opened(driver.bind("i", "other").credentials).delete_object("x")
        clean(driver, sandbox, "other", "b")
        return
    bucket.list_objects()
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        opened({**found, "endpoint": sandbox.url}).list_objects()
    assert caught.value.code == REFUSED
    clean(driver, sandbox, "b")


def test_where_the_public_endpoint_serves_objects_it_is_told(
    oss: Drive, sandbox: Sandbox, opened: Open
) -> None:
    sandbox.settings(public_data_api=True)
    driver = oss(**{OSS_ENDPOINT: ""})
    driver.provision("i", PLAN)
    found = driver.bind("i", "b").credentials
    assert (found["endpoint"], found["internal_endpoint"]) == (sandbox.url, sandbox.inside)
    opened(found).list_objects()
    assert "cname" not in found
    clean(driver, sandbox, "b")


def test_public_endpoints_outside_mainland_china_serve_everything(
    oss: Drive, sandbox: Sandbox, opened: Open
) -> None:
    driver = oss(**{OSS_ENDPOINT: ""})
    driver.provision("i", SELF_DEFINE, Region="eu-central-1", DeletionPolicy="delete")
    found = driver.bind("i", "b").credentials
    assert found["endpoint"] == sandbox.url
    opened(found).put_object("x", b"1")
    clean(driver, sandbox, "b")


def test_the_operator_says_what_applications_are_told(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss(**{OSS_ENDPOINT: "internal", OSS_BINDING_ENDPOINT: "cn-hangzhou=public"})
    driver.provision("i", PLAN)
    assert driver.bind("i", "b").credentials["endpoint"] == sandbox.url
    clean(driver, sandbox, "b")


def test_a_bucket_that_cannot_be_emptied_from_outside_says_what_to_set(
    oss: Drive, sandbox: Sandbox, owner: Callable[[str], oss2.Bucket]
) -> None:
    outside, inside = oss(**{OSS_ENDPOINT: ""}), oss()
    outside.provision("i", PLAN, DeletionPolicy="delete")
    owner(outside.resource("i")["bucket"]).put_object("x", b"1")
    end = outside.deprovision("i").end
    assert isinstance(end, Failed)
    assert end.instance_usable
    assert OSS_ENDPOINT in end.reason
    assert REFUSED in end.reason
    inside.instances["i"] = outside.instances["i"]
    clean(inside, sandbox)


@pytest.mark.parametrize("setting", [OSS_ENDPOINT, OSS_BINDING_ENDPOINT])
def test_a_domain_of_one_s_own_serves_everything(
    oss: Drive,
    sandbox: Sandbox,
    opened: Open,
    owner: Callable[[str], oss2.Bucket],
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    look_up, domain, port = socket.getaddrinfo, "fine-name.files.test", urlsplit(sandbox.url).port
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **named: look_up(
            "127.0.0.1" if host == domain else host, *rest, **named
        ),
    )
    driver = oss(**{setting: f"http://{{bucket}}.files.test:{port}"})
    driver.provision("i", PLAN, BucketName="fine-name", DeletionPolicy="delete")
    # Bound before the domain is set up: the key is tried on what serves it already.
    found = driver.bind("i", "b").credentials
    assert found["endpoint"] == f"http://{domain}:{port}"
    assert found["cname"] is True
    assert urlsplit(found["uri"]).hostname == domain
    assert found["internal_endpoint"] == sandbox.inside
    owner("fine-name").put_bucket_cname(PutBucketCnameRequest(domain))
    bucket = opened(found)
    bucket.put_object("x", b"1")
    assert bucket.get_object("x").read() == b"1"
    clean(driver, sandbox, "b")


def test_an_endpoint_that_cannot_be_reached_is_named_by_its_setting(oss: Drive) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        driver = oss(**{OSS_ENDPOINT: f"http://127.0.0.1:{closed.getsockname()[1]}"})
        operation = driver.ordered("i", PLAN)
        driver.run([operation], steps=2)
    trouble = operation.steps[-1]
    assert isinstance(trouble, TryAgainError)
    assert OSS_ENDPOINT in str(trouble)
    assert "://" not in str(trouble)
