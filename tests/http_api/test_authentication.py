"""Nobody without the right name and password gets anywhere, and nothing comes of the attempt."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import falcon.asgi
import falcon.inspect
import falcon.testing
import pytest
from drawers import PLAN, SERVICE, Drawer

from alibroker.actors.system import BrokerSystem
from alibroker.http import authentication, guesses
from alibroker.http.errors import OsbError
from alibroker.http.openapi import openapi_document
from alibroker.http.settings import EdgeSettings

USER, PASSWORD = "user", "pass:wörd"
"""As conftest.py has them."""
OPEN = {"/healthz", "/readyz"}
"""All that anybody may see."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = sorted(openapi_document(EdgeSettings())["paths"])  # which has each route; see below
CLOSED = [path for path in PATHS if path not in OPEN]


def encoded(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(data).decode()


RIGHT = encoded(f"{USER}:{PASSWORD}")
WRONG = {
    "no header": None,
    "an empty header": "",
    "blanks": "   ",
    "a scheme alone": "Basic",
    "a scheme and a blank": "Basic ",
    "no scheme": RIGHT,
    "another scheme with the right value": f"Bearer {RIGHT}",
    "a scheme that begins alike": f"Basically {RIGHT}",
    "a digest": 'Digest username="user", response="0"',
    "no Base64": "Basic !!!",
    "Base64 of the other alphabet": "Basic " + base64.urlsafe_b64encode(b"user:\xff\xfe?").decode(),
    "half a group of Base64": f"Basic {RIGHT[:-1]}",
    "right credentials and more": f"Basic {RIGHT}, Basic {RIGHT}",
    "right credentials in two pieces": f"Basic {RIGHT[:4]} {RIGHT[4:]}",
    "right credentials encoded twice": f"Basic {encoded(RIGHT)}",
    "no text": "Basic " + encoded(b"\xff\xfe:\xff"),
    "the right password in Latin-1": "Basic " + encoded(f"{USER}:{PASSWORD}".encode("latin-1")),
    "bytes that are not ASCII": "Basic \xff\xfe",
    "nothing at all": "Basic " + encoded(""),
    "a colon": "Basic " + encoded(":"),
    "no colon": "Basic " + encoded(USER),
    "an empty name": "Basic " + encoded(f":{PASSWORD}"),
    "an empty password": "Basic " + encoded(f"{USER}:"),
    "a wrong name": "Basic " + encoded(f"root:{PASSWORD}"),
    "a name in capitals": "Basic " + encoded(f"USER:{PASSWORD}"),
    "another user's password": "Basic " + encoded(f"other:{PASSWORD}"),
    "a wrong password": "Basic " + encoded(f"{USER}:wrong"),
    "the password in capitals": "Basic " + encoded(f"{USER}:{PASSWORD.upper()}"),
    "the beginning of the password": "Basic " + encoded(f"{USER}:{PASSWORD[:-1]}"),
    "the password and a letter": "Basic " + encoded(f"{USER}:{PASSWORD}x"),
    "the password and a NUL": "Basic " + encoded(f"{USER}:{PASSWORD}\0"),
    "the password and a line break": "Basic " + encoded(f"{USER}:{PASSWORD}\n"),
    "a password of 100,000 characters": "Basic " + encoded(f"{USER}:{'x' * 100_000}"),
}

Send = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "LONGEST", 0.0)


@pytest.fixture
def send(platform: Any, provision_body: Any, ids: str) -> Send:
    """Return a function that sends what would be right with the right credentials."""
    for path in ("i1", "i1/service_bindings/b1"):
        created = platform("PUT", f"/v2/service_instances/{path}", provision_body)
        assert created.status_code == 201

    def send(method: str, path: str, authorization: str | None, instance_id: str = "i1") -> Any:
        filled = path.format(instance_id=instance_id, binding_id="b1", finding_id="f1")
        body = {
            "PUT": provision_body,
            "PATCH": {"service_id": SERVICE, "plan_id": PLAN, "parameters": {"size": 2}},
            "POST": {"action": "delete"},
        }.get(method)
        return platform(
            method,
            filled,
            body,
            query_string=f"{ids}&accepts_incomplete=true" if "{" in path else "",
            headers={"Authorization": authorization},
        )

    return send


