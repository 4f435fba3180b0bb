"""The HTTP edge over an actor system and the plugin in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import falcon.testing
import pytest
from drawers import PLAN, SERVICE

from alibroker.actors.system import BrokerSystem
from alibroker.http.app import create_app
from alibroker.http.settings import EdgeSettings

PASSWORD = "pass:wörd"
AUTHORIZATION = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
HEADERS = {"Authorization": AUTHORIZATION, "X-Broker-API-Version": "2.17"}


class Platform:
    """A platform as it talks to the broker: with the right headers unless told otherwise."""

    def __init__(self, client: falcon.testing.TestClient) -> None:
        self.client = client

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        headers = {**HEADERS, **more.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        return self.client.simulate_request(method, path, body=body, headers=headers, **more)


@pytest.fixture
def make_platform() -> Callable[..., Platform]:
    def make(system: BrokerSystem, **settings: Any) -> Platform:
        app = create_app(system, {"user": PASSWORD, "other": "x"}, EdgeSettings(**settings))
        return Platform(falcon.testing.TestClient(app))

    return make


@pytest.fixture
def platform(system: BrokerSystem, make_platform: Callable[..., Platform]) -> Platform:
    return make_platform(system)


@pytest.fixture
def provision_body() -> dict[str, Any]:
    return {
        "service_id": SERVICE,
        "plan_id": PLAN,
        "organization_guid": "org",
        "space_guid": "space",
    }


@pytest.fixture
def ids() -> str:
    return f"service_id={SERVICE}&plan_id={PLAN}"
