"""What a request costs inside the application, in microseconds of the process's CPU.

No server and no connection: requests go in as ASGI scopes, as gunicorn makes them. What a bare
Falcon answer costs, driven in the same way in the same run, is the floor. So are the figures those
of our own code, and steady enough to see a microsecond.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import queue
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import floors
import uvloop
from recovery import PLAN, SERVICE, Nothing
from results import Results, alternate
from rich.console import Console
from rich.table import Table

from alibroker.actors.messages import Reply
from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import InProgress, Step, Succeeded, Work
from alibroker.etcd.client import Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.sealing import Sealer
from alibroker.http.app import create_app
from alibroker.lifecycle.commands import Answer, Command, Verdict

USER = ("bench", "bench-password")
HEADERS = [
    (b"host", b"localhost"),
    (b"user-agent", b"bench"),
    (b"accept", b"application/json"),
    (b"authorization", b"Basic " + base64.b64encode(":".join(USER).encode())),
    (b"x-broker-api-version", b"2.17"),
]
BODY = json.dumps(
    {
        "service_id": SERVICE,
        "plan_id": PLAN,
        "organization_guid": str(uuid.UUID(int=1)),
        "space_guid": str(uuid.UUID(int=2)),
        "context": {"platform": "cloudfoundry", "organization_name": "o", "space_name": "s"},
        "parameters": {"size": 20},
    }
).encode()
BODY_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]
INSTANCES = "/v2/service_instances"
CALLERS = 64
FLOOR = "a constant answer by Falcon"
CPU = "CPU us a request"

Header = tuple[bytes, bytes]
Measure = Callable[[], dict[str, float]]


class Waiting(Nothing):
    """A plugin whose instances are never ready, but for those that are named so."""

    def provision(self, work: Work) -> Step:
        """Wait, or succeed."""
        if work.instance_id == "ready":
            return Succeeded()
        return InProgress(description="Waiting", poll_after=3600.0)

    def bind(self, _work: Work) -> Step:
        """Succeed."""
        return Succeeded(credentials={"uri": "nothing://host", "username": "a", "password": "b"})


class Echo:
    """A system whose changes are answered at once with the same record, from a thread."""

    def __init__(self, system: BrokerSystem) -> None:
        self._system = system
        self._answer = Answer(Verdict.STARTED, "", system.view.instance("waiting"))
        self._inbox: queue.SimpleQueue[Reply[Answer] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, _command: Command, reply: Reply[Answer]) -> None:
        """Take a command."""
        self._inbox.put(reply)

    def __getattr__(self, name: str) -> Any:
        """All else is the system's."""
        return getattr(self._system, name)

    def _run(self) -> None:
        while (reply := self._inbox.get()) is not None:
            reply.set_result(self._answer)

    def stop(self) -> None:
        """End the thread."""
        self._inbox.put(None)
        self._thread.join()


