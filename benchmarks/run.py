"""How fast the broker is as a server, beside floors and a peer in the same rounds.

Nothing here passes or fails: figures depend on the machine, so they are printed with it, and kept
as JSON that `results.py` compares.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import requests
from floors import CREDENTIALS, DOCUMENT, OFFER
from load import request, run
from results import Results, alternate
from rich.console import Console
from rich.table import Table
from servers import Usage, broker_and_cloud, served

from alibroker.cli.processes import Broker, Sandbox

T = TypeVar("T")

HEADERS = {
    "User-Agent": "bench",
    "Accept": "application/json",
    "Authorization": "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode(),
    "X-Broker-API-Version": "2.17",
}
RDS = {
    "service_id": "rds-997b8372-8dac-40ac-ae65-758b4a5075a5",
    "plan_id": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c",
}
PEER = dict(zip(("service_id", "plan_id"), OFFER, strict=True))
POLL = "/v2/service_instances/bench/last_operation"
CONNECTIONS = 64
IN_PROGRESS = 1_000
SETTLED = 4.0
"""Seconds without a call to the cloud, after which nothing is going on: of a database that is
ordered, brokers look at the state after twelve of their intervals (servers.py) at the earliest."""
LOOK = 0.5
"""Seconds within which what a call to the cloud leads to in the broker is done."""
WORKER = ("--worker-class", "asgi")

BETWEEN = "us between answers"
P50, P99 = "p50 ms", "p99 ms"
CPU, ETCD, CLOUD = "CPU us of the server", "CPU us of etcd", "CPU us of the cloud"
FLOOR = "Falcon, a constant (the floor)"


class Row(NamedTuple):
    """What is measured, and where."""

    port: int
    requests: Callable[[], Iterator[bytes]]
    count: int
    status: int
    usages: dict[str, Usage]
    """Of the server, and of the cloud if it is called."""
    cloud: Sandbox | None = None
    """What is to be seen to rest before the work that the requests are the reason of is done."""


def measure(row: Row) -> dict[str, float]:
    """Send the requests of one row and return what that took, by what it is."""

    def used() -> dict[str, tuple[float, float]]:
        return {name: usage.read() for name, usage in row.usages.items()}

    before = used()
    load = run(row.port, row.requests, CONNECTIONS)
    assert set(load.statuses) == {row.status}, load.statuses
    after = used() if row.cloud is None else settle(row.cloud, used)
    found = {BETWEEN: 1e6 / load.per_second, P50: load.p50_ms, P99: load.p99_ms}
    for name in row.usages:
        pairs = zip(after[name], before[name], strict=True)
        own, etcd = (1e6 * (now - then) for now, then in pairs)
        found[name] = own / row.count
        if etcd:
            found[ETCD] = etcd / row.count
    return found


def repeated(target: str, count: int, **more: str) -> Callable[[], Iterator[bytes]]:
    """Return what yields the same request so many times."""
    data = request("GET", target, {**HEADERS, **more})
    return lambda: (data for _ in range(count))


def provisions(offer: dict[str, str], count: int) -> Callable[[], Iterator[bytes]]:
    """Return what yields provision requests for instances that are new."""
    body = json.dumps({**offer, "organization_guid": "org", "space_guid": "space"}).encode()
    target = "/v2/service_instances/{}?accepts_incomplete=true"
    return lambda: (
        request("PUT", target.format(uuid.uuid4()), HEADERS, body) for _ in range(count)
    )


def port_of(broker: Broker) -> int:
    """Return the port of a broker."""
    return int(broker.bind.rpartition(":")[2])


def settle(sandbox: Sandbox, note: Callable[[], T]) -> T:
    """Wait until the cloud has nothing but running instances and is no longer called.

    Returns what is noted just after it was called last: what idle servers use is not counted.
    """
    before, since, noted = -1, time.monotonic(), note()
    end = since + 600
    while time.monotonic() < end:
        total = sandbox.control("GET", "counters")["total"]
        if total != before or time.monotonic() - since < LOOK:
            since = time.monotonic() if total != before else since
            before, noted = total, note()
        elif time.monotonic() - since > SETTLED:
            instances = sandbox.control("GET", "inventory")["rds"]["instances"]
            if all(one["status"] == "Running" for one in instances):
                return noted
        time.sleep(LOOK / 2)
    raise TimeoutError("The cloud is called on and on")


def prepare(broker: Broker, sandbox: Sandbox) -> tuple[bytes, bytes]:
    """Make the instance that is polled; returns the catalog, plain and compressed."""
    path = POLL.removesuffix("/last_operation")
    body = json.dumps({**RDS, "organization_guid": "org", "space_guid": "space"}).encode()
    with requests.Session() as session:
        session.headers.update({**HEADERS, "Content-Type": "application/json"})
        url = f"{broker.url}{path}?accepts_incomplete=true"
        session.put(url, data=body, timeout=30).raise_for_status()
        settle(sandbox, lambda: None)
        assert session.get(broker.url + POLL, timeout=30).json()["state"] == "succeeded"
        found = []
        for coding in ("identity", "gzip"):
            headers = {"Accept-Encoding": coding}
            answer = session.get(
                f"{broker.url}/v2/catalog", headers=headers, timeout=30, stream=True
            )
            found.append(answer.raw.read(decode_content=False))
    return found[0], found[1]


@contextlib.contextmanager
def rows(reads: int, changes: int) -> Iterator[dict[str, Row]]:
    """Start everything and return what is measured."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker, sandbox = stack.enter_context(broker_and_cloud(time_scale=0.002))
        slow_broker, slow_sandbox = stack.enter_context(broker_and_cloud(time_scale=0.002))
        slow_sandbox.control("PUT", "settings", {"latency_ms": 50})
        document, packed = prepare(broker, sandbox)
        (directory / "catalog").write_bytes(document)
        environment = {DOCUMENT: str(directory / "catalog")}
        raw, raw_process = stack.enter_context(served("raw", *WORKER))
        falcon, falcon_process = stack.enter_context(
            served("bare_falcon()", *WORKER, environment=environment)
        )
        peer, peer_process = stack.enter_context(
            served("peer()", "--workers", "2", "--worker-class", "gthread", "--threads", "8")
        )
        ours, slow = Usage(broker.process), Usage(slow_broker.process)
        clouds = Usage(sandbox.process), Usage(slow_sandbox.process)
        of_raw, of_falcon, of_peer = map(Usage, (raw_process, falcon_process, peer_process))
        port, slow_port = port_of(broker), port_of(slow_broker)
        few = reads // 4
        yield {
            FLOOR: Row(falcon, repeated("/constant", reads), reads, 200, {CPU: of_falcon}),
            "no framework, a constant": Row(
                raw, repeated("/constant", reads), reads, 200, {CPU: of_raw}
            ),
            f"Falcon, the catalog's {len(document):,} bytes": Row(
                falcon, repeated("/document", reads), reads, 200, {CPU: of_falcon}
            ),
            "openbrokerapi, 2 processes: last_operation": Row(
                peer, repeated(POLL, few), few, 200, {CPU: of_peer}
            ),
            "openbrokerapi, 2 processes, in memory: provisions": Row(
                peer, provisions(PEER, few), few, 202, {CPU: of_peer}
            ),
            "last_operation": Row(port, repeated(POLL, reads), reads, 200, {CPU: ours}),
            "catalog": Row(port, repeated("/v2/catalog", reads), reads, 200, {CPU: ours}),
            f"catalog, compressed to {len(packed):,} bytes": Row(
                port,
                repeated("/v2/catalog", reads, **{"Accept-Encoding": "gzip"}),
                reads,
                200,
                {CPU: ours},
            ),
            "provisions, durable, cloud at 0 ms": Row(
                port,
                provisions(RDS, changes),
                changes,
                202,
                {CPU: ours, CLOUD: clouds[0]},
                sandbox,
            ),
            "provisions, durable, cloud at 50 ms": Row(
                slow_port,
                provisions(RDS, changes),
                changes,
                202,
                {CPU: slow, CLOUD: clouds[1]},
                slow_sandbox,
            ),
        }


