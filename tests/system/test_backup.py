"""Backups of a running broker, restored after its data was destroyed."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import OSS, World, new_id

from alibroker.cli.processes import Broker


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stop()


def alibroker(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alibroker.cli.main", *arguments],
        env={**world.settings, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_backup_brings_everything_back(world: World, tmp_path: Path) -> None:
    instances = [new_id() for _ in range(3)]
    for instance in instances:
        world.do("provision", OSS, instance)
        world.do("bind", OSS, instance)
    credentials = [world.credentials(instance) for instance in instances]
    file = tmp_path / "backup.gz"

    made = alibroker(world, "backup", str(file))
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    content = gzip.decompress(file.read_bytes())
    for secret in (one["secret_access_key"] for one in credentials):
        assert secret.encode() not in content

    running = alibroker(world, "restore", str(file))
    assert running.returncode == 1
    assert "not empty" in running.stderr

    world.broker.process.stop()
    # As docs/etcd.md has it (When it is damaged).
    data = Path(world.settings["ALIBROKER_DATA_DIR"]) / "etcd"
    (data / "etcd").rename(data / "damaged")
    restored = alibroker(world, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    world.broker = Broker(world.settings, stderr=world.log)
    world.broker.wait_until_ready()

    assert [world.credentials(instance) for instance in instances] == credentials
    for instance in instances:
        world.do("unbind", OSS, instance)
        world.do("deprovision", OSS, instance)
    assert world.left() == {}


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_a_damaged_backup_is_refused(world: World, tmp_path: Path, damage: str) -> None:
    world.do("provision", OSS, "kept")
    file = tmp_path / "backup.gz"
    assert alibroker(world, "backup", str(file)).returncode == 0
    content = gzip.decompress(file.read_bytes())
    lines = content.splitlines(keepends=True)
    broken = {
        "cut": b"".join(lines[:-1]),
        "changed": content.replace(b"kept", b"lost"),
        "other": b"something else\n",
    }[damage]
    file.write_bytes(gzip.compress(broken))
    world.broker.process.stop()
    shutil.rmtree(Path(world.settings["ALIBROKER_DATA_DIR"]) / "etcd")
    refused = alibroker(world, "restore", str(file))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    world.broker = Broker(world.settings, stderr=world.log)
