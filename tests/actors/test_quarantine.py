"""What ran when a process died is handled with care by the next one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from alibroker.actors import quarantine as module
from alibroker.actors.actor import Address
from alibroker.actors.dispatcher import Pool
from alibroker.actors.quarantine import MOST_DEATHS, Quarantine, Suspect, not_now
from alibroker.brokers.api import TryAgainError
from alibroker.brokers.contract import ContractError
from alibroker.lifecycle.records import Key

NEVER_LEFT: list[Any] = []


def died(directory: Path, *names: str) -> None:
    """Leave behind what a process does that dies in the middle of calls."""
    dead = Quarantine(directory)
    for name in names:
        call = dead.noted(name)
        call.__enter__()
        NEVER_LEFT.append(call)
    os.close(dead._file)
    dead._file = -1


def test_what_ran_in_a_process_that_died_is_known_to_the_next(tmp_path: Path) -> None:
    died(tmp_path, "a", "b")
    found = Quarantine(tmp_path)
    assert {name: one.deaths for name, one in found.suspects().items()} == {"a": 1, "b": 1}


def test_who_was_suspected_before_is_to_blame(tmp_path: Path) -> None:
    died(tmp_path, "a")
    died(tmp_path, "a", "innocent")
    found = Quarantine(tmp_path)
    assert {name: one.deaths for name, one in found.suspects().items()} == {"a": 2}


def test_nothing_is_held_against_what_has_come_back(tmp_path: Path) -> None:
    died(tmp_path, "a", "b")
    found = Quarantine(tmp_path)
    with found.noted("a"):
        pass
    with contextlib.suppress(TryAgainError), found.noted("b"):
        raise TryAgainError("The cloud is busy.")
    assert found.suspects().keys() == {"b"}
    assert Quarantine(tmp_path).suspects().keys() == {"b"}


def test_what_runs_in_another_process_that_lives_is_no_suspect(tmp_path: Path) -> None:
    living = Quarantine(tmp_path)
    with living.noted("a"):
        assert not Quarantine(tmp_path).suspects()


def test_an_orderly_end_leaves_no_suspect(tmp_path: Path) -> None:
    stopping = Quarantine(tmp_path)
    with stopping.noted("hangs"):
        stopping.close()
        assert not Quarantine(tmp_path).suspects()
    assert not stopping._path.exists()


def test_a_suspect_waits_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    pauses = [Suspect(deaths, now).ready_at - now for deaths in (1, 2, 3, 99)]
    assert pauses == [pytest.approx(0.2), pytest.approx(1.6), pytest.approx(12.8), 3600.0]
    assert "2 times" in not_now(Suspect(2, now))
    assert not_now(Suspect(2, now - 2)) == ""
    assert not_now(None) == ""


def test_a_plugin_whose_loading_kills_is_not_loaded_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin: Any = object()
    for _ in range(MOST_DEATHS):
        assert Quarantine(tmp_path / "fresh").load("bad", lambda: plugin) is plugin
        died(tmp_path, "bad: load")
    found = Quarantine(tmp_path)
    with pytest.raises(ContractError, match=f"died {MOST_DEATHS} times"):
        found.load("bad", lambda: plugin)
    assert found.load("good", lambda: plugin) is plugin
    later = module.time.time() + module.LONGEST_PAUSE + 1
    monkeypatch.setattr(module.time, "time", lambda: later)
    assert found.load("bad", lambda: plugin) is plugin


def test_a_directory_that_cannot_be_written_keeps_nobody_from_serving(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = Quarantine(tmp_path / "file")
    with found.noted("a"):
        pass
    found.close()


def test_a_full_disk_keeps_no_step_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = Quarantine(tmp_path)
    os.close(found._file)
    found._file = os.open("/dev/full", os.O_RDWR)
    steps = []
    for name in ("a", "b"):
        with found.noted(name):
            steps.append(name)
    found.close()
    assert steps == ["a", "b"]
    assert caplog.text.count("No space left on device") == 1


def test_notes_that_cannot_be_read_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "suspects.json").write_text("[1")
    (tmp_path / "1-x.notes").write_bytes(b"no text\n")
    assert not Quarantine(tmp_path).suspects()


def test_what_is_given_up_without_being_run_frees_no_worker() -> None:
    pool = Pool([Address("w")])
    pool.free(Key("i"), "")
    assert list(pool.idle) == ["w"]