class Exchange:
    """One request and what came of it."""

    def __init__(
        self, method: str, target: str, headers: Sequence[Header] = (), body: bytes = b""
    ) -> None:
        self.status = 0
        self.answer = b""
        path, _, query = target.partition("?")
        self._body = body
        self._headers = [*HEADERS, *headers, *(BODY_HEADERS if body else ())]
        self._scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "server": ("127.0.0.1", 8005),
            "client": ("127.0.0.1", 40000),
        }

    @property
    def scope(self) -> dict[str, Any]:
        """A fresh one, as each request has."""
        asgi = {"version": "3.0", "spec_version": "2.4"}
        return {**self._scope, "asgi": asgi, "headers": list(self._headers), "state": {}}

    async def receive(self) -> dict[str, Any]:
        """Hand out the whole body."""
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        """Take the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.answer = message.get("body", b"")


def costs(app: Any, make: Callable[[], Iterator[Exchange]], status: int) -> dict[str, float]:
    """Return what CPU each of some exchanges takes, of all threads together."""
    left = list(make())
    count = len(left)

    async def caller() -> None:
        while left:
            exchange = left.pop()
            await app(exchange.scope, exchange.receive, exchange.send)
            assert exchange.status == status, (exchange.status, exchange.answer)

    async def callers() -> None:
        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    gc.collect()
    started = time.process_time()
    uvloop.run(callers())
    return {CPU: (time.process_time() - started) / count * 1e6}


def same(count: int, *request: Any) -> Callable[[], Iterator[Exchange]]:
    """Return what yields the same request so many times."""
    return lambda: (Exchange(*request) for _ in range(count))


def provisions(count: int) -> Callable[[], Iterator[Exchange]]:
    """Return what yields provisions of new instances."""
    target = INSTANCES + "/{}?accepts_incomplete=true"
    return lambda: (Exchange("PUT", target.format(uuid.uuid4()), (), BODY) for _ in range(count))


def prepare(app: Any, system: BrokerSystem) -> None:
    """Make an instance that waits, and one that is ready, with a binding."""
    for target in ("waiting", "ready", "ready/service_bindings/ready"):
        request = Exchange("PUT", f"{INSTANCES}/{target}?accepts_incomplete=true", (), BODY)
        assert costs(app, lambda request=request: iter([request]), 202)
        end = time.monotonic() + 30
        while system.view.in_progress(SERVICE) > 1 and time.monotonic() < end:
            time.sleep(0.01)


def rows(app: Any, front: Any, etag: str, count: int) -> dict[str, Measure]:
    """Return what is measured, each with what measures it."""
    floor = floors.bare_falcon()
    binding = f"{INSTANCES}/ready/service_bindings/ready"
    gzip = [(b"accept-encoding", b"gzip, deflate")]
    known = [(b"if-none-match", etag.encode())]

    def reads(*request: Any, status: int = 200) -> Measure:
        return lambda: costs(app, same(count, "GET", *request), status)

    return {
        FLOOR: lambda: costs(floor, same(count, "GET", "/constant"), 200),
        "poll, the operation has ended": reads(f"{INSTANCES}/ready/last_operation"),
        "poll, it is in progress": reads(f"{INSTANCES}/waiting/last_operation"),
        "poll of a binding": reads(f"{binding}/last_operation"),
        "poll of what is not there": reads(f"{INSTANCES}/none/last_operation", status=404),
        "fetch of an instance": reads(f"{INSTANCES}/ready"),
        "fetch of a binding": reads(binding),
        "catalog": reads("/v2/catalog"),
        "catalog, compressed": reads("/v2/catalog", gzip),
        "catalog, not modified": reads("/v2/catalog", known, status=304),
        "provision, without the actors": lambda: costs(front, provisions(count), 202),
        "provision, durable, with its step": lambda: costs(app, provisions(count // 4), 202),
    }


def main() -> None:
    """Measure, print, and write the result if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--requests", type=int, default=2000, help="of each kind in each round")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    # As the deployed process has it (http/starting.py).
    gc.set_threshold(50_000, 10, 1000)
    with tempfile.TemporaryDirectory(prefix="alibroker-bench-") as directory:
        data_dir = Path(directory)
        settings = EngineSettings(data_dir=data_dir, max_operations=1_000_000)
        with EmbeddedEtcd(data_dir / "etcd") as server:
            etcd = Etcd([server.endpoint])
            with BrokerSystem([Waiting()], etcd, Sealer({"k": bytes(32)}, "k"), settings) as system:
                system.wait_until_ready(timeout=60)
                app = create_app(system, dict([USER]))
                prepare(app, system)
                echo = Echo(system)
                try:
                    front = create_app(echo, dict([USER]))  # type: ignore[arg-type]
                    some = rows(app, front, system.catalog.etag, options.requests)
                    chosen = {row: one for row, one in some.items() if options.only in row}
                    found = alternate({FLOOR: some[FLOOR], **chosen}, options.rounds)
                finally:
                    echo.stop()
    results = Results(FLOOR, found)
    table = Table("what", CPU, "least", "most", "times the floor")
    for row, figures in found[CPU].items():
        relative = statistics.median(results.relative(CPU, row))
        some = (statistics.median(figures), min(figures), max(figures))
        table.add_row(row, *(f"{figure:.1f}" for figure in some), f"{relative:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(f"{results.machine}; medians of {options.rounds} alternating rounds")
    console.print(table)
    if options.json is not None:
        results.write(options.json)


if __name__ == "__main__":
    main()
