"""etcd without space, set back, or away: the broker says so, changes nothing, and heals."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from relayed_world import RelayedWorld
from waiting import eventually
from world import OSS, PLACE, new_id

from alibroker.etcd import binary
from alibroker.etcd.binary import Binary
from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.errors import EtcdError, EtcdFullError
from alibroker.etcd.reclaim import reclaim

DOCS = Path(__file__).resolve().parents[2] / "docs"
QUOTA = 24 * 2**20
FILE_LIMIT = 126_000 * 512
"""Bytes; a little more than the 64 MB that etcd takes for a segment of its log before it starts."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RelayedWorld]:
    world = RelayedWorld(tmp_path, quota=QUOTA)
    yield world
    world.stop()


def try_to_provision(world: RelayedWorld) -> requests.Response:
    """Ask once; `world.request` would ask until the broker can."""
    url = f"{world.broker.url}/v2/service_instances/{new_id()}"
    query = {"accepts_incomplete": "true"}
    return world.session.put(url, json={**OSS, **PLACE}, params=query, timeout=30)


def refused_change(world: RelayedWorld) -> str:
    """Return why a change is refused; empty if it is not."""
    answer = try_to_provision(world)
    return str(answer.json()["description"]) if answer.status_code == 503 else ""


def status_of(world: RelayedWorld, instance: str) -> int:
    """Return what a fetch is answered at once."""
    url = f"{world.broker.url}/v2/service_instances/{instance}"
    return world.session.get(url, timeout=30).status_code


def readiness(world: RelayedWorld) -> tuple[int, str]:
    answer = requests.get(f"{world.broker.url}/readyz", timeout=10)
    return answer.status_code, answer.text


def is_ready(world: RelayedWorld) -> bool:
    return readiness(world)[0] == 200


def overwrite(etcd: Etcd, times: int) -> int:
    """Write a large value over and over; returns how often that was acknowledged."""
    (held,) = etcd.read(["/filler"], timeout=5)
    expected = held.revision if held else 0
    for number in range(times):
        value = str(number).encode() + bytes(900_000)
        (outcome,) = etcd.commit([Entry("/filler", value, expected)], timeout=3)
        assert isinstance(outcome, Committed)
        expected = outcome.revision
    return times


def follow_the_docs(world: RelayedWorld) -> None:
    """Run the commands that docs/etcd.md gives for a full store."""
    text = (DOCS / "etcd.md").read_text()
    (commands,) = re.findall(r"\n\n((?:    .*\n)*    etcdctl alarm disarm\n)", text)
    if shutil.which("etcdctl") is None:
        # The same steps: with etcd's server alone there is no program to give the commands to.
        reclaim(Path(world.server.endpoint.removeprefix("unix:")))
        return
    subprocess.run(
        ["/bin/sh", "-euc", commands],
        env={
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "ETCDCTL_API": "3",
            "ETCDCTL_ENDPOINTS": world.server.endpoint.replace("unix:", "unix://"),
        },
        check=True,
        capture_output=True,
    )


def test_a_full_store_is_said_and_heals_without_a_restart(world: RelayedWorld) -> None:
    instance = new_id()
    world.do("provision", OSS, instance)
    worker = world.worker().pid
    with Etcd([world.server.endpoint]) as etcd, pytest.raises(EtcdFullError):
        overwrite(etcd, 100)

    refused = eventually(lambda: refused_change(world))
    assert "space" in refused
    assert "docs/etcd.md" in refused
    # It stays like this: reads are answered, and readiness is not on and off.
    for _ in range(15):
        assert try_to_provision(world).status_code == 503
        status, text = readiness(world)
        assert status == 503
        assert "NOSPACE" in text
        path = f"/v2/service_instances/{instance}"
        assert world.request("GET", path).status_code == 200
        # Longer than the storage actor waits until it tries again: flapping would be seen.
        time.sleep(0.2)
    log = (world.directory / "broker.log").read_text()
    assert log.count("The store cannot be used") == 1

    follow_the_docs(world)

    eventually(lambda: is_ready(world))
    assert world.worker().pid == worker
    world.do("deprovision", OSS, instance)
    assert world.left() == {}


def test_operations_go_on_when_a_full_store_has_space_again(world: RelayedWorld) -> None:
    instance = new_id()
    slow = {"action": "oss:PutBucket", "kind": "latency", "seconds": 3}
    world.sandbox.control("POST", "faults", slow)
    assert world.start("provision", OSS, instance) == 202
    with Etcd([world.server.endpoint]) as etcd, pytest.raises(EtcdFullError):
        overwrite(etcd, 100)
    eventually(world.left, timeout=20)
    eventually(lambda: not is_ready(world))

    follow_the_docs(world)

    assert world.end("provision", instance) == "succeeded"
    world.do("deprovision", OSS, instance)
    assert world.left() == {}


