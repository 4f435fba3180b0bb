"""Replicas behind a balancer, hurt at random: neither a platform nor the cloud can tell.

Cites I1 to I4, I6, I11. `make soak` has 2,000 faults over 20,000 operations.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fate_of_replicas import FateOfReplicas
from replicated_world import ReplicatedWorld
from survival import any_seed, survive

# Seeds with which something was once found wrong.
KNOWN_SEEDS: list[int] = []

AT_ONCE = 12
"""Lives at the same time."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [*KNOWN_SEEDS, None])
def test_three_replicas_and_three_etcd_servers(tmp_path: Path, seed: int | None) -> None:
    fate = FateOfReplicas(ReplicatedWorld(tmp_path), seed or any_seed())
    survive(fate, crashes=12, operations=100, at_once=AT_ONCE)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_two_thousand_faults_over_twenty_thousand_operations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)  # noqa: T201 - somebody watches

    survive(
        FateOfReplicas(ReplicatedWorld(tmp_path), any_seed()),
        crashes=2_000,
        operations=20_000,
        at_once=AT_ONCE,
        report_every=25,
        say=say,
    )
