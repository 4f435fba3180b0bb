"""The command against our own broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawers import Drawer
from world import World

from alibroker.actors.system import BrokerSystem
from alibroker.http.app import create_app

USER = "platform"
PASSWORD = "pass:wörd-of-the-platform"

FAST = ("--poll-interval", "0.05", "--timeout", "30")

# What our broker is known to get wrong: names of checks. Each has to fail, so that it is struck
# from this list as soon as it is put right.
KNOWN_FAILURES: set[str] = set()
ROTATION = ("earlier-bindings-can-be-rotated", "rotation-takes-the-plan-of-the-instance")


@pytest.fixture
def url(system: BrokerSystem, serve_asgi: Callable[[Any], str]) -> str:
    return serve_asgi(create_app(system, {USER: PASSWORD}))


def test_our_broker_breaks_no_rule(url: str, conform: Any, drawer: Drawer) -> None:
    run = conform(url, "--parameters", '{"slow": 0.5}', *FAST)
    assert run.failed("MUST", "SHOULD") == KNOWN_FAILURES, run.explain()
    for check in ROTATION:
        assert run.outcome(check) == "pass"
    assert run.document["left_behind"] == []
    assert drawer.things == {}
    assert drawer.keys == {}


@pytest.mark.parametrize("version", ["2.13", "2.14", "2.15", "2.16"])
def test_nor_does_it_for_platforms_of_before(
    url: str, conform: Any, drawer: Drawer, version: str
) -> None:
    run = conform(url, "--parameters", '{"slow": 0.3}', "--api-version", version, *FAST)
    assert run.failed("MUST", "SHOULD") == KNOWN_FAILURES, run.explain()
    assert run.outcome("bindings-can-be-rotated") == "not applicable"
    assert drawer.things == {}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, ALIBROKER_USERNAME=USER, ALIBROKER_PASSWORD=PASSWORD)
    yield world
    world.stop()


def test_nor_do_the_databases_and_buckets_of_the_real_one(world: World, conform: Any) -> None:
    before = world.left()
    run = conform(world.broker.url, "--poll-interval", "0.2", "--timeout", "60")
    assert run.failed("MUST", "SHOULD") == KNOWN_FAILURES, run.explain()
    assert {one["service"] for one in run.document["plans"]} >= {"alibaba-cloud-oss"}
    rotated = {
        one["service"]
        for one in run.document["results"]
        if one["check"] in ROTATION and one["result"] == "pass"
    }
    assert any("rds" in service for service in rotated)
    assert run.document["left_behind"] == []
    assert world.left() == before
