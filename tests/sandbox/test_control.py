"""The control API: counters, inventory, settings and faults."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import oss2
import pytest
import requests
from aliyunsdkcore.acs_exception.exceptions import ClientException, ServerException
from aliyunsdkcore.request import CommonRequest

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "Secret-Pass1"


@pytest.fixture
def fresh(start: Callable[..., Any]) -> Any:
    """A sandbox without delays and without other users."""
    return start("--time-scale", "0")


def test_calls_are_counted_by_action_and_result(fresh: Any) -> None:
    owner = fresh.owner
    owner.call("rds", "DescribeRegions")
    owner.call("rds", "DescribeRegions")
    owner.refusal("rds", "DescribeDBInstanceAttribute", DBInstanceId="rm-none")
    owner.bucket("counted-bucket").create_bucket()
    counters = fresh.control("GET", "counters")
    assert counters["total"] == 4
    assert counters["calls"]["rds"] == {"DescribeDBInstanceAttribute": 1, "DescribeRegions": 2}
    assert counters["results"]["rds"]["DescribeDBInstanceAttribute"] == {
        "InvalidDBInstanceId.NotFound": 1
    }
    assert counters["results"]["oss"] == {"PutBucket": {"OK": 1}}
    fresh.control("DELETE", "counters")
    assert fresh.control("GET", "counters")["total"] == 0


def test_slow_calls_overlap_and_the_peak_is_seen(fresh: Any) -> None:
    fresh.control("PUT", "settings", {"latency_ms": 500})
    callers = [fresh.owner for _ in range(20)]
    begun = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        jobs = [pool.submit(caller.call, "rds", "DescribeRegions") for caller in callers]
        for job in jobs:
            job.result()
    assert 0.5 <= time.monotonic() - begun < 5
    assert fresh.control("GET", "counters")["peak_in_flight"] >= 10


def test_the_inventory_and_the_log_have_no_secrets(fresh: Any) -> None:
    owner = fresh.owner
    name = owner.create_instance(ClientToken="tok-1", DBInstanceDescription="osb-1")
    here = {"DBInstanceId": name}
    owner.call("rds", "CreateAccount", **here, AccountName="app1", AccountPassword=PASSWORD)
    owner.call("rds", "CreateDatabase", **here, DBName="db1", CharacterSetName="utf8")
    grant = {"AccountName": "app1", "DBName": "db1", "AccountPrivilege": "ReadWrite"}
    owner.call("rds", "GrantAccountPrivilege", **here, **grant)
    owner.call("ram", "CreateUser", UserName="u1")
    key = owner.call("ram", "CreateAccessKey", UserName="u1")["AccessKey"]
    owner.call(
        "ram",
        "AttachPolicyToUser",
        UserName="u1",
        PolicyType="System",
        PolicyName="AliyunOSSFullAccess",
    )
    owner.bucket("listed-bucket").create_bucket()
    owner.bucket("listed-bucket").put_object("x", b"1")
    inventory = fresh.control("GET", "inventory")
    instance = inventory["rds"]["instances"][0]
    assert instance == {
        **instance,
        "id": name,
        "status": "Running",
        "description": "osb-1",
        "client_token": "tok-1",
        "accounts": [
            {
                "name": "app1",
                "type": "Normal",
                "status": "Available",
                "description": "",
                "grants": {"db1": "ReadWrite"},
            }
        ],
        "databases": [{"name": "db1", "status": "Running", "charset": "utf8"}],
    }
    user = inventory["ram"]["users"][0]
    assert user["keys"] == [{"id": key["AccessKeyId"], "active": True}]
    assert user["policies"] == ["System/AliyunOSSFullAccess"]
    mine = [one for one in inventory["oss"]["buckets"] if one["mine"]]
    assert [(one["name"], one["objects"]) for one in mine] == [("listed-bucket", 1)]
    accounts = owner.call("rds", "DescribeAccounts", **here)
    database = b"".join(path.read_bytes() for path in fresh.directory.glob("sandbox.db*"))
    for secret in (PASSWORD, key["AccessKeySecret"], "testsecret"):
        assert secret not in json.dumps(inventory)
        assert secret not in json.dumps(accounts)
        assert secret not in fresh.log()
        assert secret.encode() not in database
    assert "Signature" not in fresh.log()


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "hint"),
    [
        ("GET", "nothing", None, 404, "/sandbox/inventory"),
        ("PATCH", "settings", None, 405, "PUT"),
        ("PUT", "settings", {"speed": 1}, 400, "speed"),
        ("PUT", "settings", {"time_scale": -1}, 400, "time_scale"),
        ("PUT", "settings", {"rate_limits": {"ecs": 1}}, 400, "ecs"),
        ("POST", "faults", {"action": "*", "kind": "explode"}, 400, "explode"),
        ("POST", "faults", {"action": "*"}, 400, "kind"),
        ("POST", "faults", {"action": "*", "kind": "error", "often": 1}, 400, "often"),
        ("GET", "faults/fault-99", None, 404, "fault-99"),
        ("POST", "foreign-buckets", {"name": "A"}, 400, "3 to 63"),
    ],
)
def test_a_bad_control_call_says_what_to_change(
    sandbox: Any, method: str, path: str, content: Any, status: int, hint: str
) -> None:
    answer = requests.request(method, f"{sandbox.url}/sandbox/{path}", json=content, timeout=10)
    assert answer.status_code == status
    assert hint in answer.json()["error"]


def test_faults_are_listed_and_removed(fresh: Any) -> None:
    name = fresh.fault("DescribeRegions", "error", times=None)
    assert [one["id"] for one in fresh.control("GET", "faults")["faults"]] == [name]
    assert fresh.owner.refusal("rds", "DescribeRegions") == "InternalError"
    assert fresh.control("GET", f"faults/{name}")["hit"] == 1
    fresh.control("DELETE", f"faults/{name}")
    fresh.owner.call("rds", "DescribeRegions")
    fresh.fault("*", "error", times=None)
    fresh.control("DELETE", "faults")
    fresh.owner.call("rds", "DescribeRegions")


def test_a_fault_hits_the_calls_it_names_and_no_others(fresh: Any) -> None:
    owner = fresh.owner
    fresh.fault("rds:Describe*", "error", skip=1, times=1, status=503, code="ServiceUnavailable")
    owner.call("rds", "DescribeRegions")
    owner.call("ram", "ListUsers")
    assert owner.refusal("rds", "DescribeRegions") == "ServiceUnavailable"
    owner.call("rds", "DescribeRegions")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_before_changes_nothing_and_one_after_hides_the_change(
    fresh: Any, when: str
) -> None:
    fresh.fault("CreateDBInstance", "error", when=when)
    with pytest.raises(ServerException):
        fresh.owner.create_instance(ClientToken="once")
    count = 0 if when == "before" else 1
    assert len(fresh.control("GET", "inventory")["rds"]["instances"]) == count
    name = fresh.owner.create_instance(ClientToken="once")
    instances = fresh.control("GET", "inventory")["rds"]["instances"]
    assert [one["id"] for one in instances] == [name]


def test_an_answer_can_be_lost_after_the_effect(fresh: Any) -> None:
    fresh.fault("CreateDBInstance", "reset", when="after")
    with pytest.raises(ClientException, match="reset"):
        fresh.owner.create_instance()
    fresh.fault("CreateDBInstance", "hang", when="after", seconds=0.3)
    begun = time.monotonic()
    with pytest.raises(ClientException):
        fresh.owner.create_instance()
    assert time.monotonic() - begun >= 0.3
    assert len(fresh.control("GET", "inventory")["rds"]["instances"]) == 2
    results = fresh.control("GET", "counters")["results"]["rds"]["CreateDBInstance"]
    assert results == {"Fault.Reset": 1, "Fault.Hang": 1}


def test_a_hang_can_outlast_the_clients_patience(fresh: Any, as_caller: Any) -> None:
    fresh.fault("CreateDBInstance", "hang", when="after", seconds=30)
    impatient = as_caller(fresh.url, timeout=0.2)
    with pytest.raises(ClientException, match="timed out"):
        impatient.create_instance()
    assert len(fresh.control("GET", "inventory")["rds"]["instances"]) == 1


def test_garbage_and_empty_answers(fresh: Any) -> None:
    owner = fresh.owner
    fresh.fault("DescribeRegions", "garbage")
    with pytest.raises(UnicodeDecodeError):
        owner.call("rds", "DescribeRegions")
    fresh.fault("DescribeRegions", "garbage", message="<html>bad gateway</html>")
    assert owner.refusal("rds", "DescribeRegions") == "SDK.UnknownServerError"
    fresh.fault("DescribeRegions", "empty")
    with pytest.raises(json.JSONDecodeError):
        owner.call("rds", "DescribeRegions")
    fresh.fault("DescribeRegions", "latency", seconds=0.2)
    begun = time.monotonic()
    owner.call("rds", "DescribeRegions")
    assert time.monotonic() - begun >= 0.2


def test_faults_of_oss_speak_xml(fresh: Any) -> None:
    bucket = fresh.owner.bucket("faulty-bucket")
    fresh.fault("oss:PutBucket", "error", when="after", status=500, code="InternalError")
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.create_bucket()
    assert (caught.value.status, caught.value.code) == (500, "InternalError")
    assert bucket.get_bucket_info().name == "faulty-bucket"
    fresh.fault("oss:*", "throttle")
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_bucket_info()
    assert (caught.value.status, caught.value.code) == (503, "ServiceBusy")
    fresh.fault("oss:DeleteBucket", "reset", when="after")
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.delete_bucket()
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        bucket.get_bucket_info()


@pytest.mark.filterwarnings("ignore:implementation_of_do_action:DeprecationWarning")
def test_throttled_answers_say_how_long_to_wait(fresh: Any) -> None:
    owner = fresh.owner

    def answer() -> tuple[int, dict[str, str], str]:
        request = CommonRequest(
            domain=fresh.url, version="2014-08-15", action_name="DescribeRegions"
        )
        request.set_method("POST")
        request.set_protocol_type("http")
        request.set_accept_format("JSON")
        status, headers, body = owner.client.get_response(request)
        return status, {k.lower(): v for k, v in headers.items()}, body

    fresh.fault("DescribeRegions", "throttle", seconds=2.5)
    status, headers, body = answer()
    assert (status, json.loads(body)["Code"]) == (400, "Throttling.User")
    assert headers["x-acs-retry-after"] == "2500"
    fresh.control("PUT", "settings", {"rate_limits": {"rds": 0.5}})
    assert answer()[0] == 200
    status, headers, body = answer()
    assert (status, json.loads(body)["Code"]) == (400, "Throttling.User")
    assert 1 <= int(headers["x-acs-retry-after"]) <= 2000
    owner.call("ram", "ListUsers")
    fresh.control("PUT", "settings", {"rate_limits": {}})
    assert answer()[0] == 200
