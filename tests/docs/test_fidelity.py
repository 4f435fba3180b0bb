"""The page of beliefs about the cloud speaks of every call, and of nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import broker_calls
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "fidelity.md"
EVIDENCE = frozenset(("live", "vendor page", "SDK", "Terraform", "guess"))


class Row(NamedTuple):
    """A belief, its cells as they stand in the page."""

    actions: str
    belief: str
    where: str
    evidence: str
    source: str
    otherwise: str


def _rows() -> list[Row]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line.startswith("|")
    ]
    return [Row(*row) for row in cells if row[0] != "actions" and not row[0].startswith("-")]


ROWS = _rows()


def test_every_action_that_is_called_has_a_row() -> None:
    called = {action for _, action in broker_calls.actions()}
    assert {"CreateDBInstance", "CreateAccessKey", "PutBucket", "AssumeRoleWithOIDC"} <= called
    spoken_of = {action for row in ROWS for action in re.findall(r"`(\w+)`", row.actions)}
    assert called <= spoken_of, "say in docs/fidelity.md what is believed of them"
    assert spoken_of <= called, "nobody calls these any more: see whether their rows still hold"


@pytest.mark.parametrize("row", ROWS, ids=[row.belief[:60] for row in ROWS])
def test_a_row_says_where_and_why_and_what_if_not(row: Row) -> None:
    assert row.actions == "all" or re.fullmatch(r"`\w+`(, `\w+`)*", row.actions)
    kinds = row.evidence.split(", ")
    assert set(kinds) <= EVIDENCE
    assert row.source or kinds == ["guess"]
    assert row.otherwise or "guess" not in kinds
    places = re.findall(r"`((?:brokers|sandbox)/[\w/]+\.py)`", row.where)
    assert ", ".join(f"`{place}`" for place in places) == row.where != ""
    for place in places:
        assert (ROOT / place).is_file(), place
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row.otherwise):
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), name


def test_every_link_has_a_target_and_every_target_a_link() -> None:
    text = PAGE.read_text(encoding="utf-8")
    targets = re.findall(r"^\[([\w-]+)\]: https://\S+$", text, re.MULTILINE)
    assert targets == sorted(set(targets))
    assert set(re.findall(r"\]\[([\w-]+)\]", text)) == set(targets)
