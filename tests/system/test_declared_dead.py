"""A replica is taken for dead in the middle of every call to the cloud, while it lives.

Another goes on with its operation; the call takes effect, or is answered, when that is long under
way. Invariants I2 (no orphans), I3 (one resource), I6 (every operation ends), I11 (one end told).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from waiting import eventually
from walks import CALLS, before, clean_up, expect, start
from world import World, new_id

from alibroker.etcd import keys
from alibroker.etcd.client import Etcd

LATE = 1.0
"""Seconds by which the call that the dead made is late: what they leave is taken over at once."""

CASES = [
    # Before and after in turn: what was killed at both is in test_crashes.py. And a third of them
    # here: all take minutes, for each waits until what is late has come.
    pytest.param(
        *(service, kind, call, when),
        id=f"{service}-{kind}-{when}-{call.split(':')[1]}",
        marks=() if number % 3 == 0 else (pytest.mark.soak,),
    )
    for number, (service, kind, call) in enumerate(
        (service, kind, call) for (service, kind), calls in CALLS.items() for call in calls
    )
    for when in [("before", "after")[number % 2]]
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("pair")
    world = World(directory, WEB_CONCURRENCY="2")
    log = directory / "broker.log"
    eventually(lambda: len(re.findall("Ready: ", log.read_text())) == 2, timeout=60)
    yield world
    world.stop()


@pytest.fixture(scope="module")
def etcd(world: World) -> Iterator[Etcd]:
    with Etcd([world.store]) as client:
        yield client


def replica_of(etcd: Etcd, kind: str, instance: str) -> str:
    """Return which replica works on an operation; empty if none does any more."""
    of_binding = kind in ("bind", "unbind")
    key = keys.binding_key(instance, "b") if of_binding else keys.instance_key(instance)
    (found,) = etcd.read([key], timeout=5)
    assert found is not None
    operation = json.loads(found.value)["operation"]
    in_progress = operation.get("state", "in progress") == "in progress"
    return str(operation["replica"]) if in_progress else ""


def declare_dead(etcd: Etcd, replica: str) -> None:
    """End a registration as if its lease had not been kept."""
    (found,) = etcd.read([keys.REPLICAS + replica], timeout=5)
    assert found is not None
    etcd.revoke(found.lease, timeout=5)


@pytest.mark.parametrize(("service", "kind", "call", "when"), CASES)
def test_another_goes_on_and_nothing_is_doubled(
    world: World, etcd: Etcd, service: str, kind: str, call: str, when: str
) -> None:
    eventually(lambda: len(list(etcd.scan(keys.REPLICAS))) == 2)
    instance = new_id()
    before(world, service, kind, instance)
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "latency", "when": when, "seconds": LATE}
    )
    assert start(world, service, kind, instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])
    dead = replica_of(etcd, kind, instance)

    declare_dead(etcd, dead)

    eventually(lambda: replica_of(etcd, kind, instance) != dead)
    assert world.end(kind, instance) == "succeeded"
    eventually(lambda: world.sandbox.control("GET", "counters")["in_flight"] == 0)
    expect(world, service, kind)
    if kind == "bind":
        assert world.credentials(instance)
    clean_up(world, service, instance, kind)
