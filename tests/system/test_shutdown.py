"""An orderly stop under load ends within a bound and loses nothing. Cites I2, I4, I6."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from waiting import eventually
from world import OSS, RDS, World

BOUND = 40.0
"""Seconds: 10 for steps in flight, 5 for plugins, and the rest for a busy machine."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.sandbox.control("PUT", "settings", {"bucket_quota": 10_000})
    yield world
    world.stop()


def stop(world: World) -> None:
    """Send SIGTERM and wait for the end of master, worker and etcd."""
    master = psutil.Process(world.broker.process.pid)
    everybody = [master, *master.children(recursive=True)]
    master.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(everybody, timeout=BOUND)
    assert alive == []
    world.broker.process.wait()


def test_a_stop_under_load_loses_nothing(world: World) -> None:
    world.sandbox.control("PUT", "settings", {"latency_ms": 300})
    accepted: list[tuple[str, dict[str, str]]] = []
    over = threading.Event()

    def ask(number: int) -> None:
        while not over.is_set():
            name, offer = f"{number}-{len(accepted)}", (RDS, OSS)[number % 2]
            body = {**offer, "organization_guid": "o", "space_guid": "s"}
            with contextlib.suppress(requests.RequestException):
                answer = world.session.put(
                    f"{world.broker.url}/v2/service_instances/{name}?accepts_incomplete=true",
                    json=body,
                    timeout=30,
                )
                if answer.status_code == 202:
                    accepted.append((name, offer))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            eventually(lambda: len(accepted) > 60, timeout=60)
            stop(world)
        finally:
            over.set()
        for one in asking:
            one.result()

    world.sandbox.control("PUT", "settings", {"latency_ms": 0})
    world._start_broker()
    for name, _ in accepted:
        assert world.end("provision", name) == "succeeded"
    kinds = {kind: len(some) for kind, some in world.inventory().items()}
    asked = len({name for name, _ in accepted})
    # One whose answer was cut off may exist as well, with a record; nothing exists twice.
    assert asked <= kinds["instances"] + kinds["buckets"] <= asked + 4


def test_a_cloud_that_hangs_does_not_hold_up_a_stop(world: World) -> None:
    fault = {"action": "CreateDBInstance", "kind": "hang", "when": "after", "seconds": 300}
    world.sandbox.control("POST", "faults", fault)
    assert world.start("provision", RDS, "hangs") == 202
    eventually(lambda: len(world.inventory()["instances"]) == 1, timeout=30)
    stop(world)
    world.sandbox.control("DELETE", "faults")
    world._start_broker()
    assert world.end("provision", "hangs") == "succeeded"
    assert len(world.inventory()["instances"]) == 1
