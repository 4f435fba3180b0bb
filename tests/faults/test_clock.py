"""The broker's clock is set, forward or back, in the middle of everything (I6, I7).

Only the broker's: etcd and the cloud go on as before, so RDS refuses what the broker signs with a
time that is wrong by more than a quarter of an hour. (The OSS SDK takes the time from `datetime`,
whose clock stays right here.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import eventually
from world import OSS, RDS, World, new_id

SHIFTED = Path(__file__).resolve().parent.parent / "support" / "shifted"
DAY = 86_400.0
HOUR = 3_600.0

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(tmp_path: Path) -> SetClock:
    """Return a function that sets the broker's clock wrong by so many seconds."""

    def set_clock(seconds: float) -> None:
        fresh = tmp_path / "clock.new"
        fresh.write_text(str(seconds))
        fresh.replace(tmp_path / "clock")

    return set_clock


@pytest.fixture
def world(tmp_path: Path, set_clock: SetClock) -> Iterator[World]:
    set_clock(0.0)
    path = os.pathsep.join(filter(None, [str(SHIFTED), os.environ.get("PYTHONPATH")]))
    world = World(tmp_path, PYTHONPATH=path, SHIFTED_CLOCK=str(tmp_path / "clock"))
    yield world
    world.stop()


def hold(world: World, *actions: str) -> Callable[[], bool]:
    """Let the next calls of each action last three seconds; returns whether all have begun."""
    for action in actions:
        fault = {"action": action, "kind": "latency", "seconds": 3}
        world.sandbox.control("POST", "faults", fault)

    def begun() -> bool:
        return all(one["hit"] for one in world.sandbox.control("GET", "faults")["faults"])

    return begun


@pytest.mark.parametrize("seconds", [600.0, -600.0, -HOUR])
def test_operations_go_on_when_the_clock_is_set_during_a_call(
    world: World, set_clock: SetClock, seconds: float
) -> None:
    instances = [(new_id(), offer) for offer in (RDS, OSS)]
    begun = hold(world, "rds:CreateDBInstance", "oss:PutBucket")
    for instance, offer in instances:
        assert world.start("provision", offer, instance) == 202
    eventually(begun)

    set_clock(seconds)
    if abs(seconds) > 900:
        # The cloud takes nothing until the operator has seen to the clock.
        log = world.directory / "broker.log"
        eventually(lambda: "the broker's clock is wrong" in log.read_text())
        set_clock(seconds / 10)

    for instance, _ in instances:
        assert world.end("provision", instance) == "succeeded"
    for instance, offer in instances:
        for kind in ("bind", "unbind", "deprovision"):
            world.do(kind, offer, instance)
    assert world.left() == {}


@pytest.mark.parametrize("seconds", [600.0, -600.0])
def test_operations_go_on_when_the_clock_is_set_while_they_wait(
    world: World, set_clock: SetClock, seconds: float
) -> None:
    world.sandbox.control("PUT", "settings", {"time_scale": 0.02})
    instance = new_id()
    path = f"/v2/service_instances/{instance}/last_operation"
    assert world.start("provision", RDS, instance) == 202
    created = "The database is being created"
    eventually(lambda: created in world.request("GET", path).json()["description"])

    set_clock(seconds)

    assert world.end("provision", instance, timeout=20) == "succeeded"
    world.do("deprovision", RDS, instance)
    assert world.left() == {}


def test_a_leap_of_a_day_ends_operations_and_orphans_nothing(
    world: World, set_clock: SetClock
) -> None:
    """Their time is over at once; what was being created can be removed by its record."""
    ready = new_id()
    world.do("provision", OSS, ready)
    world.do("bind", OSS, ready)
    credentials = world.credentials(ready)
    instances = [(new_id(), offer) for offer in (RDS, OSS)]
    begun = hold(world, "rds:CreateDBInstance", "oss:PutBucket")
    for instance, offer in instances:
        assert world.start("provision", offer, instance) == 202
    eventually(begun)

    set_clock(DAY)
    for instance, _ in instances:
        assert world.end("provision", instance) in ("failed", "succeeded")
    set_clock(0.0)

    assert world.credentials(ready) == credentials
    world.do("unbind", OSS, ready)
    world.do("deprovision", OSS, ready)
    for instance, offer in instances:
        world.do("deprovision", offer, instance)
    eventually(lambda: world.left() == {})


def test_nothing_that_exists_is_forgotten_by_a_leap(world: World, set_clock: SetClock) -> None:
    kept, deleted = new_id(), new_id()
    world.do("provision", OSS, kept)
    world.do("provision", OSS, deleted)
    world.do("deprovision", OSS, deleted)

    set_clock(2 * DAY)

    # The result of the deletion is forgotten, which tells the platform the same.
    path = f"/v2/service_instances/{deleted}/last_operation"
    eventually(lambda: world.request("GET", path).status_code in (404, 410))
    set_clock(0.0)
    world.kill_worker()
    assert world.request("GET", f"/v2/service_instances/{kept}").status_code == 200
    world.do("deprovision", OSS, kept)
    assert world.left() == {}
