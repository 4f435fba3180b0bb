"""The page of beliefs about the cloud speaks of every call, and of nothing that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "fidelity.md"
EVIDENCE = frozenset(("live", "vendor page", "SDK", "Terraform", "guess"))
_CALLS = frozenset(("Probe", "_call", "_pages", "_unless", "call", "common_request"))
"""What is called with the name of an action among its arguments."""
_ACTION = re.compile(
    r"(Abort|Allocate|Assume|Attach|Copy|Create|Delete|Describe|Destroy|Detach|Get|Grant|Head|List"
    r"|Lock|Modify|Put|Release|Remove|Reset|Revoke|Tag|Unbind|Unlock|Untag|Update|Upload)[A-Z]\w+"
)


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


def _called() -> dict[str, Path]:
    """Return the actions that the brokers name, with a place of each."""
    return {
        action: path.relative_to(ROOT)
        for path in (ROOT / "brokers").rglob("*.py")
        for action in _actions(ast.parse(path.read_text(encoding="utf-8")))
    }


def _actions(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aliyunsdk"):
            for name in (alias.name for alias in node.names):
                if name.endswith("Request") and _ACTION.fullmatch(name):
                    yield name.removesuffix("Request")
        elif isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            for argument in node.args if name in _CALLS else ():
                if isinstance(argument, ast.Constant) and _ACTION.fullmatch(str(argument.value)):
                    yield str(argument.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if (
                    isinstance(key, ast.Constant)
                    and key.value == "Action"
                    and isinstance(value, ast.Constant)
                ):
                    yield str(value.value)


def test_every_action_that_is_called_has_a_row() -> None:
    called = _called()
    assert {"CreateDBInstance", "CreateAccessKey", "PutBucket", "AssumeRoleWithOIDC"} <= set(called)
    spoken_of = {action for row in ROWS for action in re.findall(r"`(\w+)`", row.actions)}
    missing = {action: place for action, place in called.items() if action not in spoken_of}
    assert not missing, "say in docs/fidelity.md what is believed of them"


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
