"""Workers come and go on one machine, and brokers on many, and no platform can tell. I4, I6."""

from __future__ import annotations

import collections
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import requests
from balancer import Balancer
from drawer_app import USER, DrawerServer, drawer_server
from drawers import PLAN, SERVICE
from waiting import eventually

from alibroker.etcd import keys
from alibroker.etcd.client import Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing

SEAL_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SLOW = 60.0
"""Seconds for what takes some of them on a quiet machine."""


def ask(
    url: str,
    path: str,
    method: str = "GET",
    auth: tuple[str, str] = USER,
    **parameters: object,
) -> requests.Response:
    """Send a request over a connection of its own."""
    body: dict[str, object] = {"service_id": SERVICE, "plan_id": PLAN}
    body |= {"organization_guid": "o", "space_guid": "s", "parameters": parameters}
    return requests.request(
        method,
        url + path,
        auth=auth,
        headers={"X-Broker-API-Version": "2.17", "Connection": "close"},
        json=body if method == "PUT" else None,
        timeout=30,
    )


class Platform:
    """Provisions and polls without pause, and takes down what it is answered."""

    def __init__(self, url: str, name: str) -> None:
        self.answers: collections.Counter[int | str] = collections.Counter()
        self.wrong: list[str] = []
        self.accepted: list[str] = []
        self._url = url
        self._name = name
        self._over = threading.Event()

    def run(self, number: int) -> None:
        """Go on until it is over."""
        while not self._over.is_set():
            name = f"{self._name}-{number}-{len(self.accepted)}"
            path = f"/v2/service_instances/{name}"
            if self._send(f"{path}?accepts_incomplete=true", "PUT") == 202:
                self.accepted.append(name)
                for _ in range(3):
                    self._send(f"{path}/last_operation")

    def _send(self, path: str, method: str = "GET") -> int:
        try:
            answer = ask(self._url, path, method)
        except requests.ConnectionError:
            self.answers["none"] += 1
            return 0
        self.answers[answer.status_code] += 1
        if answer.status_code not in (200, 202):
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.status_code

    def more(self, count: int = 12) -> None:
        """Wait until so many more have been answered."""
        enough = self.answers.total() + count
        eventually(lambda: self.answers.total() >= enough, SLOW)

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()


@contextmanager
def platform(url: str, name: str) -> Iterator[Platform]:
    """Have a platform ask all the time until the block ends; all it began has to come to an end."""
    asking = Platform(url, name)
    with ThreadPoolExecutor(3) as threads:
        for number in range(3):
            threads.submit(asking.run, number)
        try:
            asking.more()
            yield asking
            asking.more()
        finally:
            asking.stop()
    for one in asking.accepted:
        path = f"/v2/service_instances/{one}/last_operation"
        eventually(lambda: ask(url, path).json().get("state") == "succeeded", SLOW)  # noqa: B023


def workers(server: DrawerServer) -> dict[int, psutil.Process]:
    """Return gunicorn's workers by process id."""
    found = {}
    for child in psutil.Process(server.popen.pid).children():
        with suppress(psutil.NoSuchProcess):
            if not child.children() and "alibroker.etcd.keeper" not in child.cmdline():
                found[child.pid] = child
    return found


def ready(server: DrawerServer) -> int:
    """Return how often a worker has become ready."""
    return server.log.read_text().count("Ready: ")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawerServer]:
    directory = tmp_path_factory.mktemp("workers")
    with drawer_server(directory, "--workers", "2") as server:
        eventually(lambda: ready(server) == 2, SLOW)
        yield server


def kill_one(server: DrawerServer) -> None:
    next(iter(workers(server).values())).kill()


def stop_one(server: DrawerServer) -> None:
    next(iter(workers(server).values())).terminate()


def reload(server: DrawerServer) -> None:
    server.popen.send_signal(signal.SIGHUP)


def one_more_and_one_less(server: DrawerServer) -> None:
    were_ready = ready(server)
    server.popen.send_signal(signal.SIGTTIN)
    eventually(lambda: ready(server) > were_ready, SLOW)
    server.popen.send_signal(signal.SIGTTOU)


