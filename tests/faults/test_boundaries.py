"""Every call that an operation makes to the cloud is a boundary at which the broker was killed.

Which calls there are is counted by the cloud, so that none can be forgotten. Most boundaries are
those of tests/system/test_crashes.py; the others are crashed here. `pytest -s` prints the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually
from walks import CALLS
from world import OSS, POSTGRES, RDS, World, new_id

from alibroker.brokers.alibabacloud.remembered import FILE

LIFE = ["provision", "update", "bind", "unbind", "deprovision"]
# What is counted of each; all else on PostgreSQL is as with MySQL.
COUNTED = {"rds": LIFE, "oss": LIFE, "postgres": ["bind", "unbind"]}
OFFERS: dict[str, dict[str, Any]] = {"rds": RDS, "oss": OSS, "postgres": POSTGRES}
# As much as one update can change at once.
UPDATES: dict[str, dict[str, Any]] = {
    "rds": {
        "service_id": RDS["service_id"],
        "plan_id": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e",
        "parameters": {
            "Class": "mysql.n2.large.2c",
            "Storage": 60,
            "AllowedIPs": ["10.0.0.0/8"],
            "BackupRetentionDays": 30,
            "SecurityGroupIDs": ["sg-a"],
        },
    },
    "oss": {
        "service_id": OSS["service_id"],
        "parameters": {
            "Versioning": True,
            "Encryption": "AES256",
            "Tags": {"team": "blue"},
            "Lifecycle": [{"Prefix": "logs/", "ExpirationDays": 30}],
            "Cors": [{"AllowedOrigins": ["https://example.com"], "AllowedMethods": ["GET"]}],
        },
    },
}

Boundary = tuple[str, str, str]
"""Operation, call, and whether the broker dies before or after the call takes effect."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.stop()


def crashed_elsewhere(service: str) -> set[Boundary]:
    """Return the boundaries at which test_crashes.py kills the broker."""
    return {
        (kind, call, when)
        for (of, kind), calls in CALLS.items()
        if of == service
        for call in calls
        for when in ("before", "after")
    }


def do(world: World, service: str, kind: str, instance: str) -> None:
    assert start(world, service, kind, instance) == 202
    assert world.end(kind, instance) == "succeeded"


def start(world: World, service: str, kind: str, instance: str) -> int:
    if kind == "update":
        return world.start(kind, UPDATES[service], instance)
    offer = OFFERS[service]
    if kind != "provision":
        path = f"/v2/service_instances/{instance}"
        offer = {**offer, "plan_id": world.request("GET", path).json()["plan_id"]}
    return world.start(kind, offer, instance)


def life(service: str) -> list[str]:
    """Return the operations of a whole life, in their order."""
    return [kind for kind in LIFE if kind != "update" or service in UPDATES]


def fresh_worker(world: World) -> None:
    """Start the worker anew, so that it has asked for nothing yet."""
    before = world.worker().pid
    (Path(world.settings["ALIBROKER_DATA_DIR"]) / FILE).unlink(missing_ok=True)
    world.kill_worker()
    eventually(lambda: world.worker().pid != before)
    world.broker.wait_until_ready()


def calls_of_a_life(world: World, service: str) -> dict[str, list[str]]:
    """Return the calls that each operation makes."""
    instance = new_id()
    found = {}
    for kind in life(service):
        fresh_worker(world)
        world.sandbox.control("DELETE", "counters")
        do(world, service, kind, instance)
        counted = world.sandbox.control("GET", "counters")["calls"]
        found[kind] = [f"{of}:{action}" for of, some in counted.items() for action in some]
    assert world.left() == {}
    return {kind: found[kind] for kind in COUNTED[service]}


def crash_at(world: World, service: str, boundary: Boundary) -> None:
    """Kill the worker at a boundary in a life of its own, which has to end well."""
    kind, call, when = boundary
    walk = life(service)
    instance = new_id()
    for earlier in walk[: walk.index(kind)]:
        do(world, service, earlier, instance)
    fresh_worker(world)
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "hang", "when": when, "seconds": 30}
    )
    assert start(world, service, kind, instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])

    world.kill_worker()

    assert world.end(kind, instance) == "succeeded"
    world.sandbox.control("DELETE", "faults")
    for later in walk[walk.index(kind) + 1 :]:
        do(world, service, later, instance)
    assert world.left() == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", COUNTED)
def test_the_broker_was_killed_at_every_boundary(world: World, service: str) -> None:
    crashed = crashed_elsewhere(service)
    boundaries: dict[Boundary, str] = {}
    for kind, calls in calls_of_a_life(world, service).items():
        for call in calls:
            looks = call.split(":")[1].startswith(("Describe", "List", "Get"))
            for when in ("before", "after"):
                # A look has no effect that a crash before it could prevent.
                if (kind, call, when) in crashed or not (looks and when == "before"):
                    boundaries[kind, call, when] = "tests/system"
    for boundary in boundaries:
        if boundary not in crashed:
            crash_at(world, service, boundary)
            boundaries[boundary] = "here"
    for (kind, call, when), where in boundaries.items():
        print(f"{service} {kind:11} {call:36} killed {when:6} the answer: yes ({where})")  # noqa: T201
    assert {kind for kind, _, _ in boundaries} == set(COUNTED[service])
