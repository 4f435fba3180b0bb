"""The broker under gunicorn starts at once, for as long as it takes, and ends honestly. I6, I12."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from drawer_app import HEADER_TIMEOUT, USER, DrawerServer, drawer_server
from drawers import PLAN, SERVICE
from waiting import eventually

from alibroker.cli.processes import CONFIG
from alibroker.etcd import keys
from alibroker.etcd.client import Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing

LISTENING = "ASGI server listening"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SLOW_MACHINE = 4.0
"""How much longer than on a quiet machine something may take on a busy one."""

BODY = {"service_id": SERVICE, "plan_id": PLAN, "organization_guid": "o", "space_guid": "s"}


def ask(server: DrawerServer, path: str, method: str = "GET") -> requests.Response:
    body = BODY if method == "PUT" else None
    return requests.request(
        method,
        server.url + path,
        auth=USER,
        headers={"X-Broker-API-Version": "2.17"},
        json=body,
        timeout=30,
    )


def seconds_to_stop(server: DrawerServer) -> float:
    """Send SIGTERM; returns how long it takes until all processes are gone."""
    master = psutil.Process(server.popen.pid)
    everybody = [master, *master.children(recursive=True)]
    started = time.monotonic()
    master.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(everybody, timeout=60)
    assert alive == []
    return time.monotonic() - started


def exit_code(server: DrawerServer) -> int:
    return server.popen.wait(60)


def program(path: Path, commands: str) -> str:
    """Make an etcd that says its version, and does something else than to serve."""
    version = '[ "$1" = --version ] && echo "etcd Version: 3.5.25" && exit'
    path.write_text(f"#!/bin/sh\n{version}\n{commands}\n")
    path.chmod(0o755)
    return str(path)


def test_it_listens_at_once_and_says_what_it_waits_for_until_the_store_is_there(
    tmp_path: Path,
) -> None:
    store = EmbeddedEtcd(tmp_path / "etcd", timing=Timing(10, 50))
    settings = {"ALIBROKER_ETCD_ENDPOINTS": store.endpoint, "ALIBROKER_SEAL_KEY": KEY}
    with drawer_server(tmp_path, until=LISTENING, **settings) as server:
        # Long enough for the storage actor to have tried once.
        reason = "etcd does not answer"
        eventually(lambda: reason in ask(server, "/readyz").text, timeout=30)
        assert ask(server, "/readyz").status_code == 503
        assert ask(server, "/healthz").status_code == 200
        for method, path in (
            ("GET", "/v2/catalog"),
            ("GET", "/v2/service_instances/i"),
            ("GET", "/v2/service_instances/i/last_operation"),
            ("PUT", "/v2/service_instances/i"),
            ("DELETE", f"/v2/service_instances/i?service_id={SERVICE}&plan_id={PLAN}"),
            ("GET", "/openapi.json"),
            ("GET", "/nowhere"),
        ):
            answer = ask(server, path, method)
            assert answer.status_code == 503, path
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["error"] == "ServiceUnavailable"
        assert requests.get(f"{server.url}/v2/catalog", timeout=30).status_code == 401

        with store:
            eventually(lambda: ask(server, "/readyz").status_code == 200, timeout=30)
            assert ask(server, "/v2/service_instances/i").status_code == 404
            assert ask(server, "/v2/service_instances/i", "PUT").status_code == 201


@pytest.mark.parametrize("etcd", ["of its own", "of others"])
def test_a_stop_while_it_waits_for_the_store_is_quick(tmp_path: Path, etcd: str) -> None:
    settings = {"ALIBROKER_ETCD_BINARY": program(tmp_path / "dozing", "exec sleep 600")}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if etcd == "of others":
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            settings = {"ALIBROKER_ETCD_ENDPOINTS": endpoint, "ALIBROKER_SEAL_KEY": KEY}
        stop_while_it_waits(tmp_path, settings)


def stop_while_it_waits(tmp_path: Path, settings: dict[str, str]) -> None:
    with drawer_server(tmp_path, until=LISTENING, **settings) as server:
        assert ask(server, "/readyz").status_code == 503
        with socket.create_connection(("127.0.0.1", server.port)):
            # Somebody who is connected and asks for nothing holds up nobody.
            assert seconds_to_stop(server) < 2.0 * SLOW_MACHINE
        assert exit_code(server) == 0


def test_plugins_and_keys_that_take_long_are_waited_for_as_the_store_is(tmp_path: Path) -> None:
    with drawer_server(tmp_path, until=LISTENING, ALIBROKER_SEAL_KEY_COMMAND="sleep 25") as server:
        assert ask(server, "/healthz").status_code == 200
        ready = ask(server, "/readyz")
        assert (ready.status_code, "being loaded" in ready.text) == (503, True)
        assert ask(server, "/v2/catalog").status_code == 503
        started = time.monotonic()
        server.popen.terminate()
        assert exit_code(server) == 0
        assert time.monotonic() - started < 2.0 * SLOW_MACHINE
        assert not list((tmp_path / "data" / "notes").glob("*.notes"))


def test_workers_find_what_takes_long_to_load_loaded_and_no_thread_that_a_fork_would_lose() -> None:
    program = """if True:
        import runpy, sys, threading
        runpy.run_path("gunicorn.conf.py")["when_ready"](None)
        loaded = set(sys.modules)
        assert threading.active_count() == 1, threading.enumerate()
        import alibroker.brokers.oss, alibroker.brokers.rds
        print(*{name.partition(".")[0] for name in set(sys.modules) - loaded})
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ALIBROKER_USERNAME": "u", "ALIBROKER_PASSWORD": "p"},
        cwd=CONFIG.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A module for each action, of which most are never loaded, and their parser of settings.
    assert set(done.stdout.split()) <= {"alibroker", "aliyunsdkrds", "configparser"}


