"""Requests as platforms really send them: half empty, with old plans, with what is theirs alone."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from commands import ask, provision
from drawers import PLAN, SERVICE, Drawer

from alibroker.etcd import keys
from alibroker.etcd.client import Entry, Etcd

INSTANCE = "/v2/service_instances/i1"
BINDING = f"{INSTANCE}/service_bindings/b1"
OFFER = {"service_id": SERVICE, "plan_id": PLAN}

# What Korifi sends for a service key, and what platforms written in Go make of fields left out.
KORIFI_KEY = {**OFFER, "app_guid": "", "bind_resource": {"app_guid": ""}, "parameters": None}
EMPTY_PROVISION: dict[str, Any] = {
    "context": None,
    "parameters": None,
    "maintenance_info": {"version": "", "description": ""},
}
EMPTY_UPDATE: dict[str, Any] = {
    "plan_id": "",
    "context": "",
    "parameters": None,
    "previous_values": {"plan_id": "", "organization_id": None},
    "maintenance_info": {"version": None},
}
EMPTY_BIND: dict[str, Any] = {
    "app_guid": None,
    "bind_resource": {"app_guid": "", "route": None, "credential_client_id": ""},
    "context": None,
    "parameters": "",
    "predecessor_binding_id": "",
}


def test_what_is_empty_is_not_given(
    platform: Any, provision_body: Any, drawer: Drawer, ids: str
) -> None:
    empty = {**provision_body, **EMPTY_PROVISION}
    assert platform("PUT", INSTANCE, empty).status_code == 201
    assert platform("PUT", INSTANCE, provision_body).status_code == 200
    assert platform("PUT", INSTANCE, empty).status_code == 200

    calls = len(drawer.calls)
    assert platform("PATCH", INSTANCE, {"service_id": SERVICE, **EMPTY_UPDATE}).status_code == 200
    assert len(drawer.calls) == calls

    bound = platform("PUT", BINDING, KORIFI_KEY)
    assert bound.status_code == 201
    for body in (KORIFI_KEY, {**OFFER, **EMPTY_BIND}, OFFER):
        assert platform("PUT", BINDING, body).json == bound.json
    other = {**OFFER, "app_guid": "app-1"}
    assert platform("PUT", BINDING, other).status_code == 409
    assert platform("DELETE", BINDING, query_string=ids).status_code == 200


def test_what_is_empty_is_missed_where_it_is_needed(platform: Any, provision_body: Any) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    needed = {**OFFER, "plan_id": "plan-4", "app_guid": "", "bind_resource": {"app_guid": None}}
    assert platform("PUT", BINDING, needed).json["error"] == "RequiresApp"
    for name in ("service_id", "plan_id"):
        for empty in ("", None):
            refused = platform("PUT", BINDING, {**OFFER, name: empty})
            assert refused.status_code == 400
            assert name in refused.json["description"]


@pytest.fixture
def moved(platform: Any, provision_body: Any) -> None:
    """Provision, bind, and change to another plan."""
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    assert platform("PUT", BINDING, {**OFFER, "app_guid": "app-1"}).status_code == 201
    change = {"service_id": SERVICE, "plan_id": "plan-2"}
    assert platform("PATCH", INSTANCE, change).status_code == 200


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("named", [{}, {"service_id": SERVICE, "plan_id": "plan-2"}])
def test_a_binding_is_rotated_after_a_change_of_plan(
    platform: Any, system: Any, named: dict[str, Any]
) -> None:
    where = f"{INSTANCE}/service_bindings/b2"
    body = {**named, "predecessor_binding_id": "b1"}
    rotated = platform("PUT", where, body)
    assert rotated.status_code == 201
    assert system.view.binding("i1", "b2").plan_id == "plan-2"
    again = platform("PUT", where, body)
    assert (again.status_code, again.json) == (200, rotated.json)


@pytest.mark.usefixtures("moved")
def test_a_bind_is_repeated_after_a_change_of_plan(platform: Any) -> None:
    for plan_id in (PLAN, "plan-2"):
        body = {"service_id": SERVICE, "plan_id": plan_id, "app_guid": "app-1"}
        assert platform("PUT", BINDING, body).status_code == 200
    body = {"service_id": SERVICE, "plan_id": "plan-3", "app_guid": "app-1"}
    assert platform("PUT", BINDING, body, query_string="accepts_incomplete=true").status_code == 409


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("plan_id", [PLAN, "plan-2"])
def test_what_is_deleted_may_be_named_with_the_plan_before(platform: Any, plan_id: str) -> None:
    query = f"service_id={SERVICE}&plan_id={plan_id}"
    for where in (BINDING, INSTANCE):
        never = f"service_id={SERVICE}&plan_id=plan-4"
        assert platform("DELETE", where, query_string=never).status_code == 400
        assert platform("DELETE", where, query_string=query).status_code == 200


def test_a_parameter_can_be_taken_back(platform: Any, provision_body: Any, drawer: Drawer) -> None:
    body = {**provision_body, "parameters": {"size": 1, "colour": "red"}}
    assert platform("PUT", INSTANCE, body).status_code == 201
    change = {"service_id": SERVICE, "parameters": {"size": None}}
    assert platform("PATCH", INSTANCE, change).status_code == 200
    assert platform("GET", INSTANCE).json["parameters"] == {"colour": "red"}
    assert drawer.sizes["i1"] == (PLAN, None)
    calls = len(drawer.calls)
    assert platform("PATCH", INSTANCE, change).status_code == 200
    assert len(drawer.calls) == calls


def test_a_context_is_the_platforms_own(platform: Any, provision_body: Any, system: Any) -> None:
    context = {"platform": "elsewhere", "big": -(10**200), "": None, "deep": [{"a": ""}]}
    assert platform("PUT", INSTANCE, {**provision_body, "context": context}).status_code == 201
    assert system.view.instance("i1").context == context
    bound = platform("PUT", BINDING, {**OFFER, "context": {"big": 2**80}})
    assert bound.status_code == 201


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


URL_SAFE = base64.urlsafe_b64encode(b'{"user_id": "~~~???>>>"}').decode().rstrip("=")


@pytest.mark.osb("OID-2", "OID-6", "OID-7")
@pytest.mark.parametrize(
    ("identity", "known"),
    [
        (f"cloudfoundry {encoded({'user_id': 'u-1'})}", "cloudfoundry u-1"),
        (f"kubernetes {encoded({'username': 'duke', 'uid': 'x'})}", "kubernetes duke"),
        (f"cf {URL_SAFE}", "cf ~~~???>>>"),
        (f"cf {encoded({'user_id': 'u', 'groups': ['g' * 100] * 150})}", "cf u"),
        (f"cf {encoded({'user_id': {'a': 1}, 'username': 'duke'})}", "cf duke"),
        (f"cf {encoded(['u'])}", "cf"),
        (f"cf {encoded({'user_id': 'a' + chr(10) + 'b'})}", "cf a?b"),
        ("cf bm8gSlNPTg==", "cf"),
        ("cf ###", "cf"),
        ("cf", "cf"),
    ],
)
def test_who_it_was_is_never_a_reason_to_refuse(
    platform: Any, provision_body: Any, system: Any, identity: str, known: str
) -> None:
    headers = {"X-Broker-API-Originating-Identity": identity}
    assert platform("PUT", INSTANCE, provision_body, headers=headers).status_code == 201
    assert system.view.instance("i1").operation.requested_by == known


def test_plans_always_say_what_they_can(platform: Any) -> None:
    for service in platform("GET", "/v2/catalog").json["services"]:
        for plan in service["plans"]:
            assert isinstance(plan["bindable"], bool)
            assert isinstance(plan["plan_updateable"], bool)


def test_what_is_gone_is_not_said_to_come(platform: Any, provision_body: Any, ids: str) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    assert platform("PUT", BINDING, OFFER).status_code == 201
    for where in (BINDING, INSTANCE):
        assert platform("DELETE", where, query_string=ids).status_code == 200
        fetched = platform("GET", where)
        assert fetched.status_code == 404
        assert "was deleted" in fetched.json["description"]


def test_what_cannot_be_read_is_not_taken_for_nothing(
    make_system: Any, make_platform: Any, etcd_endpoint: str, ids: str
) -> None:
    first = make_system()
    ask(first, provision("i1", accepts_incomplete=False))
    first.stop()
    damaged = (keys.binding_key("i1", "b1"), keys.instance_key("i2"))
    with Etcd([etcd_endpoint]) as etcd:
        etcd.commit([Entry(key, b"{", 0) for key in damaged], timeout=2)
    platform = make_platform(make_system())
    other = "/v2/service_instances/i2"
    for where in (BINDING, other):
        for method, path in (("GET", where), ("GET", f"{where}/last_operation"), ("DELETE", where)):
            answer = platform(method, path, query_string=ids)
            assert (answer.status_code, answer.json["error"]) == (500, "RecordUnreadable")
    # Its binding would be left for ever.
    assert platform("DELETE", INSTANCE, query_string=ids).json["error"] == "RecordUnreadable"
    assert platform("GET", INSTANCE).status_code == 200
