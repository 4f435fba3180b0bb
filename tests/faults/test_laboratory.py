"""Crashes at random instants: nothing is lost, doubled, orphaned or left without an end.

Cites I2, I3, I4, I6. `make soak` has 2,000 crashes.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from laboratory import Laboratory, cloud_is_quiet
from waiting import eventually
from world import World

# Seeds with which something was once found wrong.
KNOWN_SEEDS: list[int] = []


def survive(directory: Path, *, seed: int, crashes: int) -> None:
    world = World(directory)
    try:
        quotas = {"bucket_quota": 100_000, "user_quota": 100_000, "policy_quota": 100_000}
        world.sandbox.control("PUT", "settings", quotas)
        laboratory = Laboratory(world, seed)
        laboratory.run(crashes=crashes, at_once=12)
        eventually(lambda: cloud_is_quiet(world), timeout=60)
        findings = laboratory.audit()
        told = f"seed {seed}: {laboratory.operations} operations, crashes {laboratory.crashes}"
        print(told)  # noqa: T201 - the figures that a sceptic wants to see
        assert findings == [], told
        assert laboratory.operations > crashes, told
    finally:
        world.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [*KNOWN_SEEDS, None])
def test_crashes_at_random_instants(tmp_path: Path, seed: int | None) -> None:
    seed = seed or random.randrange(2**32)  # noqa: S311 - not a secret
    survive(tmp_path, seed=seed, crashes=60)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_crashes_at_random_instants(tmp_path: Path) -> None:
    seed = random.randrange(2**32)  # noqa: S311 - not a secret
    survive(tmp_path, seed=seed, crashes=2000)
