"""The broker as a deployment starts it, but with the plugin in memory; gunicorn loads this."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from drawers import Drawer, DrawerBroker
from waiting import eventually

from alibroker.actors import quarantine
from alibroker.brokers.contract import checked
from alibroker.brokers.loading import Loaded
from alibroker.cli.processes import CONFIG, ROOT, free_port
from alibroker.http import app, connections, receiving

GUNICORN = Path(sys.executable).with_name("gunicorn")
"""Not as a module: then it could not start its successor (SIGUSR2)."""
USER = ("platform", "pass:word")
OPERATOR = ("operator", "looks-after-it")
BODY_TIMEOUT = 3.0
HEADER_TIMEOUT = 4.0
"""Seconds; the broker's own are many."""


def get_app() -> Any:
    """Return the application as the environment configures it, over the plugin in memory."""
    quarantine.GROWTH = 2.0  # type: ignore[misc]
    receiving.BODY_TIMEOUT = BODY_TIMEOUT  # type: ignore[misc]
    connections.HEADER_TIMEOUT = HEADER_TIMEOUT  # type: ignore[misc]
    app.load_brokers = lambda *_, **__: Loaded((checked(DrawerBroker(Drawer())),))
    return app.get_app()


class DrawerServer:
    """A gunicorn with its own asgi worker, and the broker in it."""

    def __init__(self, popen: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.popen = popen
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def worker(self) -> psutil.Process:
        """Return gunicorn's worker process."""
        (found,) = (
            child
            for child in psutil.Process(self.popen.pid).children()
            if "alibroker.etcd.keeper" not in child.cmdline()
        )
        return found


@contextmanager
def drawer_server(
    directory: Path, *options: str, until: str = "Ready: ", **settings: str
) -> Iterator[DrawerServer]:
    """Run a server until the block ends.

    Args:
        directory: where its data and its log lie.
        options: more options of gunicorn.
        until: what its log has to say before the block begins; empty: nothing, and it may have
            ended by itself.
        settings: more settings of the broker.
    """
    port = free_port()
    log = directory / "gunicorn.log"
    environment = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "ALIBROKER_BIND": f"127.0.0.1:{port}",
        "ALIBROKER_DATA_DIR": str(directory / "data"),
        "ALIBROKER_USERNAME": USER[0],
        "ALIBROKER_PASSWORD": USER[1],
        "ALIBROKER_OPERATOR_USERNAME": OPERATOR[0],
        "ALIBROKER_OPERATOR_PASSWORD": OPERATOR[1],
        **settings,
    }
    here = str(Path(__file__).parent)
    command = [str(GUNICORN), "--config", str(CONFIG), "--pythonpath", here]
    with log.open("wb") as stream:
        popen = subprocess.Popen(
            [*command, *options, "drawer_app:get_app()"], cwd=ROOT, env=environment, stderr=stream
        )
    server = DrawerServer(popen, port, log)
    try:
        eventually(lambda: until in log.read_text() or popen.poll() is not None, timeout=60)
        assert not until or popen.poll() is None, log.read_text()
        yield server
    finally:
        # Not SIGTERM: that waits for requests, and a test may have left some.
        popen.send_signal(signal.SIGINT)
        popen.wait(60)
