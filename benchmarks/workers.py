"""What a second worker gains, and what replicas cost one that is alone: in alternating rounds.

With `--before` another tree of the project, with a `.venv` of its own, is measured beside. Where
client, workers and etcd share few cores, a second worker has nothing to run on: then the CPU that a
request takes says more than how many are answered in a second.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import requests
from floors import CREDENTIALS
from results import Results, alternate
from rich.console import Console
from run import POLL, RDS, Row, measure, provisions, repeated, show
from servers import Usage

from alibroker.cli.processes import ROOT, Process, Sandbox, free_port


@contextlib.contextmanager
def broker(tree: Path, workers: int, sandbox: Sandbox) -> Iterator[tuple[int, Usage]]:
    """Run the broker of a tree; returns its port and what it uses."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="alibroker-bench-") as directory:
        environment = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            **sandbox.settings(),
            "ALIBROKER_BIND": f"127.0.0.1:{port}",
            "ALIBROKER_NAME": f"bench-{port}",
            "ALIBROKER_REGION": "cn-hangzhou",
            "ALIBROKER_DATA_DIR": f"{directory}/data",
            "ALIBROKER_USERNAME": CREDENTIALS[0],
            "ALIBROKER_PASSWORD": CREDENTIALS[1],
            "ALIBROKER_POLL_INTERVAL": "0.2",
            "ALIBROKER_CLOUD_RATE": "unlimited",
            "ALIBROKER_MAX_OPERATIONS": "1000000",
        }
        command = [str(tree / ".venv/bin/gunicorn"), "--workers", str(workers)]
        with (Path(directory) / "broker.log").open("wb") as log:
            process = Process("the broker", command, environment, cwd=tree, stderr=log)
        try:
            _make_instance(f"http://127.0.0.1:{port}", Path(directory) / "broker.log", workers)
            yield port, Usage(process)
        finally:
            process.stop()


def _make_instance(url: str, log: Path, workers: int) -> None:
    """Make the instance that is polled, once all workers are ready."""
    end = time.monotonic() + 120
    while log.read_text().count("Ready: ") < workers:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    with requests.Session() as session:
        session.auth = CREDENTIALS
        session.headers["X-Broker-API-Version"] = "2.17"
        path = POLL.removesuffix("/last_operation")
        body = {**RDS, "organization_guid": "o", "space_guid": "s"}
        provision = f"{url}{path}?accepts_incomplete=true"
        session.put(provision, json=body, timeout=30).raise_for_status()
        while session.get(url + POLL, timeout=30).json()["state"] != "succeeded":
            time.sleep(0.1)


@contextlib.contextmanager
def rows(before: Path | None, reads: int, changes: int, latency: int) -> Iterator[dict[str, Row]]:
    """Start everything and return what is measured.

    With a latency of the cloud, in milliseconds, what the provisions lead to is not waited for.
    """
    key = ("LTAIbench", secrets.token_urlsafe(24))
    options = ("--time-scale", "0.002", "--instance-quota", "1000000", "--data-planes", "off")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = Sandbox(directory / "sandbox", key=key, options=options)
        stack.callback(sandbox.process.stop)
        brokers = {"1 worker": (ROOT, 1), "2 workers": (ROOT, 2)}
        if before is not None:
            brokers["before"] = (before, 1)
        found = {}
        for name, (tree, workers) in brokers.items():
            port, usage = stack.enter_context(broker(tree, workers, sandbox))
            uses = {"CPU us of the server": usage}
            found[f"last_operation, {name}"] = Row(port, repeated(POLL, reads), reads, 200, uses)
            cloud = None if latency else sandbox
            found[f"provisions, {name}"] = Row(
                port, provisions(RDS, changes), changes, 202, uses, cloud
            )
        sandbox.control("PUT", "settings", {"latency_ms": latency})
        yield found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another tree")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reads", type=int, default=5_000, help="in each round")
    parser.add_argument("--changes", type=int, default=500, help="in each round")
    parser.add_argument("--latency", type=int, default=0, help="of the cloud, in milliseconds")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    with rows(options.before, options.reads, options.changes, options.latency) as found:
        floor = f"{options.only or 'last_operation'}, 1 worker"
        chosen = {row: one for row, one in found.items() if options.only in row or row == floor}
        measures = {row: partial(measure, one) for row, one in chosen.items()}
        results = Results(floor, alternate(measures, options.rounds))
    show(Console(width=140), results, options.rounds)
    if options.json is not None:
        results.write(options.json)


if __name__ == "__main__":
    main()