def show(console: Console, results: Results, rounds: int) -> None:
    """Print the table."""
    per_second = "per second"
    columns = (per_second, P50, P99, CPU, ETCD, CLOUD)
    table = Table("what", *columns, "of the floor")
    for row in results.measured[BETWEEN]:
        found = {
            what: statistics.median(figures[row])
            for what, figures in results.measured.items()
            if row in figures
        }
        found[per_second] = 1e6 / found[BETWEEN]
        some = [
            f"{found[one]:,.{one.endswith('ms'):d}f}" if one in found else "" for one in columns
        ]
        ratio = statistics.median(1 / one for one in results.relative(BETWEEN, row))
        table.add_row(row, *some, f"{ratio:.2f}")
    console.print(
        f"{results.machine}; {CONNECTIONS} connections, one client process on the same machine, "
        f"WEB_CONCURRENCY={os.environ.get('WEB_CONCURRENCY', '')}; medians of {rounds} alternating "
        "rounds; CPU for each request, of a provision with all that it leads to"
    )
    console.print(table)


def calls_of_many(console: Console) -> None:
    """Count the calls to the cloud when many operations are in progress at once."""
    with broker_and_cloud(time_scale=0.1) as (broker, sandbox):
        sandbox.control("DELETE", "counters")
        started = time.monotonic()
        run(port_of(broker), provisions(RDS, IN_PROGRESS), CONNECTIONS)
        seconds = settle(sandbox, time.monotonic) - started
        calls = sandbox.control("GET", "counters")
    console.print(
        f"{IN_PROGRESS} instances in progress at once: {calls['total'] / IN_PROGRESS:.2f} cloud "
        f"calls each from PUT to succeeded (goal: at most 4), all done after {seconds:.0f} s; "
        f"{calls['calls'].get('rds')}"
    )


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reads", type=int, default=10_000, help="of each kind in each round")
    parser.add_argument("--changes", type=int, default=1_000, help="of each kind in each round")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    # Wide enough for a file as well.
    console = Console(width=None if sys.stdout.isatty() else 140)
    with rows(options.reads, options.changes) as all_rows:
        chosen = {row: one for row, one in all_rows.items() if row == FLOOR or options.only in row}
        measures = {row: partial(measure, one) for row, one in chosen.items()}
        results = Results(FLOOR, alternate(measures, options.rounds))
    show(console, results, options.rounds)
    if options.json is not None:
        results.write(options.json)
    if not options.only:
        calls_of_many(console)


if __name__ == "__main__":
    main()
