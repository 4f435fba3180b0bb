"""Three replicas in any order of events: one acts at a time, nothing is lost, every operation ends.

Cites I1, I4, I6, I11.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from linearizability import check_one
from simulation import Simulation

# Seeds with which something was once found wrong.
KNOWN_SEEDS = [1011, 1068]


def simulate(directory: Path, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        world = Simulation(directory, random.Random(seed), patch)  # noqa: S311 - not a secret
        world.run(300)
        world.settle()
    assert world.wrong == [], f"seed {seed}"
    found = check_one("i", world.history)
    assert found is None, f"seed {seed}: {found}"


@pytest.mark.parametrize("seed", [*KNOWN_SEEDS, *range(1, 21)])
def test_many_things_happen_in_any_order(tmp_path: Path, seed: int) -> None:
    simulate(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_orders_of_events(tmp_path: Path) -> None:
    for number in range(5_000):
        directory = tmp_path / str(number)
        directory.mkdir()
        simulate(directory, random.randrange(2**32))  # noqa: S311 - not a secret
