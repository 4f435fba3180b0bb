"""Bindings in particular: rotation, applications, what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from drawers import PLAN, SERVICE, Drawer
from waiting import eventually

INSTANCE = "/v2/service_instances/i1"
OFFER = {"service_id": SERVICE, "plan_id": PLAN}


def path(binding_id: str) -> str:
    return f"{INSTANCE}/service_bindings/{binding_id}"


def polled(platform: Any, where: str) -> str:
    return str(platform("GET", f"{where}/last_operation").json["state"])


@pytest.fixture
def bound(platform: Any, provision_body: Any) -> Any:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    body = {**OFFER, "app_guid": "app-1", "parameters": {"level": 2}}
    answer = platform("PUT", path("old"), body)
    assert answer.status_code == 201
    return answer.json


@pytest.mark.osb("ROT-2", "ROT-3", "ROT-4", "ROT-5")
def test_a_rotation_takes_over_from_its_predecessor(
    platform: Any, bound: Any, drawer: Drawer, ids: str
) -> None:
    body = {"predecessor_binding_id": "old"}
    rotated = platform("PUT", path("new"), body)
    assert rotated.status_code == 201
    assert rotated.json["credentials"] != bound["credentials"]
    assert drawer.keys.keys() == {"old", "new"}
    assert platform("GET", path("new")).json["parameters"] == {"level": 2}

    again = platform("PUT", path("new"), body)
    assert (again.status_code, again.json) == (200, rotated.json)
    assert platform("PUT", path("new"), OFFER).status_code == 409

    assert platform("DELETE", path("old"), query_string=ids).status_code == 200
    assert drawer.keys.keys() == {"new"}
    assert platform("PUT", path("new"), {**OFFER, **body}).status_code == 200


@pytest.mark.osb("ROT-6")
@pytest.mark.parametrize(
    ("binding_id", "body"),
    [
        ("new", {"predecessor_binding_id": "unknown"}),
        ("new", {"predecessor_binding_id": ""}),
        ("new", {"predecessor_binding_id": "old", "plan_id": "plan-2"}),
        ("new", {}),
    ],
)
def test_rotations_that_are_none(
    platform: Any, bound: Any, drawer: Drawer, binding_id: str, body: Any
) -> None:
    assert bound
    assert platform("PUT", path(binding_id), body).status_code == 400
    assert drawer.keys.keys() == {"old"}


def test_a_binding_does_not_replace_itself(platform: Any, bound: Any) -> None:
    assert bound
    body = {"predecessor_binding_id": "old"}
    assert platform("PUT", path("old"), body).status_code == 409


def test_bindings_of_a_plan_that_does_not_say_so_cannot_be_rotated(
    platform: Any, provision_body: Any
) -> None:
    platform("PUT", INSTANCE, {**provision_body, "plan_id": "plan-4"})
    platform("PUT", path("old"), {**OFFER, "plan_id": "plan-4", "app_guid": "app-1"})
    assert platform("PUT", path("new"), {"predecessor_binding_id": "old"}).status_code == 400


@pytest.mark.osb("BND-11", "BND-12")
def test_metadata_is_said_and_endpoints_if_wanted(
    system: Any, make_platform: Any, bound: Any
) -> None:
    assert bound["metadata"] == {"expires_at": "2030-01-31T23:59:59.0Z"}
    assert "endpoints" not in bound
    told = make_platform(system, send_endpoints=True)("GET", path("old")).json
    assert told["endpoints"] == [{"host": "drawer.local", "ports": ["443"]}]


@pytest.mark.osb("BND-5")
def test_a_plan_for_applications_requires_one(platform: Any, provision_body: Any) -> None:
    offer = {**OFFER, "plan_id": "plan-4"}
    platform("PUT", INSTANCE, {**provision_body, "plan_id": "plan-4"})
    refused = platform("PUT", path("b"), offer)
    assert (refused.status_code, refused.json) == (
        422,
        {
            "error": "RequiresApp",
            "description": "This service supports generation of credentials through binding an "
            "application only.",
        },
    )
    assert platform("PUT", path("b"), {**offer, "app_guid": "a"}).status_code == 201
    same = {**offer, "bind_resource": {"app_guid": "a", "space_guid": "s"}}
    assert platform("PUT", path("b"), same).status_code == 200


@pytest.mark.osb("BND-2")
def test_a_plan_that_is_not_bindable_is_not_bound(platform: Any, provision_body: Any) -> None:
    platform("PUT", INSTANCE, {**provision_body, "plan_id": "plan-5"})
    assert platform("PUT", path("b"), {**OFFER, "plan_id": "plan-5"}).status_code == 400


def test_what_lasts_too_long_for_a_synchronous_answer_is_asked_for_asynchronously(
    platform: Any, provision_body: Any
) -> None:
    offer = {**OFFER, "plan_id": "plan-3"}
    query = f"service_id={SERVICE}&plan_id=plan-3"
    bodies = {
        ("PUT", INSTANCE): {**provision_body, "plan_id": "plan-3"},
        ("PUT", path("b")): offer,
        ("DELETE", path("b")): None,
        ("DELETE", INSTANCE): None,
    }
    for (method, where), body in bodies.items():
        refused = platform(method, where, body, query_string=f"{query}&accepts_incomplete=false")
        assert (refused.status_code, refused.json["error"]) == (422, "AsyncRequired")
        accepted = platform(method, where, body, query_string=f"{query}&accepts_incomplete=true")
        assert accepted.status_code == 202
        eventually(lambda at=where: polled(platform, at) == "succeeded")


@pytest.mark.osb("ASY-3")
def test_where_nothing_is_to_be_done_nobody_needs_to_wait(
    platform: Any, provision_body: Any
) -> None:
    offer = {**OFFER, "plan_id": "plan-3"}
    query = f"service_id={SERVICE}&plan_id=plan-3"
    for where in (path("b"), INSTANCE):
        assert platform("DELETE", where, query_string=query).status_code == 410
        assert platform("DELETE", where).status_code == 410
    body = {**provision_body, "plan_id": "plan-3"}
    for where, wanted in ((INSTANCE, body), (path("b"), offer)):
        accepted = platform("PUT", where, wanted, query_string="accepts_incomplete=true")
        assert accepted.status_code == 202
        eventually(lambda at=where: polled(platform, at) == "succeeded")
        assert platform("PUT", where, wanted).status_code == 200
    for change in ({}, {"plan_id": "plan-3"}, {"maintenance_info": {"version": "2.0.0"}}):
        assert platform("PATCH", INSTANCE, {"service_id": SERVICE, **change}).status_code == 200


@pytest.mark.osb("DASH-1", "UPD-11")
def test_a_dashboard_is_named_from_the_first_answer(
    system: Any, make_platform: Any, provision_body: Any
) -> None:
    platform = make_platform(system, dashboard_url="https://ops.example/{service_id}/{instance_id}")
    url = {"dashboard_url": f"https://ops.example/{SERVICE}/a%20b"}
    where = "/v2/service_instances/a%20b"
    accepted = platform("PUT", where, provision_body, query_string="accepts_incomplete=true")
    assert accepted.json["dashboard_url"] == url["dashboard_url"]
    assert platform("PUT", where, provision_body).json == url
    assert platform("GET", where).json["dashboard_url"] == url["dashboard_url"]
    assert platform("PATCH", where, {"service_id": SERVICE}).json == url


def test_a_poll_after_a_deletion_can_be_gone(
    system: Any, make_platform: Any, provision_body: Any, ids: str
) -> None:
    platform = make_platform(system, deleted_poll=410)
    platform("PUT", INSTANCE, provision_body)
    platform("DELETE", INSTANCE, query_string=ids)
    assert platform("GET", f"{INSTANCE}/last_operation").status_code == 410
    assert make_platform(system)("GET", f"{INSTANCE}/last_operation").status_code == 200
