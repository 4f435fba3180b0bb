"""Updates of plan, parameters, maintenance version and context."""

from __future__ import annotations

from typing import Any

import pytest
from commands import ask, ended, provision
from drawers import PLAN, SERVICE, Drawer
from waiting import eventually

INSTANCE = "/v2/service_instances/i1"
ASYNC = "accepts_incomplete=true"


@pytest.fixture
def patch(platform: Any, provision_body: Any) -> Any:
    """Return a function that updates an instance that is there."""
    body = {**provision_body, "parameters": {"size": 1, "colour": "red"}}
    assert platform("PUT", INSTANCE, body).status_code == 201

    def send(query: str = "", **members: Any) -> Any:
        body = {"service_id": SERVICE, **members}
        return platform("PATCH", INSTANCE, body, query_string=query)

    return send


@pytest.mark.osb("UPD-2", "META-1")
def test_parameters_are_merged_and_shown_when_in_force(
    platform: Any, patch: Any, drawer: Drawer
) -> None:
    done = patch(parameters={"size": 3})
    assert (done.status_code, done.json) == (200, {"metadata": {"labels": {"size": "3"}}})
    shown = platform("GET", INSTANCE).json
    assert shown["parameters"] == {"size": 3, "colour": "red"}
    assert shown["metadata"] == {"labels": {"size": "3"}}
    assert drawer.sizes["i1"] == (PLAN, 3)


@pytest.mark.osb("UPD-2", "UPD-4", "UPD-5", "UPD-6")
def test_a_plan_change_keeps_the_parameters(platform: Any, patch: Any, drawer: Drawer) -> None:
    changed = patch(
        plan_id="plan-2",
        parameters={},
        previous_values={"plan_id": PLAN, "maintenance_info": None},
    )
    assert changed.status_code == 200
    shown = platform("GET", INSTANCE).json
    assert (shown["plan_id"], shown["parameters"]) == ("plan-2", {"size": 1, "colour": "red"})
    assert drawer.sizes["i1"] == ("plan-2", 1)
    # The new plan says that it cannot be left, and takes no parameters.
    refused = patch(plan_id=PLAN)
    assert (refused.status_code, refused.json["error"]) == (422, "NotSupported")
    assert patch(parameters={"size": 2}).status_code == 422


def test_a_binding_is_deleted_under_the_new_plan(platform: Any, patch: Any) -> None:
    binding = f"{INSTANCE}/service_bindings/b"
    platform("PUT", binding, {"service_id": SERVICE, "plan_id": PLAN})
    patch(plan_id="plan-2")
    query = f"service_id={SERVICE}&plan_id=plan-2"
    assert platform("DELETE", binding, query_string=query).status_code == 200
    assert platform("DELETE", INSTANCE, query_string=query).status_code == 200


@pytest.mark.osb("FI-5", "CON-2", "CON-5", "UPD-16")
def test_while_an_update_runs(platform: Any, patch: Any, drawer: Drawer, ids: str) -> None:
    drawer.hold.clear()
    try:
        accepted = patch(ASYNC, parameters={"size": 3})
        assert accepted.status_code == 202
        again = patch(ASYNC, parameters={"size": 3})
        assert (again.status_code, again.json) == (202, accepted.json)
        other = patch(ASYNC, parameters={"size": 4})
        assert (other.status_code, other.json["error"]) == (422, "ConcurrencyError")
        gone = platform("DELETE", INSTANCE, query_string=ids)
        assert (gone.status_code, gone.json["error"]) == (422, "ConcurrencyError")
        assert platform("GET", INSTANCE).json["parameters"]["size"] == 1
        poll = platform("GET", f"{INSTANCE}/last_operation", query_string=ids)
        assert poll.json["state"] == "in progress"
    finally:
        drawer.hold.set()
    path = f"{INSTANCE}/last_operation"
    eventually(lambda: platform("GET", path).json["state"] == "succeeded")
    assert platform("GET", INSTANCE).json["parameters"]["size"] == 3


@pytest.mark.osb("ERR-5", "ERR-7", "UPD-10", "UPD-13")
def test_a_failed_update_changes_nothing_and_says_so(platform: Any, patch: Any) -> None:
    failed = patch(parameters={"size": 7})
    assert failed.status_code == 400
    assert failed.json == {
        "error": "OperationFailed",
        "description": "There is no size 7.",
        "instance_usable": True,
        "update_repeatable": False,
    }
    assert platform("GET", INSTANCE).json["parameters"]["size"] == 1
    assert platform("GET", f"{INSTANCE}/last_operation").json == {
        "state": "failed",
        "description": "There is no size 7.",
        "instance_usable": True,
        "update_repeatable": False,
    }


@pytest.mark.osb("MI-3", "MI-4", "MI-6")
def test_maintenance_is_an_update_to_the_catalogs_version(platform: Any, patch: Any) -> None:
    assert platform("GET", INSTANCE).json["maintenance_info"] == {"version": "1.2.0"}
    conflict = patch(maintenance_info={"version": "1.1.0"})
    assert (conflict.status_code, conflict.json["error"]) == (422, "MaintenanceInfoConflict")
    assert patch(maintenance_info={"version": "1.2.0"}).status_code == 200
    assert patch(maintenance_info={}).status_code == 200
    assert patch(maintenance_info=None).status_code == 200


@pytest.mark.osb("PAR-1", "PAR-2", "UPD-7", "UPD-9")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"parameters": {"size": "x"}}, 400),
        ({"parameters": {"size": 10}}, 400),
        ({"parameters": []}, 400),
        ({"plan_id": ""}, 200),
        ({"plan_id": "unknown"}, 400),
        ({"service_id": "unknown"}, 400),
        ({"context": {"platform": "cloudfoundry", "instance_name": "new"}}, 200),
        ({"parameters": {"size": 1}}, 200),
        ({"plan_id": "plan-3"}, 422),
    ],
)
def test_updates_that_are_none(patch: Any, drawer: Drawer, body: Any, status: int) -> None:
    calls = len(drawer.calls)
    assert patch(**body).status_code == status
    assert len(drawer.calls) == calls


def test_the_original_request_is_another_after_an_update(
    platform: Any, patch: Any, provision_body: Any
) -> None:
    patch(parameters={"size": 3})
    body = {**provision_body, "parameters": {"size": 1, "colour": "red"}}
    assert platform("PUT", INSTANCE, body).status_code == 409
    body["parameters"] = {"size": 3, "colour": "red"}
    assert platform("PUT", INSTANCE, body).status_code == 200


def test_maintenance_of_a_slow_plan_is_not_waited_for(system: Any, platform: Any) -> None:
    ask(system, provision("old", plan_id="plan-3", maintenance_version="1.0.0"))
    ended(system, "old")
    body = {"service_id": SERVICE, "maintenance_info": {"version": "2.0.0"}}
    path = "/v2/service_instances/old"
    refused = platform("PATCH", path, body)
    assert (refused.status_code, refused.json["error"]) == (422, "AsyncRequired")
    assert platform("PATCH", path, body, query_string=ASYNC).status_code == 202
    assert ended(system, "old").maintenance_version == "2.0.0"
    # Nothing is left to do, so nothing takes long.
    assert platform("PATCH", path, body).status_code == 200
