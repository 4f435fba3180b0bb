"""`alibroker replicas` shows who lives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import ask, provision
from waiting import eventually

from alibroker.actors.system import BrokerSystem
from alibroker.cli.main import main


def shown(*options: str) -> str:
    done = CliRunner().invoke(main, ["replicas", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_operators_see_who_lives_and_what_they_are_at(
    make_system: Callable[..., BrokerSystem],
    etcd_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALIBROKER_ETCD_ENDPOINTS", etcd_endpoint)
    monkeypatch.setattr("alibroker.actors.replica.REPORT_INTERVAL", 0.0)
    assert shown() == "No replica lives.\n"

    one = make_system(data_dir=tmp_path / "one")
    (alone,) = eventually(lambda: [x for x in json.loads(shown("--json")) if x["alone"]])
    assert alone["id"] == one.replica.id
    assert "its own" in shown()

    other = make_system(data_dir=tmp_path / "other")
    for number in range(3):
        ask(other, provision(f"i{number}", parameters={"slow": 60}))
    eventually(
        lambda: (
            [(x["id"], x["operations"]) for x in json.loads(shown("--json")) if x["operations"]]
            == [(other.replica.id, 3)]
        )
    )
    assert all(0 < x["lease_left"] <= 20 for x in json.loads(shown("--json")))

    other.stop()
    assert [x["id"] for x in json.loads(shown("--json"))] == [one.replica.id]