def test_a_stop_ends_connections_that_nobody_uses(tmp_path: Path) -> None:
    with (
        drawer_server(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        connected = time.monotonic()
        silent.settimeout(30)
        server.worker().send_signal(signal.SIGTERM)
        assert silent.recv(1) == b""
        # Its time for a first request is not over.
        assert time.monotonic() - connected < HEADER_TIMEOUT / 2


def test_a_signal_to_all_processes_at_once_is_an_orderly_stop(tmp_path: Path) -> None:
    """As systemd sends it, unless told otherwise: etcd is there until the last change is stored."""
    with drawer_server(tmp_path) as server:
        master = psutil.Process(server.popen.pid)
        for process in (*master.children(recursive=True), master):
            process.terminate()
        assert exit_code(server) == 0
        assert "CRITICAL" not in server.log.read_text()


def test_a_store_that_is_sealed_with_another_key_ends_the_start(tmp_path: Path) -> None:
    with EmbeddedEtcd(tmp_path / "etcd", timing=Timing(10, 50)) as store:
        with Etcd([store.endpoint]) as etcd:
            etcd.commit([Entry(keys.OWNER, b"sealed.otherwise", 0)], timeout=10)
        settings = {"ALIBROKER_ETCD_ENDPOINTS": store.endpoint, "ALIBROKER_SEAL_KEY": KEY}
        with drawer_server(tmp_path, until="", **settings) as server:
            assert exit_code(server) == 3
            assert re.search("CRITICAL.*sealed with another key", server.log.read_text())


def test_a_broker_whose_keeper_is_killed_ends_with_an_error(tmp_path: Path) -> None:
    with drawer_server(tmp_path) as server:
        (keeper,) = (
            child
            for child in psutil.Process(server.popen.pid).children()
            if "alibroker.etcd.keeper" in child.cmdline()
        )
        keeper.kill()
        assert exit_code(server) == 3
        log = server.log.read_text()
        assert "CRITICAL" in log
        assert re.search("CRITICAL.*keeper of the embedded etcd was killed", log)


def test_a_broker_whose_etcd_does_not_come_up_ends_with_its_last_words(tmp_path: Path) -> None:
    binary = program(tmp_path / "broken", "echo it cannot be done >&2; exit 1")
    with drawer_server(tmp_path, until="", ALIBROKER_ETCD_BINARY=binary) as server:
        assert exit_code(server) == 3
        log = server.log.read_text()
        assert re.search(r"(?s)CRITICAL[^\n]*etcd ended 5 times.*it cannot be done", log)


class SmallDisk:
    """A file system in memory that is as good as full when `fill` was called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_bsize
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - 2**20)

    def make_room(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system can be mounted by root only")
    yield SmallDisk(path)
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", str(path)], check=True, capture_output=True)


def refused_because_of(server: DrawerServer) -> str:
    answer = ask(server, "/v2/service_instances/late", "PUT")
    return str(answer.json()["description"]) if answer.status_code == 503 else ""


def test_a_full_disk_is_said_at_the_start(tmp_path: Path, disk: SmallDisk) -> None:
    disk.fill()
    with drawer_server(tmp_path, until="", ALIBROKER_DATA_DIR=str(disk.path / "data")) as server:
        assert exit_code(server) == 1
        assert re.search("CRITICAL.*the disk is full", server.log.read_text())


def test_on_a_full_disk_reads_go_on_and_it_heals_when_there_is_room(
    tmp_path: Path, disk: SmallDisk
) -> None:
    with drawer_server(tmp_path, ALIBROKER_DATA_DIR=str(disk.path / "data")) as server:
        worker = server.worker().pid
        assert ask(server, "/v2/service_instances/early", "PUT").status_code == 201
        disk.fill()

        description = eventually(lambda: refused_because_of(server), timeout=30)
        assert "disk" in description
        assert "full" in description
        assert ask(server, "/v2/service_instances/early").status_code == 200
        ready = ask(server, "/readyz")
        assert (ready.status_code, "the disk is full" in ready.text) == (503, True)

        # etcd ends on a full disk, and is started again until it can go on.
        for process in psutil.Process(server.popen.pid).children(recursive=True):
            if process.name() == "etcd":
                process.kill()
        disk.make_room()
        eventually(lambda: ask(server, "/readyz").status_code == 200, timeout=30)
        assert ask(server, "/v2/service_instances/late", "PUT").status_code in (200, 201)
        assert server.worker().pid == worker
        assert server.log.read_text().count("the disk is full") == 1
