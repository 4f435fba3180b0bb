"""The embedded server: it comes up, stays up, and is gone when its parent is."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from alibroker.etcd import binary, embedded
from alibroker.etcd.binary import Binary
from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue
from alibroker.etcd.embedded import EmbeddedEtcd, EmbeddedEtcdError, Timing
from alibroker.etcd.errors import EtcdDiskFullError
from alibroker.etcd.run_directory import MAX_SOCKET_PATH

FAST = Timing(heartbeat=10, election=50)

ProcessOf = Callable[[int | None], psutil.Process]
Eventually = Callable[..., None]
Gone = Callable[[int], bool]

# Starts etcd as gunicorn's master would: it forks afterwards, and reaps whatever child ends.
PARENT = """
import json, os, signal, sys, time
from pathlib import Path
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
assert not any(name.split(".")[0] == "grpc" for name in sys.modules)
server = EmbeddedEtcd(Path(sys.argv[1]), timing=Timing(10, 50))
server.start()
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
worker = os.fork()
if worker == 0:
    server.stop()
    time.sleep(60)
    os._exit(0)
print(json.dumps([server.keeper_pid, worker]), flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def parent(data: Path) -> Iterator[tuple["subprocess.Popen[str]", int, int]]:
    """Runs a parent that starts etcd and forks; gives it, the keeper's pid and the fork's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, data],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    worker = None
    try:
        keeper, worker = json.loads(process.stdout.readline())
        yield process, keeper, worker
    finally:
        process.kill()
        if worker is not None:
            os.kill(worker, signal.SIGKILL)
        process.stdin.close()
        process.stdout.close()
        process.wait()


def test_nothing_is_left_of_etcd_when_its_parent_is_killed(
    tmp_path: Path, etcd_process: ProcessOf, eventually: Eventually, gone: Gone
) -> None:
    with parent(tmp_path / "data") as (process, keeper, worker):
        etcd = etcd_process(keeper).pid
        assert not gone(worker)
        process.kill()
        # The fork lives on, and must not hold the lifeline.
        eventually(lambda: gone(etcd) and gone(keeper), within=3)
        assert not gone(worker)


def test_a_parent_that_stops_it_finds_it_gone_though_it_reaps_all_children_itself(
    tmp_path: Path, etcd_process: ProcessOf, gone: Gone
) -> None:
    with parent(tmp_path / "data") as (process, keeper, _):
        etcd = etcd_process(keeper).pid
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=5) == 0
        assert gone(etcd)
        assert gone(keeper)


def test_ctrl_c_does_not_reach_etcd(
    tmp_path: Path, etcd_process: ProcessOf, eventually: Eventually, gone: Gone
) -> None:
    with parent(tmp_path / "data") as (process, keeper, _):
        etcd = etcd_process(keeper)
        assert os.getpgid(etcd.pid) != os.getpgid(process.pid)
        assert os.getsid(keeper) != os.getsid(process.pid)
        os.kill(process.pid, signal.SIGINT)
        # The parent ends, and only then, with its lifeline, the keeper and etcd.
        process.wait(timeout=5)
        eventually(lambda: gone(etcd.pid) and gone(keeper), within=3)


def test_a_killed_etcd_is_restarted_with_all_its_data(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf, eventually: Eventually
) -> None:
    (outcome,) = client.commit([Entry("/a", b"1", 0)], timeout=5)
    assert isinstance(outcome, Committed)
    first = etcd_process(fresh.keeper_pid)
    first.kill()
    assert client.read(["/a"], timeout=5) == [KeyValue("/a", b"1", outcome.revision)]
    eventually(lambda: etcd_process(fresh.keeper_pid).pid != first.pid)
    fresh.check()
    assert "exit code -9" in fresh.log.read_text()


def test_an_etcd_that_is_killed_again_and_again_is_not_given_up(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf, eventually: Eventually
) -> None:
    for _ in range(6):
        etcd = etcd_process(fresh.keeper_pid)
        client.ping(timeout=5)
        etcd.kill()
        eventually(lambda killed=etcd.pid: etcd_process(fresh.keeper_pid).pid != killed)
    assert client.ping(timeout=5) > 0
    fresh.check()


def test_a_killed_keeper_takes_etcd_with_it_and_is_noticed(
    fresh: EmbeddedEtcd, etcd_process: ProcessOf, eventually: Eventually, gone: Gone
) -> None:
    etcd = etcd_process(fresh.keeper_pid).pid
    assert fresh.keeper_pid is not None
    os.kill(fresh.keeper_pid, signal.SIGKILL)
    keeper = fresh.keeper_pid
    eventually(lambda: gone(keeper) and gone(etcd))
    with pytest.raises(EmbeddedEtcdError, match="killed"):
        fresh.check()
    fresh.stop()
    fresh.start()
    fresh.check()


def test_a_signal_to_all_processes_leaves_etcd_to_the_parent(
    fresh: EmbeddedEtcd,
    client: Etcd,
    etcd_process: ProcessOf,
    eventually: Eventually,
    gone: Gone,
) -> None:
    """As systemd sends it: what the parent has under way is still to be stored."""
    keeper = fresh.keeper_pid
    assert keeper is not None
    etcd = etcd_process(keeper).pid
    os.kill(keeper, signal.SIGTERM)
    os.kill(etcd, signal.SIGTERM)
    eventually(lambda: gone(etcd))
    assert client.ping(timeout=10) > 0
    fresh.check()
    fresh.stop()
    assert gone(keeper)


def test_a_paused_etcd_is_killed_when_it_does_not_stop(
    fresh: EmbeddedEtcd, etcd_process: ProcessOf, gone: Gone
) -> None:
    etcd = etcd_process(fresh.keeper_pid)
    etcd.suspend()
    started = time.monotonic()
    fresh.stop()
    assert time.monotonic() - started < 7
    assert gone(etcd.pid)


def test_a_second_server_on_the_same_data_says_who_has_it(
    fresh: EmbeddedEtcd, client: Etcd, tmp_path: Path
) -> None:
    second = EmbeddedEtcd(tmp_path / "data", timing=FAST, patience=0.3)
    with pytest.raises(EmbeddedEtcdError, match=f"in use.*keeper process {fresh.keeper_pid}"):
        second.start()
    assert client.ping(timeout=1) > 0
    with pytest.raises(EmbeddedEtcdError, match="not started"):
        second.check()


def test_a_second_server_waits_for_the_first_to_finish(
    fresh: EmbeddedEtcd, tmp_path: Path, etcd_process: ProcessOf
) -> None:
    first = etcd_process(fresh.keeper_pid)
    stopping = threading.Thread(target=fresh.stop)
    stopping.start()
    with EmbeddedEtcd(tmp_path / "data", timing=FAST) as second:
        assert etcd_process(second.keeper_pid).pid != first.pid
    stopping.join()


def test_stale_sockets_do_not_hinder_a_start(tmp_path: Path) -> None:
    server = EmbeddedEtcd(tmp_path / "data", timing=FAST)
    run = tmp_path / "data" / "run"
    run.mkdir(parents=True)
    (run / "client:0").touch()
    (run / "peer:0").touch()
    with server, Etcd([server.endpoint]) as client:
        assert client.ping(timeout=5) > 0


def test_everything_is_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with EmbeddedEtcd(data, timing=FAST) as server:
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert stat.S_IMODE((data / "run").stat().st_mode) == 0o700
        assert server.keeper_pid is not None
        connections = [
            connection
            for process in psutil.Process(server.keeper_pid).children()
            for connection in process.net_connections(kind="inet")
        ]
        assert connections == []


def test_a_deep_data_directory_gets_its_sockets_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    # A test's own directory may be too deep already.
    with tempfile.TemporaryDirectory(prefix="run-") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        with EmbeddedEtcd(deep, timing=FAST) as server, Etcd([server.endpoint]) as client:
            assert len(server.endpoint.removeprefix("unix:")) <= MAX_SOCKET_PATH
            assert server.endpoint.startswith(f"unix:{short}/alibroker-")
            assert client.ping(timeout=5) > 0
        other = EmbeddedEtcd(deep / "z", timing=FAST)
        assert other.endpoint != server.endpoint


def test_settings_of_another_etcd_in_the_environment_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_NAME", "other")
    monkeypatch.setenv("ETCD_DATA_DIR", str(tmp_path / "other"))
    with EmbeddedEtcd(tmp_path / "data", timing=FAST):
        assert (tmp_path / "data" / "etcd" / "member").is_dir()
    assert not (tmp_path / "other").exists()


def test_keeper_and_etcd_are_not_told_what_is_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, etcd_process: ProcessOf
) -> None:
    """Whatever it is called: what they need is listed, all else is left out. I5."""
    for name in ("ALIBROKER_PASSWORD", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "SOME_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("GOMAXPROCS", "2")
    with EmbeddedEtcd(tmp_path / "data", timing=FAST) as server:
        keeper = psutil.Process(server.keeper_pid)
        for process in (keeper, etcd_process(keeper.pid)):
            known = Path(f"/proc/{process.pid}/environ").read_bytes()
            assert b"hidden" not in known
            assert b"\0GOMAXPROCS=2\0" in b"\0" + known


def test_damaged_data_is_reported_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with EmbeddedEtcd(data, timing=FAST):
        pass
    (log,) = (data / "etcd" / "member" / "wal").glob("0000*-0*.wal")
    damaged = bytearray(log.read_bytes())
    damaged[40:60] = bytes(range(20))
    log.write_bytes(damaged)
    server = EmbeddedEtcd(data, timing=FAST)
    with pytest.raises(EmbeddedEtcdError, match=r"5 times.*exit code.*Nothing was deleted") as told:
        server.start()
    assert str(data / "etcd.log") in str(told.value)
    assert log.read_bytes() == damaged
    assert server.keeper_pid is None


def test_too_little_room_is_said_before_etcd_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MIN_START_BYTES", 2**60)
    with pytest.raises(EtcdDiskFullError, match=r"disk is full.*MiB are free"):
        EmbeddedEtcd(tmp_path / "data").start()


def test_one_that_has_run_before_needs_less_room_than_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedEtcd(tmp_path / "data", timing=FAST)
    with server:
        pass
    monkeypatch.setattr(embedded, "MIN_START_BYTES", 2**60)
    with server:
        pass
    monkeypatch.setattr(embedded, "MIN_FREE_BYTES", 2**60)
    with pytest.raises(EtcdDiskFullError, match="disk is full"):
        server.start()


def test_a_data_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedEtcdError, match="cannot be used"):
        EmbeddedEtcd(tmp_path / "file" / "data").start()


def test_an_etcd_that_never_answers_is_given_up_and_ended(tmp_path: Path, gone: Gone) -> None:
    script = tmp_path / "etcd"
    script.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\necho dozing >&2\nexec sleep 60\n")
    script.chmod(0o755)
    program = Binary(script, "3.5.25", ())
    server = EmbeddedEtcd(tmp_path / "data", binary=program)
    with pytest.raises(EmbeddedEtcdError, match=r"(?s)not ready within 0\.7 s.*dozing"):
        server.start(timeout=0.7)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_long_log_is_cut(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "etcd.log").write_bytes(b"x" * (9 * 2**20))
    with EmbeddedEtcd(data, timing=FAST) as server:
        assert server.log.stat().st_size < 2**20
    assert (data / "etcd.log.1").stat().st_size == 9 * 2**20


def test_a_server_is_started_once(fresh: EmbeddedEtcd) -> None:
    with pytest.raises(EmbeddedEtcdError, match="already"):
        fresh.start()


def test_flags_go_by_the_version(tmp_path: Path) -> None:
    server = EmbeddedEtcd(tmp_path)
    found = binary.find()
    newer = Binary(found.path, "3.6.14", ())
    assert "--snapshot-count=5000" in server._command(found, 1)
    assert "--snapshot-count=5000" not in server._command(newer, 1)
