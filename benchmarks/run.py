"""`make bench`: how fast the broker is, as ratios to a floor measured in the same run.

Nothing here passes or fails: figures depend on the machine, so they are printed with it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import requests
from load import Load, request, run
from rich.console import Console
from rich.table import Table

from alibroker.cli.processes import Broker, Process, Sandbox, free_port

USER = ("bench", "bench-password")
HEADERS = {
    "Authorization": "Basic " + base64.b64encode(":".join(USER).encode()).decode(),
    "X-Broker-API-Version": "2.17",
}
RDS = {
    "service_id": "rds-997b8372-8dac-40ac-ae65-758b4a5075a5",
    "plan_id": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c",
}
BODY = json.dumps({**RDS, "organization_guid": "org", "space_guid": "space"}).encode()
CONNECTIONS = 64
READS = 40_000
PROVISIONS = 4_000
IN_PROGRESS = 1_000


@contextlib.contextmanager
def broker_and_cloud(time_scale: float) -> Iterator[tuple[Broker, Sandbox]]:
    """Run a broker in front of a sandbox."""
    key = ("LTAIbench", secrets.token_urlsafe(24))
    options = ("--time-scale", str(time_scale), "--instance-quota", "1000000")
    options += ("--data-planes", "off")
    with tempfile.TemporaryDirectory(prefix="alibroker-bench-") as directory:
        sandbox = Sandbox(Path(directory) / "sandbox", key=key, options=options)
        log = (Path(directory) / "broker.log").open("wb")
        broker = Broker(
            {
                **sandbox.settings(),
                "ALIBROKER_BIND": f"127.0.0.1:{free_port()}",
                "ALIBROKER_REGION": "cn-hangzhou",
                "ALIBROKER_DATA_DIR": f"{directory}/data",
                "ALIBROKER_USERNAME": USER[0],
                "ALIBROKER_PASSWORD": USER[1],
                "ALIBROKER_POLL_INTERVAL": "2",
                "ALIBROKER_CLOUD_RATE": "unlimited",
                "ALIBROKER_MAX_OPERATIONS": "1000000",
            },
            stderr=log,
        )
        try:
            broker.wait_until_ready()
            yield broker, sandbox
        finally:
            broker.process.stop()
            sandbox.process.stop()
            log.close()


@contextlib.contextmanager
def floor_server() -> Iterator[int]:
    """Run Falcon with a constant answer under the same worker."""
    port = free_port()
    options = ["--worker-class", "asgi", "--no-control-socket", "--log-level", "error"]
    command = [sys.executable, "-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}"]
    here = Path(__file__).parent
    process = Process("the floor", [*command, "constant:get_app()"], os.environ, cwd=here)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"http://127.0.0.1:{port}/constant", timeout=2).ok:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.stop()


def repeated(data: bytes, count: int) -> Iterator[bytes]:
    """Yield the same request so many times."""
    for _ in range(count):
        yield data


def provisions(count: int) -> Iterator[bytes]:
    """Yield provision requests for instances that are new."""
    for _ in range(count):
        target = f"/v2/service_instances/{uuid.uuid4()}?accepts_incomplete=true"
        yield request("PUT", target, HEADERS, BODY)


def port_of(broker: Broker) -> int:
    """Return the port of a broker."""
    return int(broker.bind.rpartition(":")[2])


def provision_load(broker: Broker, count: int) -> Load:
    """Provision; everything has to be accepted."""
    load = run(port_of(broker), lambda: provisions(count), CONNECTIONS)
    assert set(load.statuses) == {202}, load.statuses
    return load


def main() -> None:
    """Measure and print."""
    console = Console()
    table = Table("what", "per second", "p50 ms", "p99 ms", "ratio", "to", "goal")

    def row(what: str, load: Load, *more: str) -> None:
        figures = (f"{load.per_second:,.0f}", f"{load.p50_ms:.1f}", f"{load.p99_ms:.1f}")
        table.add_row(what, *figures, *more)

    with floor_server() as port:
        data = request("GET", "/constant", {})
        run(port, lambda: repeated(data, READS // 10), CONNECTIONS)
        floor = run(port, lambda: repeated(data, READS), CONNECTIONS)
    row("Falcon, constant answer (the floor)", floor)

    with broker_and_cloud(time_scale=0.002) as (broker, sandbox):
        provision_load(broker, 200)
        fast = provision_load(broker, PROVISIONS)
        row("provisions accepted, cloud at 0 ms a call", fast)
        settle(broker, sandbox)
        with requests.Session() as session:
            path = "/v2/service_instances/bench"
            url = f"{broker.url}{path}?accepts_incomplete=true"
            session.put(url, data=BODY, headers=HEADERS, timeout=30).raise_for_status()
        settle(broker, sandbox)
        for what, target in (
            ("last_operation", f"{path}/last_operation"),
            ("catalog", "/v2/catalog"),
        ):
            data = request("GET", target, HEADERS)
            load = run(port_of(broker), lambda data=data: repeated(data, READS), CONNECTIONS)
            assert set(load.statuses) == {200}, load.statuses
            ratio = f"{load.per_second / floor.per_second:.2f}"
            row(what, load, ratio, "floor", ">= 0.5" if what == "last_operation" else "")

    with broker_and_cloud(time_scale=0.002) as (broker, sandbox):
        sandbox.control("PUT", "settings", {"latency_ms": 50})
        provision_load(broker, 200)
        slow = provision_load(broker, PROVISIONS)
        ratio = f"{slow.per_second / fast.per_second:.2f}"
        row("provisions accepted, cloud at 50 ms a call", slow, ratio, "cloud at 0 ms", ">= 0.6")

    with broker_and_cloud(time_scale=0.1) as (broker, sandbox):
        sandbox.control("DELETE", "counters")
        provision_load(broker, IN_PROGRESS)
        seconds = settle(broker, sandbox, IN_PROGRESS)
        calls = sandbox.control("GET", "counters")
    per_instance = calls["total"] / IN_PROGRESS

    console.print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"{CONNECTIONS} connections, one client process on the same machine"
    )
    console.print(table)
    console.print(
        f"{IN_PROGRESS} instances in progress at once: {per_instance:.2f} cloud calls each from "
        f"PUT to succeeded (goal: at most 4), all done after {seconds:.0f} s; "
        f"{calls['calls'].get('rds')}"
    )
    # In a process of its own, so that memory is that of the records alone.
    for script in ("recovery.py", "writes.py"):
        subprocess.run([sys.executable, str(Path(__file__).with_name(script))], check=True)


def settle(broker: Broker, sandbox: Sandbox, count: int = 0) -> float:
    """Wait until the cloud has as many running instances and is no longer called."""
    started = time.monotonic()
    before = -1
    while time.monotonic() - started < 600:
        total = sandbox.control("GET", "counters")["total"]
        if total == before:
            instances = sandbox.control("GET", "inventory")["rds"]["instances"]
            if len(instances) >= count and all(one["status"] == "Running" for one in instances):
                return time.monotonic() - started
        before = total
        time.sleep(6)
    raise TimeoutError(f"{broker.url}: the cloud is called on and on")


if __name__ == "__main__":
    main()
