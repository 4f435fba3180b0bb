"""Crashes at random instants: nothing is lost, doubled, orphaned or left without an end.

Cites I1, I2, I3, I4, I6. `make soak` has 2,000 crashes over 20,000 operations.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fate import Fate
from relayed_world import RelayedWorld
from survival import any_seed, survive
from world import World

# Seeds with which something was once found wrong.
KNOWN_SEEDS: list[int] = []

AT_ONCE = 24
"""Lives at the same time."""


# Six minutes where nothing else runs, and more than fifteen on a busy machine of two cores.
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", [*KNOWN_SEEDS, None])
def test_two_hundred_crashes_over_two_thousand_operations(tmp_path: Path, seed: int | None) -> None:
    """With a network between the broker and its etcd that is as bad as the rest."""
    fate = Fate(RelayedWorld(tmp_path), seed or any_seed())
    survive(fate, crashes=200, operations=2_000, at_once=AT_ONCE)


@pytest.mark.timeout(600)
def test_crashes_of_a_broker_with_an_etcd_of_its_own(tmp_path: Path) -> None:
    fate = Fate(World(tmp_path), any_seed())
    survive(fate, crashes=20, operations=100, at_once=AT_ONCE)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_two_thousand_crashes_over_twenty_thousand_operations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)  # noqa: T201 - somebody watches

    survive(
        Fate(RelayedWorld(tmp_path), any_seed()),
        crashes=2_000,
        operations=20_000,
        at_once=AT_ONCE,
        report_every=25,
        say=say,
    )
