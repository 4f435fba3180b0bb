"""The user and the password that `alibroker run` keeps."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from alibroker.cli import login, waits


def started(path: Path, **given: str) -> dict[str, str]:
    """Do what a start does; returns the settings that it has come to."""
    settings = dict(given)
    login.complete(settings, path)
    login.write(path, login.lines(settings, "http://127.0.0.1:8005"))
    return settings


def test_what_was_made_up_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    first = started(tmp_path / "login")
    assert len(first["ALIBROKER_PASSWORD"]) >= 12
    assert started(tmp_path / "login") == first
    assert stat.S_IMODE((tmp_path / "login").stat().st_mode) == 0o600
    assert started(tmp_path / "other") != first


def test_what_is_set_goes_first(tmp_path: Path) -> None:
    first = started(tmp_path / "login")
    name, password = "o'neill $HOME", 'quoted " and spaced'
    found = started(tmp_path / "login", ALIBROKER_USERNAME=name, ALIBROKER_PASSWORD=password)
    assert (found["ALIBROKER_USERNAME"], found["ALIBROKER_PASSWORD"]) == (name, password)
    assert found["ALIBROKER_OPERATOR_PASSWORD"] == first["ALIBROKER_OPERATOR_PASSWORD"]
    assert login.read(tmp_path / "login")["ALIBROKER_PASSWORD"] == password


def test_no_user_is_made_up_beside_a_file_of_users(tmp_path: Path) -> None:
    found = started(tmp_path / "login", ALIBROKER_USERS_FILE="users")
    assert found.keys() == {"ALIBROKER_USERS_FILE", *login.OPERATOR}


def test_a_wait_says_what_for_and_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "BEAT", 0.05)
    end = time.monotonic() + 20
    printed = ""
    with waits.told("Waiting for it"):
        while not printed.endswith(" s\n"):
            assert time.monotonic() < end
            time.sleep(0.01)
            printed += capsys.readouterr().out
    assert printed.startswith("Waiting for it ...\n")
