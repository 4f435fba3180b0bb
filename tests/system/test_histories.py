"""Random histories over HTTP against the running broker, compared with a simple model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from world import OSS, World, new_id

BINDINGS = strategies.sampled_from(["b1", "b2"])
SPACES = strategies.sampled_from(["space-1", "space-2"])
APPS = strategies.sampled_from(["app-1", "app-2"])
IDS = {"service_id": OSS["service_id"], "plan_id": OSS["plan_id"]}


class Histories(RuleBasedStateMachine):
    """What a platform may do, in any order, and what it is to be answered."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.instance_id = new_id()
        self.space = ""
        """The space that the instance is in; empty while there is none."""
        self.seen = False
        self.bindings: dict[str, tuple[str, Any]] = {}
        """App and credentials of each binding."""
        self.seen_bindings: set[str] = set()
        self.restarts = 0

    def path(self, binding_id: str = "") -> str:
        path = f"/v2/service_instances/{self.instance_id}"
        return f"{path}/service_bindings/{binding_id}" if binding_id else path

    def change(self, method: str, path: str, body: Any, *, incomplete: bool) -> Any:
        """Ask for a change and return the answer; one that goes on is polled to its end."""
        query = {"accepts_incomplete": "true"} if incomplete else {}
        ids = IDS if method == "DELETE" else {}
        answer = self.world.request(method, path, body, **query, **ids)
        if answer.status_code == 202:
            kind = "bind" if "service_bindings" in path else "provision"
            binding_id = path.rpartition("/")[2]
            assert self.world.end(kind, self.instance_id, binding_id) == "succeeded"
        return answer

    @rule(space=SPACES, incomplete=strategies.booleans())
    def provision(self, space: str, *, incomplete: bool) -> None:
        body = {**OSS, "organization_guid": "org", "space_guid": space}
        answer = self.change("PUT", self.path(), body, incomplete=incomplete)
        if not self.space:
            assert answer.status_code == (202 if incomplete else 201)
            self.space, self.seen = space, True
        else:
            assert answer.status_code == (200 if space == self.space else 409)

    @precondition(lambda self: not self.space)
    @rule(space=SPACES, incomplete=strategies.booleans())
    def provision_thrice_at_once(self, space: str, *, incomplete: bool) -> None:
        body = {**OSS, "organization_guid": "org", "space_guid": space}

        def ask(_: int) -> Any:
            return self.change("PUT", self.path(), body, incomplete=incomplete)

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(ask, range(3)))
        assert {answer.status_code for answer in answers} <= {200, 201, 202}
        operations = {answer.json().get("operation") for answer in answers} - {None}
        assert len(operations) <= 1
        self.space, self.seen = space, True

    @rule(incomplete=strategies.booleans())
    def deprovision(self, *, incomplete: bool) -> None:
        answer = self.change("DELETE", self.path(), None, incomplete=incomplete)
        if not self.space:
            assert answer.status_code == 410
        elif self.bindings:
            assert (answer.status_code, answer.json()["error"]) == (422, "BindingsExist")
        else:
            assert answer.status_code == (202 if incomplete else 200)
            self.space = ""

    @rule(binding_id=BINDINGS, app=APPS, incomplete=strategies.booleans())
    def bind(self, binding_id: str, app: str, *, incomplete: bool) -> None:
        body = {**OSS, "bind_resource": {"app_guid": app}}
        answer = self.change("PUT", self.path(binding_id), body, incomplete=incomplete)
        if not self.space:
            assert answer.status_code == 404
        elif binding_id not in self.bindings:
            assert answer.status_code == (202 if incomplete else 201)
            found = self.world.request("GET", self.path(binding_id)).json()["credentials"]
            assert incomplete or found == answer.json()["credentials"]
            assert found not in [credentials for _, credentials in self.bindings.values()]
            self.bindings[binding_id] = (app, found)
            self.seen_bindings.add(binding_id)
        elif self.bindings[binding_id][0] == app:
            assert answer.status_code == 200
            assert answer.json()["credentials"] == self.bindings[binding_id][1]
        else:
            assert answer.status_code == 409

    @rule(binding_id=BINDINGS, incomplete=strategies.booleans())
    def unbind(self, binding_id: str, *, incomplete: bool) -> None:
        answer = self.change("DELETE", self.path(binding_id), None, incomplete=incomplete)
        if binding_id in self.bindings:
            assert answer.status_code == (202 if incomplete else 200)
            del self.bindings[binding_id]
        else:
            assert answer.status_code == 410

    @rule(binding_id=BINDINGS)
    def look(self, binding_id: str) -> None:
        assert self.world.request("GET", self.path()).status_code == (200 if self.space else 404)
        fetched = self.world.request("GET", self.path(binding_id))
        assert fetched.status_code == (200 if binding_id in self.bindings else 404)
        poll = self.world.request("GET", f"{self.path()}/last_operation")
        assert poll.status_code == (200 if self.seen else 404)
        poll = self.world.request("GET", f"{self.path(binding_id)}/last_operation")
        assert poll.status_code == (200 if binding_id in self.seen_bindings else 404)

    @precondition(lambda self: self.restarts < 1 and self.bindings)
    @rule(chance=strategies.integers(0, 3))
    def restart(self, chance: int) -> None:
        self.restarts += 1
        if chance == 0:
            self.world.kill_worker()

    def teardown(self) -> None:
        for binding_id in list(self.bindings):
            self.unbind(binding_id, incomplete=False)
        self.deprovision(incomplete=False)
        assert self.world.left() == {}


def run(world: World, histories: int, steps: int) -> None:
    machine = type("Histories", (Histories,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(600)
def test_histories(world: World) -> None:
    run(world, 200, 8)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_histories(world: World) -> None:
    run(world, 5_000, 20)