def state(system: BrokerSystem, drawer: Drawer) -> Any:
    """Return all that a request might change."""
    keys = system.view.keys()
    records = {key: system.view.get(key) for key in keys}
    return records, dict(drawer.things), dict(drawer.keys), list(drawer.calls)


def test_each_path_of_the_application_is_tried(platform: Any) -> None:
    routes = {route.path for route in falcon.inspect.inspect_app(platform.client.app).routes}
    assert routes == set(PATHS)
    assert authentication.OPEN_PATHS == OPEN


@pytest.mark.osb("AUTH-3", "AUTH-7")
@pytest.mark.parametrize("how", WRONG)
def test_wrong_credentials_get_401_everywhere_and_change_nothing(
    send: Send, system: BrokerSystem, drawer: Drawer, how: str
) -> None:
    before = state(system, drawer)
    for path in CLOSED:
        for method in METHODS:
            for instance_id in {"i1", "new"} if "{instance_id}" in path else {""}:
                answer = send(method, path, WRONG[how], instance_id)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
                if method != "HEAD":
                    assert answer.json == {
                        "error": "Unauthorized",
                        "description": "Name or password are missing or wrong.",
                    }
    assert state(system, drawer) == before


@pytest.mark.parametrize("path", CLOSED)
def test_right_credentials_are_let_in_everywhere(send: Send, path: str) -> None:
    answers = {send(method, path, f"Basic {RIGHT}").status_code for method in ("GET", "POST")}
    assert 401 not in answers


@pytest.mark.osb("AUTH-8")
@pytest.mark.parametrize(
    "path",
    ["/", "/v2", "/v2/nothing", "/healthz/", "//healthz", "/HEALTHZ", "/healthz/x", "/healthz;x",
     "/readyz/../v2/catalog", "/readyz%2F..%2Fv2%2Fcatalog", "/v2/catalog/"],
)  # fmt: skip
def test_nor_does_anybody_learn_which_paths_there_are(platform: Any, path: str) -> None:
    for method in METHODS:
        assert platform(method, path, headers={"Authorization": None}).status_code == 401


@pytest.mark.osb("AUTH-8")
@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"X-Broker-API-Version": None}},
        {"headers": {"X-Broker-API-Version": "garbage"}},
        {"headers": {"X-Broker-API-Originating-Identity": "garbage"}},
        {"headers": {"Content-Type": "text/plain"}},
        {"body": b"{"},
        {"body": b"x" * 10_000_000},
        {"query_string": "accepts_incomplete=%FF"},
    ],
)
def test_credentials_are_looked_at_before_anything_else(platform: Any, more: Any) -> None:
    headers = {**more.pop("headers", {}), "Authorization": WRONG["a wrong password"]}
    answer = platform("PUT", "/v2/service_instances/i1", headers=headers, **more)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", sorted(OPEN))
def test_probes_are_answered_whatever_the_credentials(platform: Any, path: str) -> None:
    for authorization in (None, "Basic !!!", f"Basic {RIGHT}"):
        headers = {"Authorization": authorization, "X-Broker-API-Version": None}
        assert platform("GET", path, headers=headers).json == {"status": "ok"}


def look_at(one: authentication.Authentication, header: str) -> bool:
    """Return whether an operator was let in.

    Raises:
        OsbError: Nobody was.
    """
    req = falcon.testing.create_asgi_req(headers={"Authorization": header})
    asyncio.run(one.process_request(req, falcon.asgi.Response()))
    return bool(req.context.operator)


def test_what_was_right_is_known_again_within_bounds_and_what_was_wrong_is_not() -> None:
    one = authentication.Authentication({USER: PASSWORD}, {"operator": "secret"})
    operator = "Basic " + encoded("operator:secret")
    for _ in range(2):
        assert not look_at(one, f"Basic {RIGHT}")
        assert look_at(one, operator)
        with pytest.raises(OsbError):
            look_at(one, "Basic " + encoded(f"{USER}:secret"))
    assert set(one._right) == {f"Basic {RIGHT}", operator}
    for number in range(200):
        assert not look_at(one, f"Basic{' ' * number} {RIGHT}")
    assert len(one._right) == authentication._REMEMBERED
