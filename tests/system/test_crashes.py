"""Processes are killed in the middle of everything; afterwards all is as if nothing had happened.

Invariants I2 (no orphans), I3 (one resource), I6 (every operation ends).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from waiting import eventually
from walks import CALLS, LIFE, OFFERS, before, clean_up, expect, start
from world import World, new_id

SQLSERVER = {
    "service_id": "rds-e50b0141-ab59-59c2-93ce-3acd148f8bd4",
    "plan_id": "rds-6db8ed51-e8d5-5f4f-ba43-858c7fe27e07",
}
KINDS = [*CALLS]


@pytest.mark.parametrize("service", OFFERS)
def test_the_calls_are_these(world: World, service: str) -> None:
    instance = new_id()
    after = ""
    kinds = [kind for of, kind in KINDS if of == service]
    before(world, service, kinds[0], instance)
    for kind in kinds:
        world.sandbox.control("DELETE", "counters")
        assert start(world, service, kind, instance, after) == 202
        assert world.end(kind, instance) == "succeeded"
        counted = world.sandbox.control("GET", "counters")["calls"]
        found = {f"{product}:{action}" for product, some in counted.items() for action in some}
        assert found >= set(CALLS[service, kind])
        reads = ("Describe", "List", "GetCallerIdentity")
        changing = {one for one in found if not one.split(":")[1].startswith(reads)}
        assert changing <= set(CALLS[service, kind]), f"add to CALLS: {found}"
        after = kind
    clean_up(world, service, instance, after)


CASES = [
    pytest.param(service, kind, call, when, id=f"{service}-{kind}-{when}-{call.split(':')[1]}")
    for (service, kind), calls in CALLS.items()
    for call in calls
    for when in ("before", "after")
]


@pytest.mark.parametrize(("service", "kind", "call", "when"), CASES)
def test_the_broker_is_killed_at_every_call(
    world: World, service: str, kind: str, call: str, when: str
) -> None:
    """The worker dies while the call hangs, before or after it took effect."""
    instance = new_id()
    before(world, service, kind, instance)
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "hang", "when": when, "seconds": 30}
    )
    assert start(world, service, kind, instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])

    world.kill_worker()

    assert world.end(kind, instance) == "succeeded"
    expect(world, service, kind)
    if kind == "bind":
        assert world.credentials(instance)
    clean_up(world, service, instance, kind)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "skip"),
    [
        ("CreateDBInstance", 0),
        ("DescribeAvailableClasses", 0),
        ("CreateDBInstance", 1),
        ("DescribeDBInstances", 0),
    ],
    ids=["refused order", "what is sold", "order elsewhere", "search before that"],
)
def test_a_refused_zone_leads_to_one_instance_elsewhere_whatever_dies(
    world: World, call: str, skip: int, when: str
) -> None:
    instance = new_id()
    world.kill_worker()  # it remembers for a while which zones have refused
    world.sandbox.control("PUT", "settings", {"out_of_stock": ["cn-hangzhou-h"]})
    if call == "DescribeDBInstances":
        # An order whose answer is lost: then it is looked for what it bought.
        world.sandbox.control("POST", "faults", {"action": "CreateDBInstance", "kind": "reset"})
    fault = world.sandbox.control(
        "POST",
        "faults",
        {"action": call, "kind": "hang", "when": when, "seconds": 30, "skip": skip},
    )
    try:
        assert start(world, "rds", "provision", instance) == 202
        eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])

        world.kill_worker()

        assert world.end("provision", instance) == "succeeded"
    finally:
        world.sandbox.control("PUT", "settings", {"out_of_stock": []})
    (found,) = world.inventory()["instances"]
    assert found["zone"] == "cn-hangzhou-i"
    clean_up(world, "rds", instance, "provision")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_privileged_first_account_is_created_once_whatever_dies(world: World, when: str) -> None:
    instance = new_id()
    world.do("provision", SQLSERVER, instance)
    # The first creation is refused, which asks for a privileged account.
    fault = world.sandbox.control(
        "POST",
        "faults",
        {"action": "CreateAccount", "kind": "hang", "when": when, "seconds": 30, "skip": 1},
    )
    assert world.start("bind", SQLSERVER, instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])

    world.kill_worker()

    assert world.end("bind", instance) == "succeeded"
    (found,) = world.inventory()["instances"]
    assert sorted(one["type"] for one in found["accounts"]) == ["Normal", "Super"]
    world.sandbox.control("DELETE", "faults")
    world.do("unbind", SQLSERVER, instance)
    world.do("deprovision", SQLSERVER, instance)
    assert world.left() == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_refused_bind_takes_its_database_back_whatever_dies(world: World, when: str) -> None:
    instance = new_id()
    before(world, "postgres", "bind", instance)
    refusal = {"kind": "error", "status": 403, "code": "IncorrectAccountPrivilegeType"}
    world.sandbox.control(
        "POST", "faults", {"action": "GrantAccountPrivilege", **refusal, "times": None}
    )
    fault = world.sandbox.control(
        "POST", "faults", {"action": "DeleteDatabase", "kind": "hang", "when": when, "seconds": 30}
    )
    assert start(world, "postgres", "bind", instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])

    world.kill_worker()

    assert world.end("bind", instance) == "failed"
    (found,) = world.inventory()["instances"]
    assert (found["accounts"], found["databases"]) == ([], [])
    clean_up(world, "postgres", instance, "bind")


@pytest.mark.parametrize(("service", "kind"), KINDS)
@pytest.mark.parametrize("victim", ["broker and etcd", "sandbox"])
def test_other_processes_are_killed_in_the_middle(
    world: World, service: str, kind: str, victim: str
) -> None:
    instance = new_id()
    before(world, service, kind, instance)
    call = CALLS[service, kind][0]
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "hang", "when": "after", "seconds": 30}
    )
    assert start(world, service, kind, instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])

    if victim == "sandbox":
        world.kill_sandbox()
    else:
        world.kill_all_of_broker()

    assert world.end(kind, instance) == "succeeded"
    expect(world, service, kind)
    clean_up(world, service, instance, kind)


@pytest.mark.parametrize("service", ["rds", "oss"])
def test_a_create_that_takes_effect_late_is_no_orphan(world: World, service: str) -> None:
    """The broker dies and the instance is deleted while its creation is still on its way."""
    instance = new_id()
    call = CALLS[service, "provision"][0]
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "latency", "when": "before", "seconds": 1.5}
    )
    assert world.start("provision", OFFERS[service], instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])
    world.kill_worker()
    assert world.start("deprovision", OFFERS[service], instance) == 202
    assert world.end("deprovision", instance) == "succeeded"
    eventually(lambda: world.left() == {})
    world.sandbox.control("DELETE", "faults")


@pytest.mark.parametrize(
    ("service", "kind", "call"),
    [
        ("rds", "bind", "rds:CreateAccount"),
        ("oss", "bind", "ram:CreateUser"),
        ("oss", "bind", "ram:CreatePolicy"),
        ("oss", "provision", "oss:PutBucket"),
    ],
)
def test_a_create_that_takes_effect_after_its_repetition_is_no_orphan(
    world: World, service: str, kind: str, call: str
) -> None:
    """The next life creates it, the platform deletes it, and then the first request arrives."""
    instance = new_id()
    before(world, service, kind, instance)
    late = 3.0
    fault = world.sandbox.control(
        "POST", "faults", {"action": call, "kind": "latency", "when": "before", "seconds": late}
    )
    assert start(world, service, kind, instance) == 202
    eventually(lambda: world.sandbox.control("GET", f"faults/{fault['id']}")["hit"])
    arrived = time.monotonic() + late + 0.5
    world.kill_worker()
    assert world.end(kind, instance) == "succeeded"
    removal = "unbind" if kind == "bind" else "deprovision"
    world.do(removal, OFFERS[service], instance)
    eventually(lambda: time.monotonic() > arrived)
    expect(world, service, removal)
    clean_up(world, service, instance, kind)


def test_random_processes_are_killed_at_random_moments(world: World) -> None:
    seed = random.randrange(2**32)  # noqa: S311 - not a secret
    chance = random.Random(seed)  # noqa: S311 - not a secret
    instances = [(new_id(), name) for name in ("rds", "oss", "postgres", "oss") * 3]
    rounds: list[Callable[[], Any]] = [
        world.kill_worker,
        world.kill_worker,
        world.kill_all_of_broker,
        world.kill_sandbox,
    ]
    for kind in LIFE:
        for instance, service in instances:
            assert world.start(kind, OFFERS[service], instance) in (200, 202), f"seed {seed}"
        for _ in range(3):
            threading.Event().wait(chance.uniform(0.0, 1.5))
            chance.choice(rounds)()
        for instance, _ in instances:
            assert world.end(kind, instance) == "succeeded", f"seed {seed}"
        if kind == "bind":
            found = world.inventory()
            counts = {name: len(some) for name, some in found.items()}
            expected = {"instances": 6, "buckets": 6, "users": 6, "policies": 6}
            assert counts == expected, f"seed {seed}"
    assert world.left() == {}, f"seed {seed}"