@pytest.mark.parametrize(
    ("happens", "comes", "goes"),
    [
        pytest.param(reload, 2, 2, id="reload"),
        pytest.param(one_more_and_one_less, 1, 1, id="one more, one less"),
        pytest.param(stop_one, 1, 1, id="stop of one"),
        pytest.param(kill_one, 1, 1, id="kill -9 of one"),
    ],
)
def test_workers_come_and_go_unnoticed(
    request: pytest.FixtureRequest,
    server: DrawerServer,
    happens: Callable[[DrawerServer], None],
    comes: int,
    goes: int,
) -> None:
    before, were_ready = workers(server), ready(server)
    name = "-".join(re.findall(r"\w+", request.node.callspec.id))
    with platform(server.url, name) as asking:
        happens(server)
        eventually(lambda: ready(server) == were_ready + comes, SLOW)
        eventually(lambda: len(before.keys() - workers(server).keys()) == goes, SLOW)
    assert asking.wrong == []
    # What a killed worker was at is cut off, and asked for again.
    assert happens is kill_one or asking.answers["none"] == 0
    assert len(workers(server)) == len(before)


def test_workers_that_are_replaced_after_so_many_requests_leave_no_gap(tmp_path: Path) -> None:
    with drawer_server(tmp_path, "--workers", "2", "--max-requests", "30") as server:
        eventually(lambda: ready(server) == 2, SLOW)
        with platform(server.url, "i") as asking:
            eventually(lambda: ready(server) >= 4, SLOW)
    assert asking.wrong == []
    assert asking.answers["none"] == 0


