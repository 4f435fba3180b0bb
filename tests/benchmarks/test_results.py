"""A comparison of two results tells change from noise, and a slow machine from slow code."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

WHAT = "CPU us a request"


@pytest.fixture(scope="module")
def results() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "results.py"
    spec = importlib.util.spec_from_file_location("bench_results", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def measured(seed: int, poll: float, machine: float = 1.0) -> dict[str, dict[str, list[float]]]:
    """Return eleven rounds in which each figure is a few percent off."""
    noise = random.Random(seed)  # noqa: S311 - no secret

    def rounds(figure: float) -> list[float]:
        return [figure * machine * noise.uniform(0.97, 1.05) for _ in range(11)]

    return {WHAT: {"floor": rounds(5.0), "poll": rounds(poll)}, "CPU us of etcd": {"poll": [2.0]}}


@pytest.mark.parametrize(
    ("poll", "machine", "verdict"),
    [
        (10.0, 1.0, "the same"),
        (10.0, 1.6, "the same"),
        (10.1, 1.0, "the same"),
        (9.0, 1.0, "less"),
        (9.0, 1.6, "less"),
        (11.0, 0.7, "more"),
    ],
)
def test_what_has_changed_is_told_from_noise(
    results: ModuleType, tmp_path: Path, poll: float, machine: float, verdict: str
) -> None:
    results.Results("floor", measured(1, 10.0)).write(tmp_path / "kept" / "before.json")
    before = results.Results.read(tmp_path / "kept" / "before.json")
    after = results.Results("floor", measured(2, poll, machine))
    found = {(one.what, one.row): one for one in results.compare(before, after)}
    assert found[WHAT, "poll"].verdict == verdict
    # The floor has none to be held against, nor has what was not measured of it.
    assert set(found) == {(WHAT, "poll"), ("CPU us of etcd", "poll")}


def test_rows_are_measured_in_turn_and_the_first_round_does_not_count(results: ModuleType) -> None:
    calls: list[str] = []

    def measure(row: str) -> dict[str, float]:
        calls.append(row)
        return {"calls": float(len(calls))}

    found = results.alternate({row: lambda row=row: measure(row) for row in "ab"}, 2)
    assert calls == list("ababab")
    assert found == {"calls": {"a": [3.0, 5.0], "b": [4.0, 6.0]}}
