"""Operators see and settle what exists in the cloud without a record; platforms do not. I5, I10."""

from __future__ import annotations

import base64
import json
from typing import Any

import falcon.testing
import pytest
from drawers import Drawer
from waiting import eventually

from alibroker.actors.settings import SettingsError
from alibroker.actors.system import BrokerSystem
from alibroker.http.app import create_app
from alibroker.http.settings import EdgeSettings

RESOURCES = [("GET", "survey"), ("POST", "survey"), ("POST", "findings/abc")]


class Operator:
    def __init__(self, system: BrokerSystem) -> None:
        app = create_app(system, {"user": "platform's"}, operators={"boss": "operator's"})
        self.client = falcon.testing.TestClient(app)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        auth: str = "boss:operator's",
        **more: str | None,
    ) -> Any:
        token = base64.b64encode(auth.encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        for name, value in more.items():
            headers[name.replace("_", "-")] = value or ""
        return self.client.simulate_request(
            method, f"/operator/{path}", body=json.dumps(body or {}), headers=headers
        )

    def survey(self) -> list[dict[str, Any]]:
        asked_at = self("POST", "survey").json["asked_at"]
        eventually(lambda: self("GET", "survey").json["taken_at"] >= asked_at)
        found: list[dict[str, Any]] = self("GET", "survey").json["findings"]
        return found


@pytest.fixture
def operator(system: BrokerSystem) -> Operator:
    return Operator(system)


@pytest.mark.parametrize(("method", "path"), RESOURCES)
def test_platforms_are_not_let_in(operator: Operator, method: str, path: str) -> None:
    answer = operator(method, path, {"action": "keep"}, auth="user:platform's")
    assert answer.status_code == 403
    assert "ALIBROKER_OPERATOR_USERNAME" in answer.json["description"]


@pytest.mark.parametrize(("method", "path"), RESOURCES)
@pytest.mark.parametrize("slashes", ["/", "//", "///"])
def test_no_spelling_of_the_path_lets_platforms_in(
    operator: Operator, method: str, path: str, slashes: str
) -> None:
    token = base64.b64encode(b"user:platform's").decode()
    answer = operator.client.simulate_request(
        method, f"{slashes}operator/{path}", headers={"Authorization": f"Basic {token}"}
    )
    assert answer.status_code in (403, 404)


@pytest.mark.parametrize(("method", "path"), RESOURCES)
def test_nobody_is_let_in_where_there_is_no_operator(
    system: BrokerSystem, method: str, path: str
) -> None:
    operator = Operator(system)
    operator.client = falcon.testing.TestClient(create_app(system, {"user": "platform's"}))
    assert operator(method, path).status_code == 401
    assert operator(method, path, auth=":").status_code == 401
    assert operator(method, path, auth="user:platform's").status_code == 403


def test_operators_may_do_what_platforms_may(operator: Operator) -> None:
    token = base64.b64encode(b"boss:operator's").decode()
    headers = {"Authorization": f"Basic {token}", "X-Broker-API-Version": "2.17"}
    assert operator.client.simulate_get("/v2/catalog", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["survey", "findings/abc"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # A form of another page, as a browser sends it; older ones do not say where it is from.
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content_Type": "application/jsonp"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://falconframework.org.elsewhere.example"}, 403),
        ({"Origin": "https://falconframework.org:8443"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "something new"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://elsewhere.example"}, 403),
        ({}, None),
        ({"Content_Type": "Application/JSON; charset=utf-8"}, None),
        ({"Origin": "https://falconframework.org"}, None),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://FalconFramework.org"}, None),
        ({"Sec_Fetch_Site": "none"}, None),
    ],
)
def test_pages_of_others_change_nothing_with_the_password_that_a_browser_knows(
    operator: Operator, path: str, headers: dict[str, str], status: int | None
) -> None:
    answer = operator("POST", path, {"action": "keep"}, **headers)
    assert answer.status_code == (status or {"survey": 202, "findings/abc": 404}[path])
    assert answer.json.get("description") or not status
    # What changes nothing needs none of this, and is not shown to other pages by a browser.
    assert operator("GET", "survey", **headers).status_code == 200


def test_an_orphan_is_listed_and_adopted(operator: Operator, drawer: Drawer) -> None:
    drawer.things["lost"] = "t"
    (finding,) = operator.survey()
    assert finding["disagreement"] == "unknown"
    assert finding["instance_id"] == "lost"
    assert finding["facts"] == {"token": "t", "shelf": 1}
    answer = operator("POST", f"findings/{finding['id']}", {"action": "adopt"})
    assert (answer.status_code, answer.json["instance_id"]) == (200, "lost")
    assert operator.survey() == []


def test_an_orphan_is_deleted(operator: Operator, drawer: Drawer) -> None:
    drawer.things["lost"] = "t"
    (finding,) = operator.survey()
    answer = operator("POST", f"findings/{finding['id']}", {"action": "delete"})
    assert answer.status_code == 202
    eventually(lambda: drawer.things == {})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "keep"}, 404),
        ({"action": "burn"}, 400),
        ({}, 400),
        ({"action": "delete", "parameters": 3}, 400),
        ({"action": "adopt", "instance_id": 5}, 400),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    operator: Operator, body: dict[str, Any], status: int
) -> None:
    answer = operator("POST", "findings/abc", body)
    assert answer.status_code == status
    assert answer.json["description"]


def test_half_a_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="ALIBROKER_OPERATOR_PASSWORD"):
        EdgeSettings(operator_username="boss").operators()
    assert EdgeSettings().operators() == {}


@pytest.mark.parametrize("name", ["user", "boss"])
def test_a_password_of_platforms_is_refused(name: str) -> None:
    """Whoever has that could do all that operators may, if only the name were guessed."""
    settings = EdgeSettings(
        username="user", password="secret-1", operator_username=name, operator_password="secret-1"
    )
    with pytest.raises(SettingsError, match=r"ALIBROKER_OPERATOR_PASSWORD.*ALIBROKER_PASSWORD"):
        settings.operators()
