"""What a benchmark found: as a table, as JSON, and held against what another run found."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

CHANCE = 0.01
"""How seldom noise alone may look like a change; fewer than five rounds in each show none."""
SHUFFLES = 5_000
LEAST = 0.03
"""Changes of a smaller part are none that anybody would act on."""


def machine() -> str:
    """Say what it was measured on."""
    model = next(_processors(), platform.machine())
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def _processors() -> Iterator[str]:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                yield line.partition(":")[2].strip()


@dataclass(frozen=True)
class Results:
    """Figures of alternating rounds: each row was measured once a round, beside the floor.

    Args:
        floor: the row that others are held against, of what was measured of it.
        measured: the figures by row, by what they say; of all less is better.
    """

    floor: str
    measured: Mapping[str, Mapping[str, list[float]]]
    machine: str = field(default_factory=machine)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what was written."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def relative(self, what: str, row: str) -> list[float]:
        """Return each round's figure as a multiple of the same round's floor, where it has one."""
        figures = self.measured[what]
        if self.floor not in figures:
            return figures[row]
        pairs = zip(figures[row], figures[self.floor], strict=True)
        return [figure / max(floor, 1e-9) for figure, floor in pairs]


class Comparison(NamedTuple):
    """How a row has changed, in multiples of its floor."""

    what: str
    row: str
    before: float
    after: float
    chance: float
    """How often figures that are all of one kind would differ as much."""

    @property
    def verdict(self) -> str:
        """Say in a word whether it is a change."""
        if self.chance > CHANCE or abs(self.after - self.before) < LEAST * self.before:
            return "the same"
        return "less" if self.after < self.before else "more"


def compare(before: Results, after: Results) -> Iterator[Comparison]:
    """Compare what both have, as multiples of the floor: a machine that is slower today is no news.

    A permutation test: were all rounds of one kind, it would not matter in which run each was.
    """
    for what, figures in after.measured.items():
        for row in figures:
            if row in before.measured.get(what, {}) and row != after.floor:
                old, new = before.relative(what, row), after.relative(what, row)
                medians = statistics.median(old), statistics.median(new)
                yield Comparison(what, row, *medians, _chance(old, new))


def _chance(old: list[float], new: list[float]) -> float:
    def apart(some: list[float], others: list[float]) -> float:
        return abs(statistics.fmean(some) - statistics.fmean(others))

    seen = apart(old, new)
    shuffled, randomness = [*old, *new], random.Random(0)  # noqa: S311 - no secret
    as_far = 1
    for _ in range(SHUFFLES):
        randomness.shuffle(shuffled)
        as_far += apart(shuffled[: len(old)], shuffled[len(old) :]) >= seen
    return as_far / (SHUFFLES + 1)


def alternate(
    rows: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Measure each row in turn, so many rounds, after one that does not count.

    What measures returns figures by what they say. Returns them by that and by row.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds + 1):
        for row, measure in rows.items():
            for what, figure in measure().items():
                if number:
                    found.setdefault(what, {}).setdefault(row, []).append(figure)
    return found


def main(before: Path, after: Path) -> None:
    """Compare two results and print what has changed."""
    old, new = Results.read(before), Results.read(after)
    table = Table("what", "of", "before", "after", "change", "chance", "")
    for one in compare(old, new):
        change = f"{one.after / one.before - 1:+.0%}" if one.before else ""
        figures = (f"{one.before:.2f}", f"{one.after:.2f}", change, f"{one.chance:.3f}")
        table.add_row(one.what, one.row, *figures, one.verdict)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"before: {old.machine}\nafter:  {new.machine}")
    console.print(f"in multiples of the floor ({new.floor}), where that has it; less is better")
    console.print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
