"""Buckets from end to end: applications with both of the vendor's SDKs, and a full bucket's end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
from waiting import eventually
from world import OSS, PLACE, World, new_id

Credentials = dict[str, Any]
_NO = {"AccessDenied", "InvalidAccessKeyId"}


class Application(Protocol):
    """An application with a binding's credentials; every method tells whether it was let."""

    def put(self, key: str) -> bool: ...
    def get(self, key: str) -> bool: ...
    def list(self, prefix: str = "") -> bool: ...
    def delete(self, key: str) -> bool: ...


class WithOss2:
    """An application that uses oss2."""

    def __init__(self, credentials: Credentials, bucket: str = "") -> None:
        self._session = oss2.Session()
        self._session.session.trust_env = False
        self._bucket = oss2.Bucket(
            oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"]),
            credentials["endpoint"],
            bucket or credentials["bucket"],
            region=credentials["region"],
            session=self._session,
        )

    def _let(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
        try:
            result = call(*arguments, **named)
            if hasattr(result, "read"):
                result.read()
        except oss2.exceptions.ServerError as error:
            if error.code not in _NO:
                raise
            return False
        finally:
            self._session.session.close()
        return True

    def put(self, key: str) -> bool:
        return self._let(self._bucket.put_object, key, key)

    def get(self, key: str) -> bool:
        return self._let(self._bucket.get_object, key)

    def list(self, prefix: str = "") -> bool:
        return self._let(self._bucket.list_objects_v2, prefix=prefix)

    def delete(self, key: str) -> bool:
        return self._let(self._bucket.delete_object, key)


class WithOssV2:
    """An application that uses alibabacloud-oss-v2."""

    def __init__(self, credentials: Credentials, bucket: str = "") -> None:
        keys = oss_v2.credentials.StaticCredentialsProvider(
            credentials["access_key_id"], credentials["secret_access_key"]
        )
        self._name = bucket or credentials["bucket"]
        self._client = oss_v2.Client(
            oss_v2.Config(
                region=credentials["region"],
                endpoint=credentials["endpoint"],
                credentials_provider=keys,
                use_path_style=True,
            )
        )

    def _let(self, call: Callable[[Any], Any], request: Any) -> bool:
        try:
            result = call(request)
            if getattr(result, "body", None) is not None:
                assert result.body.content is not None
        except oss_v2.exceptions.OperationError as error:
            if getattr(error.unwrap(), "code", "") not in _NO:
                raise
            return False
        return True

    def put(self, key: str) -> bool:
        request = oss_v2.PutObjectRequest(bucket=self._name, key=key, body=key.encode())
        return self._let(self._client.put_object, request)

    def get(self, key: str) -> bool:
        request = oss_v2.GetObjectRequest(bucket=self._name, key=key)
        return self._let(self._client.get_object, request)

    def list(self, prefix: str = "") -> bool:
        request = oss_v2.ListObjectsV2Request(bucket=self._name, prefix=prefix)
        return self._let(self._client.list_objects_v2, request)

    def delete(self, key: str) -> bool:
        request = oss_v2.DeleteObjectRequest(bucket=self._name, key=key)
        return self._let(self._client.delete_object, request)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def bind(world: World, instance: str, binding: str, **more: Any) -> Credentials:
    """Create a binding and return its credentials."""
    path = f"/v2/service_instances/{instance}/service_bindings/{binding}"
    answer = world.request("PUT", path, {**OSS, **more}, accepts_incomplete="true")
    assert answer.status_code == 202, answer.text
    assert world.end("bind", instance, binding) == "succeeded"
    return world.credentials(instance, binding)


def provision(world: World, **parameters: Any) -> str:
    instance = new_id()
    body = {**OSS, **PLACE, "parameters": parameters}
    path = f"/v2/service_instances/{instance}"
    answer = world.request("PUT", path, body, accepts_incomplete="true")
    assert answer.status_code == 202, answer.text
    assert world.end("provision", instance) == "succeeded"
    return instance


def check_rights(one: Application, read: Application, foreign: Application) -> None:
    """Try what each of three may do with a bucket: all, read, nothing."""
    assert [one.put("k/x"), one.get("k/x"), one.list()] == [True, True, True]
    assert [read.get("k/x"), read.list(), read.put("k/y"), read.delete("k/x")] == [
        True,
        True,
        False,
        False,
    ]
    assert [foreign.get("k/x"), foreign.list(), foreign.put("k/y"), foreign.delete("k/x")] == (
        [False] * 4
    )
    assert one.delete("k/x")


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("sdk", [WithOss2, WithOssV2])
def test_each_binding_may_do_what_it_may_and_nothing_else(
    world: World, sdk: Callable[..., Application]
) -> None:
    first, second = provision(world), provision(world)
    all_rights = bind(world, first, "all")
    read_only = bind(world, first, "read", parameters={"Access": "read-only"})
    elsewhere = bind(world, second, "b")
    bucket = all_rights["bucket"]
    assert elsewhere["bucket"] != bucket

    def check(key: Credentials = all_rights) -> None:
        check_rights(sdk(key), sdk(read_only), sdk(elsewhere, bucket))

    check()
    world.kill_all_of_broker()
    check()
    world.kill_sandbox()
    check()

    rotated = bind(world, first, "rotated", predecessor_binding_id="all")
    assert rotated["access_key_id"] != all_rights["access_key_id"]
    check()
    check(rotated)
    world.do("unbind", OSS, first, "all")
    assert not sdk(all_rights).get("k/x")
    check(rotated)

    for binding in ("read", "rotated"):
        world.do("unbind", OSS, first, binding)
    world.do("unbind", OSS, second, "b")
    for key in (all_rights, rotated, read_only, elsewhere):
        application = sdk(key)
        assert not any(
            [
                application.put("x"),
                application.get("x"),
                application.list(),
                application.delete("x"),
            ]
        )
    world.do("deprovision", OSS, first)
    world.do("deprovision", OSS, second)
    assert world.left() == {}


def empty_a_full_bucket(world: World, objects: int, latency_ms: float) -> None:
    """Fill a bucket, and kill the broker twice while it is emptied."""
    full = provision(world, DeletionPolicy="delete", Versioning=True)
    other = provision(world, DeletionPolicy="delete")
    names = {one["tags"]["alibroker-instance"]: one["name"] for one in world.inventory()["buckets"]}
    filling = {"objects": objects, "old_versions": 1, "uploads": 50}
    world.sandbox.control("POST", "objects", {"bucket": names[full], **filling})
    world.sandbox.control("POST", "objects", {"bucket": names[other], "objects": 5, "uploads": 1})

    def others() -> Any:
        return [one for one in world.inventory()["buckets"] if one["name"] != names[full]]

    before = others()
    world.sandbox.control("PUT", "settings", {"latency_ms": latency_ms})
    assert world.start("deprovision", OSS, full) == 202
    seen: list[int] = []

    def progress() -> bool:
        path = f"/v2/service_instances/{full}/last_operation"
        found = world.request("GET", path).json()
        assert found["state"] == "in progress", (found, seen)
        number = re.search(r"([\d,]+) objects and versions", found.get("description", ""))
        count = int(number[1].replace(",", "")) if number else 0
        if count > (seen[-1] if seen else 0):
            seen.append(count)
            return True
        return False

    for _ in range(2):
        eventually(progress, timeout=30)
        world.kill_worker()
    eventually(progress, timeout=30)
    world.sandbox.control("PUT", "settings", {"latency_ms": 0})
    assert world.end("deprovision", full) == "succeeded"
    assert others() == before
    assert names[full] not in {one["name"] for one in world.inventory()["buckets"]}
    world.do("deprovision", OSS, other)
    assert world.left() == {}


def test_a_full_bucket_is_emptied_over_two_crashes(world: World) -> None:
    empty_a_full_bucket(world, 10_000, 100)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["oss:PutBucketVersioning", "oss:PutBucketTagging"])
