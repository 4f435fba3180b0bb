"""Three members: the client moves on when one dies, hangs, or was never there."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alibroker.etcd import binary
from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue

MEMBERS = ("m1", "m2", "m3")

Members = dict[str, "subprocess.Popen[bytes]"]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    program = binary.find().path
    cluster = ",".join(f"{name}=unix://{name}-peer:0" for name in MEMBERS)
    processes: Members = {}
    try:
        for name in MEMBERS:
            with (tmp_path / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    [
                        program,
                        f"--name={name}",
                        f"--data-dir={tmp_path / name}",
                        f"--listen-client-urls=unix://{name}:0",
                        f"--advertise-client-urls=unix://{name}:0",
                        f"--listen-peer-urls=unix://{name}-peer:0",
                        f"--initial-advertise-peer-urls=unix://{name}-peer:0",
                        f"--initial-cluster={cluster}",
                        "--heartbeat-interval=20",
                        "--election-timeout=200",
                        "--logger=zap",
                        "--log-outputs=stderr",
                    ],
                    cwd=tmp_path,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def cluster(members: Members, tmp_path: Path) -> Iterator[Etcd]:
    assert members
    with Etcd([f"unix:{tmp_path}/{name}:0" for name in MEMBERS]) as client:
        assert client.ping(timeout=20) > 0
        yield client


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_any_one_member_may_fail(members: Members, cluster: Etcd, fault: signal.Signals) -> None:
    acknowledged = []
    for number in range(30):
        entry = Entry(f"/a/{number}", str(number).encode(), 0)
        if number == 10:
            # The one in use is the first, be it the leader or not.
            members["m1"].send_signal(fault)
        started = time.monotonic()
        (outcome,) = cluster.commit([entry], timeout=10)
        assert time.monotonic() - started < 5
        assert isinstance(outcome, Committed)
        acknowledged.append(KeyValue(entry.key, str(number).encode(), outcome.revision))
    stored = sorted(cluster.scan("/a/", timeout=5), key=lambda pair: pair.revision)
    assert stored == acknowledged
