"""The processes that are measured, and what CPU they take."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import requests
from floors import CREDENTIALS

from alibroker.cli.processes import Broker, Process, Sandbox, free_port

HERE = Path(__file__).parent


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
                "ALIBROKER_USERNAME": CREDENTIALS[0],
                "ALIBROKER_PASSWORD": CREDENTIALS[1],
                "ALIBROKER_POLL_INTERVAL": "0.2",
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
def served(
    application: str, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Process]]:
    """Serve one of the floors with gunicorn; returns its port, and the process."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--log-level", "error"]
    command += [*options, "--bind", f"127.0.0.1:{port}", f"floors:{application}"]
    process = Process(application, command, {**os.environ, **(environment or {})}, cwd=HERE)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                requests.get(f"http://127.0.0.1:{port}/", timeout=2)
                break
            time.sleep(0.05)
        yield port, process
    finally:
        process.stop()


class Usage:
    """The CPU time that a process and those it has started have taken, etcd apart."""

    def __init__(self, process: Process) -> None:
        root = psutil.Process(process.pid)
        some = [root, *root.children(recursive=True)]
        self._etcd = [one for one in some if one.name() == "etcd"]
        self._others = [one for one in some if one not in self._etcd]

    def read(self) -> tuple[float, float]:
        """Return seconds: of all but etcd, and of etcd."""
        return _seconds(self._others), _seconds(self._etcd)


def _seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in processes)