def test_a_reload_that_cannot_work_takes_nothing_away(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("other:pass-word-1\n")
    # The master takes no further signal for as long as it waits for those that were there.
    options = ("--graceful-timeout", "2")
    with drawer_server(tmp_path, *options, ALIBROKER_USERS_FILE=str(users)) as server:
        (before,) = workers(server)
        users.write_text("no colon\n")
        server.popen.send_signal(signal.SIGHUP)
        eventually(lambda: "go on meanwhile" in server.log.read_text(), SLOW)
        assert "ALIBROKER_USERS_FILE, line 1, is not name:password" in server.log.read_text()
        with platform(server.url, "i") as asking:
            asking.more()
        assert asking.wrong == []
        assert before in workers(server)

        users.write_text("other:pass-word-2\n")
        server.popen.send_signal(signal.SIGHUP)
        with platform(server.url, "j") as asking:
            eventually(lambda: ready(server) == 2 and before not in workers(server), SLOW)
        assert asking.wrong == []
        assert ask(server.url, "/v2/catalog", auth=("other", "pass-word-2")).status_code == 200
        assert ask(server.url, "/v2/catalog", auth=("other", "pass-word-1")).status_code == 401
        eventually(lambda: len(workers(server)) == 1, SLOW)


def test_a_successor_takes_over_socket_and_store(tmp_path: Path) -> None:
    """SIGUSR2: another master, with workers and an etcd of its own, before the first one ends."""
    with drawer_server(tmp_path) as server:
        before = {child.pid for child in psutil.Process(server.popen.pid).children()}
        with platform(server.url, "i") as asking:
            server.popen.send_signal(signal.SIGUSR2)
            eventually(lambda: ready(server) == 2, SLOW)
            children = psutil.Process(server.popen.pid).children()
            (successor,) = (child for child in children if child.pid not in before)
            try:
                server.popen.terminate()
                assert server.popen.wait(SLOW) == 0
                asking.more()
            except BaseException:
                successor.kill()
                raise
        successor.terminate()
        psutil.wait_procs([successor], timeout=SLOW)
        assert asking.wrong == []
        assert asking.answers["none"] == 0


def test_one_that_is_to_stop_says_so_first_if_it_is_asked_to(tmp_path: Path) -> None:
    with drawer_server(tmp_path, ALIBROKER_STOP_DELAY="300") as server:
        server.popen.terminate()
        eventually(lambda: "is being stopped" in ask(server.url, "/readyz").text, SLOW)
        assert ask(server.url, "/readyz").status_code == 503
        assert ask(server.url, "/healthz").status_code == 200
        provisioned = ask(server.url, "/v2/service_instances/i", "PUT")
        assert provisioned.status_code == 201
        assert provisioned.headers["Connection"] == "close"
        assert server.popen.poll() is None


class Machines:
    """Brokers on one etcd, which is not theirs, each with a data directory of its own."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        self.endpoint = endpoint
        self.servers: dict[int, DrawerServer] = {}
        self._directory = directory
        self._stacks: dict[int, ExitStack] = {}

    def start(self, number: int) -> None:
        """Start the broker of a machine, where it was before."""
        place = self._directory / str(number)
        place.mkdir(exist_ok=True)
        settings = {
            "ALIBROKER_ETCD_ENDPOINTS": self.endpoint,
            "ALIBROKER_SEAL_KEY": SEAL_KEY,
            "ALIBROKER_STOP_DELAY": "1",
        }
        if number in self.servers:
            settings["ALIBROKER_BIND"] = f"127.0.0.1:{self.servers[number].port}"
        stack = self._stacks[number] = ExitStack()
        server = stack.enter_context(drawer_server(place, **settings))
        self.servers.setdefault(number, server)
        self.servers[number].popen = server.popen

    def stop(self, number: int) -> None:
        """Stop the broker of a machine in good order."""
        self.servers[number].popen.terminate()
        assert self.servers[number].popen.wait(SLOW) == 0
        self._stacks.pop(number).close()

    def end(self) -> None:
        """Stop all."""
        while self._stacks:
            self._stacks.popitem()[1].close()

    def at_work(self, number: int) -> int:
        """Return how many records name the broker of a machine as who works on them."""
        worker = next(iter(workers(self.servers[number])))
        with Etcd([self.endpoint]) as etcd:
            pairs = list(etcd.scan(keys.INSTANCES))
        return sum(f"-{worker}-".encode() in pair.value for pair in pairs)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    directory = tmp_path_factory.mktemp("machines")
    with EmbeddedEtcd(directory / "etcd", timing=Timing(10, 100)) as etcd:
        machines = Machines(directory, etcd.endpoint)
        try:
            with ThreadPoolExecutor() as threads:
                list(threads.map(machines.start, range(3)))
            yield machines
        finally:
            machines.end()


def test_a_rolling_restart_is_not_noticed_behind_a_balancer(machines: Machines) -> None:
    ports = [machines.servers[number].port for number in range(3)]
    with Balancer(ports) as balancer:
        eventually(lambda: balancer.ready == set(ports), SLOW)
        with platform(balancer.url, "rolling") as asking:
            for number in range(3):
                machines.stop(number)
                machines.start(number)
                eventually(lambda: balancer.ready == set(ports), SLOW)
                asking.more()
        assert asking.wrong == []
        assert asking.answers["none"] == 0


@pytest.mark.parametrize(("how", "bound"), [("stop", 1.0), ("kill", 8.0)])
def test_others_go_on_with_what_it_was_at(
    machines: Machines, how: str, bound: float, record_property: Callable[[str, object], None]
) -> None:
    url = machines.servers[0].url
    for number in range(5):
        path = f"/v2/service_instances/{how}-{number}?accepts_incomplete=true"
        assert ask(url, path, "PUT", busy=100_000).status_code == 202
    (worker,) = workers(machines.servers[0])
    assert machines.at_work(0) >= 5
    popen = machines.servers[0].popen
    with Etcd([machines.endpoint]) as etcd:

        def left() -> bool:
            mark = f"-{worker}-".encode()
            pairs = list(etcd.scan(keys.INSTANCES))
            mine = [pair for pair in pairs if f'"{how}-'.encode() in pair.value]
            return not any(mark in pair.value for pair in mine)

        started = time.monotonic()
        if how == "kill":
            for one in (psutil.Process(worker), popen):
                one.kill()
        else:
            popen.terminate()
        eventually(left, 5 * bound + 10)
    seconds = time.monotonic() - started
    sys.stderr.write(f"{how}: others went on after {seconds:.2f} s\n")
    with suppress(subprocess.TimeoutExpired):
        popen.wait(SLOW)
    record_property("seconds", seconds)
    machines._stacks.pop(0).close()
    machines.start(0)