def test_an_update_goes_on_after_a_crash(world: World, call: str, when: str) -> None:
    instance = provision(world, Tags={"team": "red"})
    path = f"/v2/service_instances/{instance}"
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "hang", "when": when, "seconds": 30}
    )
    wanted = {"Versioning": True, "Tags": {"team": "blue"}, "DeletionPolicy": "delete"}
    body = {"service_id": OSS["service_id"], "parameters": wanted}
    answer = world.request("PATCH", path, body, accepts_incomplete="true")
    assert answer.status_code == 202, answer.text
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])
    world.kill_worker()
    assert world.end("update", instance) == "succeeded"
    assert world.request("GET", path).json()["parameters"] == wanted
    (bucket,) = world.inventory()["buckets"]
    assert bucket["tags"]["team"] == "blue"
    assert bucket["tags"]["alibroker-instance"] == instance

    filling = {"bucket": bucket["name"], "objects": 3, "old_versions": 1}
    world.sandbox.control("POST", "objects", filling)
    world.do("deprovision", OSS, instance)
    assert world.left() == {}
    world.sandbox.control("DELETE", "faults")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "call", ["ram:CreatePolicy", "oss:PutBucket", "oss:PutBucketTagging", "ram:DeletePolicy"]
)
def test_a_chosen_name_is_got_once_over_a_crash(world: World, call: str, when: str) -> None:
    """Whoever began goes on after the crash; the other one is told that it is taken."""
    body = {**OSS, **PLACE, "parameters": {"BucketName": f"chosen-{new_id()}"[:40]}}
    instances = (new_id(), new_id())
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "hang", "when": when, "seconds": 30}
    )
    for instance in instances:
        path = f"/v2/service_instances/{instance}"
        answer = world.request("PUT", path, body, accepts_incomplete="true")
        assert answer.status_code == 202, answer.text
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])
    world.kill_worker()
    ends = {instance: world.end("provision", instance) for instance in instances}
    assert sorted(ends.values()) == ["failed", "succeeded"]
    (bucket,) = world.inventory()["buckets"]
    assert ends[bucket["tags"]["alibroker-instance"]] == "succeeded"
    for instance in instances:
        world.do("deprovision", OSS, instance)
    assert world.left() == {}
    world.sandbox.control("DELETE", "faults")


def test_wrong_parameters_change_nothing(world: World) -> None:
    instance = provision(world)
    path = f"/v2/service_instances/{instance}"
    before = world.inventory()
    for parameters in ({"StorageClass": "IA"}, {"DeletionPolicy": "burn"}, {"Tags": {"a": 1}}):
        body = {"service_id": OSS["service_id"], "parameters": parameters}
        answer = world.request("PATCH", path, body, accepts_incomplete="true")
        assert answer.status_code == 400
        assert next(iter(parameters)) in answer.json()["description"]
    for parameters in ({"Access": "all"}, {"Prefix": "*"}, {"DurationSeconds": 1}):
        body = {**OSS, "parameters": parameters}
        binding = f"{path}/service_bindings/b"
        answer = world.request("PUT", binding, body, accepts_incomplete="true")
        assert answer.status_code == 400
    assert world.inventory() == before
    world.do("deprovision", OSS, instance)
    assert world.left() == {}
