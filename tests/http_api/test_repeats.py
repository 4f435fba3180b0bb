"""The same request again, and another one, while the first is being carried out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from drawers import PLAN, SERVICE, Drawer, DrawerBroker
from waiting import eventually

from alibroker.brokers.api import Step, Work

INSTANCE = "/v2/service_instances/i1"
BINDING = f"{INSTANCE}/service_bindings/b1"
ASYNC = "accepts_incomplete=true"
BIND_BODY = {"service_id": SERVICE, "plan_id": PLAN}


@pytest.fixture(autouse=True)
def _hold_everything(monkeypatch: pytest.MonkeyPatch, drawer: Drawer) -> Iterator[None]:
    """Have all steps wait while `drawer.hold` is cleared, not only those that always do."""
    for name in ("deprovision", "bind", "unbind"):
        step = getattr(DrawerBroker, name)

        def held(self: DrawerBroker, work: Work, step: Any = step) -> Step:
            self.drawer.hold.wait(20)
            result: Step = step(self, work)
            return result

        monkeypatch.setattr(DrawerBroker, name, held)
    yield
    drawer.hold.set()


def ended(platform: Any, path: str) -> bool:
    return bool(platform("GET", f"{path}/last_operation").json["state"] == "succeeded")


@pytest.mark.osb("ASY-3", "ASY-6", "PRO-5")
@pytest.mark.parametrize("value", ["True", "TRUE", "1", "yes", "", "false", "true%20", "tru"])
def test_only_true_permits_an_asynchronous_answer(
    platform: Any, provision_body: Any, drawer: Drawer, ids: str, value: str
) -> None:
    query = f"accepts_incomplete={value}"
    assert platform("PUT", INSTANCE, provision_body, query_string=query).status_code == 201
    assert platform("PUT", BINDING, BIND_BODY, query_string=query).status_code == 201
    body = {"service_id": SERVICE, "parameters": {"size": 2}}
    assert platform("PATCH", INSTANCE, body, query_string=query).status_code == 200
    for path in (BINDING, INSTANCE):
        assert platform("DELETE", path, query_string=f"{ids}&{query}").status_code == 200
    assert drawer.things == {}


@pytest.mark.osb("BND-6", "FB-4", "OP-5", "UNB-4")
def test_while_a_binding_is_being_created(
    platform: Any, provision_body: Any, drawer: Drawer
) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    drawer.hold.clear()
    accepted = platform("PUT", BINDING, BIND_BODY, query_string=ASYNC)
    assert accepted.status_code == 202

    again = platform("PUT", BINDING, BIND_BODY, query_string=ASYNC)
    assert (again.status_code, again.json) == (202, accepted.json)
    for change in ({"app_guid": "a"}, {"parameters": {"a": 1}}, {"bind_resource": {"route": "r"}}):
        other = platform("PUT", BINDING, {**BIND_BODY, **change}, query_string=ASYNC)
        assert (other.status_code, other.json["error"]) == (409, "Conflict"), change
    assert platform("GET", BINDING).status_code == 404

    drawer.hold.set()
    eventually(lambda: ended(platform, BINDING))
    assert platform("GET", BINDING).status_code == 200
    assert len(drawer.keys) == 1


@pytest.mark.osb("UNB-3", "OP-5", "CON-2")
def test_while_a_binding_is_being_deleted(
    platform: Any, provision_body: Any, drawer: Drawer, ids: str
) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    assert platform("PUT", BINDING, BIND_BODY).status_code == 201
    drawer.hold.clear()
    accepted = platform("DELETE", BINDING, query_string=f"{ids}&{ASYNC}")
    assert accepted.status_code == 202

    again = platform("DELETE", BINDING, query_string=f"{ids}&{ASYNC}")
    assert (again.status_code, again.json) == (202, accepted.json)
    anew = platform("PUT", BINDING, BIND_BODY, query_string=ASYNC)
    assert (anew.status_code, anew.json["error"]) == (422, "ConcurrencyError")

    drawer.hold.set()
    eventually(lambda: ended(platform, BINDING))
    assert platform("DELETE", BINDING, query_string=ids).status_code == 410
    assert drawer.keys == {}


@pytest.mark.osb("DEP-3", "OP-5", "CON-2")
def test_while_an_instance_is_being_deleted(
    platform: Any, provision_body: Any, drawer: Drawer, ids: str
) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    drawer.hold.clear()
    accepted = platform("DELETE", INSTANCE, query_string=f"{ids}&{ASYNC}")
    assert accepted.status_code == 202

    again = platform("DELETE", INSTANCE, query_string=f"{ids}&{ASYNC}")
    assert (again.status_code, again.json) == (202, accepted.json)
    for method, path, body in (
        ("PUT", INSTANCE, provision_body),
        ("PATCH", INSTANCE, {"service_id": SERVICE, "parameters": {"size": 2}}),
        ("PUT", BINDING, BIND_BODY),
    ):
        busy = platform(method, path, body, query_string=ASYNC)
        assert (busy.status_code, busy.json["error"]) == (422, "ConcurrencyError"), method

    drawer.hold.set()
    eventually(lambda: ended(platform, INSTANCE))
    assert platform("DELETE", INSTANCE, query_string=ids).status_code == 410
    assert drawer.things == {}


@pytest.mark.osb("DEP-7", "BND-15")
def test_what_names_another_plan_than_the_instances_is_refused(
    platform: Any, provision_body: Any, drawer: Drawer
) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    other = {**BIND_BODY, "plan_id": "plan-2"}
    assert platform("PUT", BINDING, other).status_code == 400
    assert platform("PUT", BINDING, BIND_BODY).status_code == 201
    assert platform("PUT", BINDING, other).status_code in (400, 409)
    for path in (BINDING, INSTANCE):
        query = f"service_id={SERVICE}&plan_id=plan-2"
        assert platform("DELETE", path, query_string=query).status_code == 400
    assert (len(drawer.things), len(drawer.keys)) == (1, 1)


@pytest.mark.osb("DEP-4")
def test_an_instance_that_is_bound_is_kept_and_says_why(
    platform: Any, provision_body: Any, drawer: Drawer, ids: str
) -> None:
    assert platform("PUT", INSTANCE, provision_body).status_code == 201
    assert platform("PUT", BINDING, BIND_BODY).status_code == 201
    for query in (ids, f"{ids}&{ASYNC}"):
        refused = platform("DELETE", INSTANCE, query_string=query)
        assert (refused.status_code, refused.json["error"]) == (422, "BindingsExist")
        assert "binding" in refused.json["description"]
    assert platform("GET", BINDING).status_code == 200
    assert len(drawer.things) == 1
