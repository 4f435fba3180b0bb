"""Crashes at random instants: nothing is lost, doubled, orphaned or left without an end.

Cites I1, I2, I3, I4, I6. `make soak` has 2,000 crashes over 20,000 operations.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import audit
from laboratory import Laboratory
from relayed_world import RelayedWorld
from world import World

# Seeds with which something was once found wrong.
KNOWN_SEEDS: list[int] = []


def survive(
    kind: type[World],
    directory: Path,
    *,
    seed: int,
    crashes: int,
    operations: int,
    report_every: int = 20,
    say: Callable[[str], None] = print,
) -> None:
    world = kind(directory)
    try:
        quotas = {"bucket_quota": 100_000, "user_quota": 100_000, "policy_quota": 100_000}
        world.sandbox.control("PUT", "settings", quotas)
        laboratory = Laboratory(world, seed, say)
        laboratory.run(
            crashes=crashes, operations=operations, at_once=24, report_every=report_every
        )
        found = audit(laboratory)
        say(found.text())
        assert found.findings == [], f"seed {seed}"
        assert world.survey() == [], "the broker finds what the audit does not"
    finally:
        # A call that hangs longer than this test lasts is nobody's concern any more.
        world.sandbox.process.kill()
        world.stop()


def any_seed() -> int:
    return random.randrange(2**32)  # noqa: S311 - not a secret


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [*KNOWN_SEEDS, None])
def test_two_hundred_crashes_over_two_thousand_operations(tmp_path: Path, seed: int | None) -> None:
    """With a network between the broker and its etcd that is as bad as the rest."""
    survive(RelayedWorld, tmp_path, seed=seed or any_seed(), crashes=200, operations=2_000)


@pytest.mark.timeout(600)
def test_crashes_of_a_broker_with_an_etcd_of_its_own(tmp_path: Path) -> None:
    survive(World, tmp_path, seed=any_seed(), crashes=20, operations=100)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_two_thousand_crashes_over_twenty_thousand_operations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)  # noqa: T201 - somebody watches

    survive(
        RelayedWorld,
        tmp_path,
        seed=any_seed(),
        crashes=2_000,
        operations=20_000,
        report_every=25,
        say=say,
    )
