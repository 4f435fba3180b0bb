"""The life of an instance and its bindings, as a platform sees it."""

from __future__ import annotations

from typing import Any

import pytest
from drawers import PLAN, SERVICE, Drawer
from waiting import eventually

INSTANCE = "/v2/service_instances/i1"
BINDING = f"{INSTANCE}/service_bindings/b1"
ASYNC = "accepts_incomplete=true"
BIND_BODY = {"service_id": SERVICE, "plan_id": PLAN}


def provisioned(platform: Any, body: Any) -> None:
    assert platform("PUT", INSTANCE, body).status_code == 201


@pytest.mark.osb("ASY-4", "ASY-1", "POLL-2", "FI-4")
def test_an_asynchronous_provision_is_polled_to_its_end(platform: Any, provision_body: Any) -> None:
    body = {**provision_body, "parameters": {"slow": 0.3}}
    accepted = platform("PUT", INSTANCE, body, query_string=ASYNC)
    assert accepted.status_code == 202
    poll = platform("GET", f"{INSTANCE}/last_operation")
    assert poll.json["state"] == "in progress"
    assert int(poll.headers["Retry-After"]) >= 1
    assert platform("GET", INSTANCE).status_code == 404

    again = platform("PUT", INSTANCE, body, query_string=ASYNC)
    assert (again.status_code, again.json) == (202, accepted.json)
    other = platform("PUT", INSTANCE, provision_body, query_string=ASYNC)
    assert (other.status_code, other.json["error"]) == (409, "Conflict")

    eventually(lambda: platform("GET", f"{INSTANCE}/last_operation").json["state"] == "succeeded")
    assert platform("PUT", INSTANCE, body, query_string=ASYNC).status_code == 200
    assert platform("GET", INSTANCE).json == {
        **BIND_BODY,
        "parameters": {"slow": 0.3},
        "maintenance_info": {"version": "1.2.0"},
    }


@pytest.mark.osb("ASY-1", "POLL-5", "UNB-2", "DEP-2", "BND-13")
def test_a_synchronous_life(platform: Any, provision_body: Any, ids: str, drawer: Drawer) -> None:
    provisioned(platform, provision_body)
    bound = platform("PUT", BINDING, BIND_BODY)
    assert (bound.status_code, list(bound.json["credentials"])) == (201, ["key"])
    again = platform("PUT", BINDING, BIND_BODY)
    assert (again.status_code, again.json) == (200, bound.json)
    assert platform("GET", BINDING).json == bound.json
    different = platform("PUT", BINDING, {**BIND_BODY, "app_guid": "a"})
    assert different.status_code == 409

    left = platform("DELETE", INSTANCE, query_string=ids)
    assert (left.status_code, left.json["error"]) == (422, "BindingsExist")
    gone = platform("DELETE", BINDING, query_string=ids)
    assert (gone.status_code, gone.json) == (200, {})
    assert platform("DELETE", BINDING, query_string=ids).status_code == 410
    assert platform("GET", BINDING).status_code == 404
    assert drawer.keys == {}
    assert platform("DELETE", INSTANCE, query_string=ids).status_code == 200
    assert drawer.things == {}
    assert platform("DELETE", INSTANCE, query_string=ids).status_code == 410
    assert platform("GET", f"{INSTANCE}/last_operation").json["state"] == "succeeded"
    assert platform("GET", INSTANCE).status_code == 404


@pytest.mark.osb("FB-1", "FB-3", "BND-7", "BND-13")
def test_an_asynchronous_bind_shows_its_credentials_when_fetched(
    platform: Any, provision_body: Any
) -> None:
    provisioned(platform, provision_body)
    accepted = platform("PUT", BINDING, BIND_BODY, query_string=ASYNC)
    assert accepted.status_code == 202
    assert list(accepted.json) == ["operation"]
    eventually(lambda: platform("GET", f"{BINDING}/last_operation").json["state"] == "succeeded")
    assert "key" in platform("GET", BINDING).json["credentials"]


def test_what_is_unknown(platform: Any, ids: str) -> None:
    assert platform("GET", INSTANCE).status_code == 404
    assert platform("GET", f"{INSTANCE}/last_operation").status_code == 404
    assert platform("GET", f"{BINDING}/last_operation").status_code == 404
    assert platform("DELETE", INSTANCE, query_string=ids).status_code == 410
    assert platform("DELETE", BINDING, query_string=ids).status_code == 410
    assert platform("PUT", BINDING, BIND_BODY).status_code == 404
    assert platform("PATCH", INSTANCE, {"service_id": SERVICE}).status_code == 404


