"""The sandbox and the broker as processes on this machine: started, waited for, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import requests

from alibroker.etcd.lock import Lock

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "gunicorn.conf.py"

OSS_ENDPOINT = "ALIBROKER_OSS_ENDPOINT"
START_TIMEOUT = 90.0
STOP_TIMEOUT = 45.0


class StartError(Exception):
    """A process did not come up; the text says what is known."""


class Process:
    """A child process that ends with this one, whatever ends this one.

    Until it has ended it holds `lock`, so that others can tell that it has.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        stderr: IO[bytes] | None = None,
        lock: Lock | None = None,
    ) -> None:
        self.name = name
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        # A session of its own: Ctrl-C reaches this process alone, which then stops all in order.
        self._popen = subprocess.Popen(  # noqa: S603 - our own programs
            [*guard, *command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            pass_fds=(lock.descriptor,) if lock else (),
        )
        self.first_line: str = ""
        self._said = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        return self._popen.poll()

    def wait_for_line(self, timeout: float = START_TIMEOUT) -> str:
        """Return the first line that the process wrote to its standard output.

        Raises:
            StartError: There was none within `timeout` seconds.
        """
        if not self._said.wait(timeout) or not self.first_line:
            raise StartError(f"{self.name} does not start; see what it wrote above")
        return self.first_line

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End it in an orderly way, or, after `timeout` seconds, in another."""
        if self._popen.poll() is None:
            self._popen.terminate()
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._popen.kill()
        self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def wait(self) -> int:
        """Wait until it ends and return its exit code."""
        return self._popen.wait()

    def _listen(self) -> None:
        stream = self._popen.stdout
        if stream is None:
            return
        self.first_line = stream.readline().decode(errors="replace").strip()
        self._said.set()
        for _ in stream:
            pass  # an unread pipe would stop the process one day
        stream.close()


class Sandbox:
    """The local Alibaba Cloud as a process."""

    def __init__(
        self,
        data_dir: Path,
        *,
        key: tuple[str, str],
        port: int = 0,
        options: tuple[str, ...] = (),
        stderr: IO[bytes] | None = None,
        lock: Lock | None = None,
    ) -> None:
        self.key = key
        command = [sys.executable, "-m", "alibroker.sandbox", "--port", str(port)]
        environment = {
            **_bare_environment(),
            "SANDBOX_ACCESS_KEY_ID": key[0],
            "SANDBOX_ACCESS_KEY_SECRET": key[1],
        }
        command += ["--data-dir", str(data_dir), *options]
        self.process = Process("the sandbox", command, environment, stderr=stderr, lock=lock)
        self.url: str = json.loads(self.process.wait_for_line())["url"]

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Talk to the control API and return the JSON that it answers."""
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def settings(self) -> dict[str, str]:
        """Return the environment that makes a broker use it."""
        return {
            "ALIBROKER_CLOUD_ENDPOINT": self.url,
            # As on a machine in the region; the public endpoint serves no objects.
            OSS_ENDPOINT: "internal",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": self.key[0],
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self.key[1],
        }


class Broker:
    """The broker under gunicorn as a process."""

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        stderr: IO[bytes] | None = None,
        lock: Lock | None = None,
    ) -> None:
        self.bind = settings["ALIBROKER_BIND"]
        self.url = f"http://{self.bind}"
        command = [sys.executable, "-m", "gunicorn", "--config", str(CONFIG)]
        environment = {**_bare_environment(), **settings}
        self.process = Process(
            "the broker", command, environment, cwd=ROOT, stderr=stderr, lock=lock
        )

    def wait_until_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until it takes changes.

        Raises:
            StartError: It has ended, or is not ready after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.returncode is not None:
                raise StartError("the broker has ended; see what it wrote above")
            try:
                if requests.get(f"{self.url}/readyz", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise StartError(f"the broker is not ready after {timeout:.0f} seconds")


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _bare_environment() -> dict[str, str]:
    """Return the environment without proxies: everything started here talks to this machine."""
    return {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