class SmallDisk:
    """An etcd program whose files cannot grow beyond a limit, as if the disk were full.

    A limit of the process (setrlimit, RLIMIT_FSIZE) needs no rights, unlike a small file system.
    """

    def __init__(self, directory: Path) -> None:
        found = binary.find()
        self._limit = directory / "limit"
        self.enlarge()
        script = directory / "limited-etcd"
        script.write_text(f'#!/bin/sh\nulimit -f "$(cat {self._limit})"\nexec {found.path} "$@"\n')
        script.chmod(0o755)
        self.binary = Binary(script, found.version, ())

    def fill(self, etcd: psutil.Process) -> None:
        """Let neither this etcd nor the next one get more."""
        self._limit.write_text(str(FILE_LIMIT // 512))
        etcd.rlimit(psutil.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))

    def enlarge(self) -> None:
        """Let the next etcd have what it wants."""
        self._limit.write_text("unlimited")


def test_a_full_disk_ends_etcd_and_loses_nothing(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path)
    world = RelayedWorld(tmp_path, etcd_binary=disk.binary)
    try:
        instances = [new_id() for _ in range(3)]
        for instance in instances:
            world.do("provision", OSS, instance)
        worker = world.worker().pid
        disk.fill(world.etcd())

        with Etcd([world.server.endpoint]) as etcd, pytest.raises(EtcdError):
            overwrite(etcd, 200)
        assert "file too large" in world.server.log.read_text()
        assert eventually(lambda: refused_change(world))
        # Others may reach an etcd that this broker does not, so it soon says that it cannot know.
        assert status_of(world, instances[0]) in (200, 503)

        # As its operators would: make room, and start etcd again.
        world.server.stop()
        disk.enlarge()
        world.server.start()

        eventually(lambda: is_ready(world), timeout=20)
        assert world.worker().pid == worker
        for instance in instances:
            world.do("deprovision", OSS, instance)
        assert world.left() == {}
    finally:
        world.stop()


class Snapshot:
    """A copy of etcd's data, made while etcd was stopped."""

    def __init__(self, server: EmbeddedEtcd, directory: Path) -> None:
        self._server = server
        self._data = directory / "etcd" / "etcd"
        self._copy = directory / "copy"
        server.stop()
        shutil.copytree(self._data, self._copy)
        server.start()

    def restore(self) -> None:
        """Put it in the place of what etcd has by now."""
        self._server.stop()
        shutil.rmtree(self._data)
        shutil.copytree(self._copy, self._data)
        self._server.start()


@pytest.mark.parametrize("meanwhile", ["running", "killed"])
def test_a_store_that_was_set_back_is_refused(
    world: RelayedWorld, tmp_path: Path, meanwhile: str
) -> None:
    """Whether the broker runs on, or is killed and started anew."""
    kept, lost = new_id(), new_id()
    world.do("provision", OSS, kept)
    snapshot = Snapshot(world.server, tmp_path)
    eventually(lambda: is_ready(world))
    world.do("provision", OSS, lost)
    marker = Path(world.settings["ALIBROKER_DATA_DIR"]) / "store.json"
    with Etcd([world.server.endpoint]) as etcd:
        revision = etcd.ping(timeout=5)
    eventually(lambda: f'"revision":{revision}' in marker.read_text())

    if meanwhile == "killed":
        world.broker.process.signal(signal.SIGSTOP)  # so that it does not start another at once
        world.kill_worker()
    snapshot.restore()
    world.broker.process.signal(signal.SIGCONT)

    log = world.directory / "broker.log"
    (told,) = eventually(
        lambda: re.findall("CRITICAL.* old backup was restored.*", log.read_text())
    )
    assert "docs/etcd.md" in told
    if meanwhile == "running":
        assert "old backup was restored" in eventually(lambda: refusal(world))
        assert try_to_provision(world).status_code == 503
    with Etcd([world.server.endpoint]) as etcd:
        assert etcd.ping(timeout=5) < revision

    # The loss is accepted, as docs/etcd.md says.
    marker.unlink()
    world.kill_all_of_broker()
    world.do("deprovision", OSS, kept)
    assert [len(some) for some in world.left().values()] == [1]


def refusal(world: RelayedWorld) -> str:
    try:
        status, text = readiness(world)
    except requests.RequestException:
        return ""
    return text if status == 503 and "restored" in text else ""


def test_a_store_that_was_set_back_a_moment_ago_is_not_written_to_for_long(
    world: RelayedWorld, tmp_path: Path
) -> None:
    """A broker that writes faster than it looks still notices."""
    for _ in range(3):
        world.do("provision", OSS, new_id())
    snapshot = Snapshot(world.server, tmp_path)
    eventually(lambda: is_ready(world))
    for _ in range(5):
        world.do("provision", OSS, new_id())
    snapshot.restore()
    statuses: list[int] = []

    def refused() -> bool:
        statuses.append(try_to_provision(world).status_code)
        return bool(refusal(world))

    eventually(refused, timeout=20)
    assert statuses.count(202) <= 1


def outage(world: RelayedWorld, seconds: float) -> float:
    """Cut etcd off for so long; returns the seconds until a write was accepted again."""
    world.relay.refuse()
    eventually(lambda: refused_change(world))
    eventually(lambda: not is_ready(world))
    time.sleep(seconds)  # how long it lasts is what is tried
    world.relay.accept()
    started = time.monotonic()
    eventually(lambda: try_to_provision(world).status_code == 202)
    return time.monotonic() - started


def check_outage(world: RelayedWorld, seconds: float) -> float:
    worker = world.worker().pid
    world.do("provision", OSS, new_id())
    needed = outage(world, seconds)
    assert world.worker().pid == worker
    assert needed < 2.0
    return needed


def test_writes_are_accepted_soon_after_an_outage(world: RelayedWorld) -> None:
    # Not as long as idle connections are kept: one may end while it is used again.
    check_outage(world, 6.0)


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_writes_are_accepted_soon_after_an_outage_of_a_minute(
    world: RelayedWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = check_outage(world, 60.0)
    with capsys.disabled():
        print(f"\nwrites accepted {needed:.2f} s after an outage of 60 s")  # noqa: T201