@pytest.mark.osb("ERR-7", "PRO-7")
def test_a_provision_that_failed_can_be_repeated_and_deleted(
    platform: Any, provision_body: Any, ids: str, drawer: Drawer
) -> None:
    body = {**provision_body, "parameters": {"fails": True}}
    failed = platform("PUT", INSTANCE, body)
    assert (failed.status_code, failed.json["description"]) == (400, "No drawers left.")
    assert platform("GET", f"{INSTANCE}/last_operation").json["state"] == "failed"
    assert platform("PUT", INSTANCE, body).status_code == 400
    assert platform("PUT", INSTANCE, provision_body).status_code == 409
    assert platform("DELETE", INSTANCE, query_string=ids).status_code == 200
    assert drawer.things == {}


@pytest.mark.osb("ERR-4", "ERR-6", "DEP-5")
def test_a_failed_deprovision_leaves_the_instance_usable(
    platform: Any, provision_body: Any, ids: str
) -> None:
    provisioned(platform, {**provision_body, "parameters": {"stuck": True}})
    failed = platform("DELETE", INSTANCE, query_string=ids)
    assert (failed.status_code, failed.json["description"]) == (400, "It is locked.")
    poll = platform("GET", f"{INSTANCE}/last_operation").json
    assert (poll["state"], poll["instance_usable"]) == ("failed", True)
    assert platform("PUT", BINDING, BIND_BODY).status_code == 201


@pytest.mark.osb("CON-2", "DEP-6")
def test_requests_on_a_busy_instance_are_concurrency_errors(
    platform: Any, provision_body: Any, drawer: Drawer, ids: str
) -> None:
    drawer.hold.clear()
    platform("PUT", INSTANCE, provision_body, query_string=ASYNC)
    try:
        for method, path, body in (
            ("PUT", BINDING, BIND_BODY),
            ("PATCH", INSTANCE, {"service_id": SERVICE, "parameters": {"size": 1}}),
        ):
            busy = platform(method, path, body)
            assert (busy.status_code, busy.json["error"]) == (422, "ConcurrencyError")
            assert busy.json["description"].startswith("The Service Broker does not support")
        stopped = platform("DELETE", INSTANCE, query_string=f"{ids}&{ASYNC}")
        assert stopped.status_code == 202
        again = platform("DELETE", INSTANCE, query_string=f"{ids}&{ASYNC}")
        assert (again.status_code, again.json) == (202, stopped.json)
        repeated = platform("PUT", INSTANCE, provision_body, query_string=ASYNC)
        assert repeated.json["error"] == "ConcurrencyError"
    finally:
        drawer.hold.set()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"parameters": {}, "plan_id": PLAN, "previous_values": {"plan_id": PLAN}}, 200),
        ({"context": {"platform": "cloudfoundry", "instance_name": "new"}}, 200),
        ({"plan_id": "nothing"}, 400),
    ],
)
def test_updates(platform: Any, provision_body: Any, change: Any, status: int) -> None:
    provisioned(platform, provision_body)
    result = platform("PATCH", INSTANCE, {"service_id": SERVICE, **change}, query_string=ASYNC)
    assert result.status_code == status


def test_a_full_house_is_refused_with_429(
    make_system: Any, make_platform: Any, provision_body: Any, drawer: Drawer, ids: str
) -> None:
    platform = make_platform(make_system(max_operations=3))
    drawer.hold.clear()
    try:
        for number in range(3):
            path = f"/v2/service_instances/n{number}"
            assert platform("PUT", path, provision_body, query_string=ASYNC).status_code == 202
        full = platform("PUT", INSTANCE, provision_body, query_string=ASYNC)
        assert full.status_code == 429
        assert int(full.headers["Retry-After"]) > 0
        path = "/v2/service_instances/n0"
        assert platform("DELETE", path, query_string=f"{ids}&{ASYNC}").status_code == 202
    finally:
        drawer.hold.set()


def test_a_synchronous_request_is_answered_in_time_whatever_the_cloud_does(
    system: Any, make_platform: Any, provision_body: Any, drawer: Drawer
) -> None:
    platform = make_platform(system, response_timeout=0.3)
    drawer.hold.clear()
    try:
        assert platform("PUT", INSTANCE, provision_body).status_code == 504
    finally:
        drawer.hold.set()
    eventually(lambda: platform("GET", f"{INSTANCE}/last_operation").json["state"] == "succeeded")
