"""`alibroker records` on an embedded store, and `alibroker --version`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alibroker.cli.main import main
from alibroker.etcd import keys
from alibroker.etcd.client import Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing

INSTANCE = keys.instance_key("my database")
BINDING = keys.binding_key("my database", "my app")
OTHER = keys.instance_key("other")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[EmbeddedEtcd]:
    """An embedded etcd that runs, with records."""
    with EmbeddedEtcd(tmp_path / "etcd", timing=Timing(10, 50)) as server:
        with Etcd([server.endpoint]) as etcd:
            etcd.commit(
                [
                    Entry(INSTANCE, b'{"plan":"small","private":"1.sealed"}', 0),
                    Entry(BINDING, b'{"app":"me"}', 0),
                    Entry(OTHER, b"\xff no JSON", 0),
                    Entry(keys.STORE, b"id", 0),
                ],
                timeout=10,
            )
        yield server


def records(directory: Path, *arguments: str, answer: str = "") -> Result:
    environment = {"ALIBROKER_DATA_DIR": str(directory)}
    return CliRunner().invoke(main, ["records", *arguments], answer, environment)


def test_records_are_shown_for_a_person_to_read_and_removed_one_at_a_time(
    running: EmbeddedEtcd, tmp_path: Path
) -> None:
    assert set(records(tmp_path).output.split()) == {INSTANCE, BINDING, OTHER, keys.STORE}
    shown = records(tmp_path, "my database").output
    assert shown.startswith(f'{BINDING}\n{{\n  "app": "me"\n}}\n{INSTANCE}\n')
    assert '  "plan": "small",\n' in shown
    assert records(tmp_path, "my app").output.startswith(f"{BINDING}\n")
    assert "no JSON" in records(tmp_path, "other").output
    assert "no record" in records(tmp_path, "nobody").output

    assert "stop it first" in records(tmp_path, "--remove", OTHER, answer="y\n").output
    running.stop()
    assert "is not the key" in records(tmp_path, "--remove", keys.STORE, answer="y\n").output
    assert records(tmp_path, "--remove", OTHER, answer="n\n").exit_code == 1
    assert "Removed." in records(tmp_path, "--remove", OTHER, answer="y\n").output
    assert set(records(tmp_path).output.split()) == {INSTANCE, BINDING, keys.STORE}


def test_the_version_is_that_of_the_package() -> None:
    printed = CliRunner().invoke(main, ["--version"], prog_name="alibroker").output
    assert printed == f"alibroker {importlib.metadata.version('alibroker')}\n"
