"""A step that kills its process: it is given up after a few deaths, and the others are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests
from drawer_app import USER, drawer_server
from drawers import PLAN, SERVICE
from waiting import eventually


def test_a_step_that_kills_the_process_is_given_up_and_others_are_served(tmp_path: Path) -> None:
    with drawer_server(tmp_path) as server, requests.Session() as session:
        session.auth = USER
        session.headers["X-Broker-API-Version"] = "2.17"
        base = f"{server.url}/v2/service_instances"

        def put(name: str, **parameters: Any) -> int:
            body = {
                "service_id": SERVICE,
                "plan_id": PLAN,
                "organization_guid": "o",
                "space_guid": "s",
                "parameters": parameters,
            }
            url = f"{base}/{name}?accepts_incomplete=true"
            return session.put(url, json=body, timeout=60).status_code

        def last(name: str) -> dict[str, Any]:
            try:
                answer = session.get(f"{base}/{name}/last_operation", timeout=10)
            except requests.ConnectionError:
                return {}
            found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
            return found

        assert put("before") in (201, 202)
        eventually(lambda: last("before").get("state") == "succeeded", timeout=60)
        assert put("poison", deadly=True) == 202
        ended = eventually(
            lambda: (one := last("poison")).get("state") == "failed" and one, timeout=120
        )
        assert "process died 4 times" in ended["description"]
        log = server.log.read_text()
        assert "A process died while this ran, for the 4. time: drawer: working on" in log
        assert "is given up" in log
        assert last("before")["state"] == "succeeded"
        assert put("after") in (201, 202)
        eventually(lambda: last("after").get("state") == "succeeded", timeout=60)
        warnings = session.get(f"{server.url}/readyz", timeout=10).json()["warnings"]
        assert any("instance poison" in one for one in warnings)
