"""A plan that is not offered any more is not sold, and who has it keeps it."""

from __future__ import annotations

from typing import Any

from commands import ask, ended, provision

from alibroker.actors.system import BrokerSystem

HIDDEN = "plan-6"
INSTANCE = "/v2/service_instances/i"
ASYNC = "accepts_incomplete=true"


def test_it_is_not_published(platform: Any) -> None:
    (service,) = platform("GET", "/v2/catalog").json["services"]
    assert HIDDEN not in [plan["id"] for plan in service["plans"]]
    assert not any("hidden" in plan for plan in service["plans"])


def test_it_is_not_sold(platform: Any, provision_body: Any) -> None:
    body = {**provision_body, "plan_id": HIDDEN}
    answer = platform("PUT", INSTANCE, body, query_string=ASYNC)
    assert answer.status_code == 400
    assert "not offered any more" in answer.json["description"]


def test_nobody_moves_to_it(system: BrokerSystem, platform: Any, provision_body: Any) -> None:
    ask(system, provision("i"))
    ended(system, "i")
    body = {"service_id": provision_body["service_id"], "plan_id": HIDDEN}
    assert platform("PATCH", INSTANCE, body, query_string=ASYNC).status_code == 400


def test_who_has_it_keeps_it(system: BrokerSystem, platform: Any, provision_body: Any) -> None:
    offer = {"service_id": provision_body["service_id"], "plan_id": HIDDEN}
    ask(system, provision("i", plan_id=HIDDEN))
    ended(system, "i")
    # The same request again, as from a platform that has not read the new catalog yet.
    again = {**offer, "organization_guid": "o", "space_guid": "s"}
    assert platform("PUT", INSTANCE, again, query_string=ASYNC).status_code == 200
    binding = f"{INSTANCE}/service_bindings/b"
    assert platform("PUT", binding, offer).status_code == 201
    ids = "&".join(f"{name}={value}" for name, value in offer.items())
    assert platform("DELETE", binding, query_string=ids).status_code == 200
    assert platform("DELETE", INSTANCE, query_string=ids).status_code == 200
