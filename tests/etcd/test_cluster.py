"""Three members: the client moves on when one dies, hangs, or was never there."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
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


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_session_and_a_watch_outlast_any_one_member(
    members: Members, cluster: Etcd, fault: signal.Signals, eventually: Callable[..., None]
) -> None:
    lost: list[str] = []
    errors: list[Exception] = []
    seen: list[str] = []
    session = cluster.session("/a/me", b"1", ttl=3, on_lost=lost.append)
    session.open(timeout=10)
    watch = cluster.watch(
        "/a/",
        start=session.create_revision + 1,
        on_events=lambda _, events: seen.extend(event.key for event in events),
        on_broken=errors.append,
    )
    watch.open()
    eventually(lambda: watch.is_connected)
    members["m1"].send_signal(fault)
    until = session.valid_until
    for number in range(20):
        entry = Entry(f"/a/{number:02}", b"1", 0, guards=(session.guard,))
        (outcome,) = cluster.commit([entry], timeout=10)
        assert isinstance(outcome, Committed)
    # Who is stopped says nothing; that is for the reader to see.
    if fault == signal.SIGSTOP:
        watch.restart()
    eventually(lambda: watch.revision == outcome.revision)
    eventually(lambda: session.valid_until > until)
    assert session.is_valid()
    assert seen == [f"/a/{number:02}" for number in range(20)]
    watch.close()
    session.close(timeout=10)
    assert lost == []
    assert errors == []


def test_every_member_takes_renewals(members: Members, cluster: Etcd, tmp_path: Path) -> None:
    assert members
    assert cluster.ping(timeout=10)
    for name in MEMBERS:
        with Etcd([f"unix:{tmp_path}/{name}:0"]) as client:
            session = client.session(f"/me/{name}", b"1", ttl=2, on_lost=pytest.fail)
            session.open(timeout=10)
            session._renew(10)
            session.close(timeout=10)
