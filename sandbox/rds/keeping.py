"""One database server as a process: prepared, started, kept running, stopped, removed."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 6.0
SQL_SECONDS: Final = 15.0
_RESTARTS: Final = 20
_PAUSE_SECONDS: Final = 0.5
_log = logging.getLogger("alibroker.sandbox.servers")


class ServerError(Exception):
    """A server or its client program said no; the text has no password in it."""


@dataclass(frozen=True)
class WantedAccount:
    """An account and what it may do, as (database, privilege)."""

    name: str
    password: str = field(repr=False)
    is_super: bool
    is_locked: bool
    grants: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Wanted:
    """What a server is to hold.

    Attributes:
        reachable: Whether the allow lists let the simulated VPC in; if not, nobody can log in.
        tls: Whether connections can be encrypted; MariaDB always lets them.
    """

    databases: tuple[str, ...]
    accounts: tuple[WantedAccount, ...]
    reachable: bool
    tls: bool


class ServerKind(Protocol):
    """How servers of one engine are run. All methods may be called from any thread."""

    def prepare(self, directory: Path) -> None:
        """Make the data directory, unless it is there; called before each start."""
        ...

    def command(self, directory: Path, port: int) -> list[str]:
        """Return the server's command line."""
        ...

    def answers(self, directory: Path, port: int) -> bool:
        """Tell whether the server takes commands."""
        ...

    def apply(self, directory: Path, port: int, wanted: Wanted) -> None:
        """Bring databases, accounts and grants into the state wanted.

        Raises:
            ServerError: The server refuses.
        """
        ...

    def depend(self, directory: Path, port: int, account: str) -> bool:
        """Tell whether objects of a database depend on an account, so that it has to stay.

        Raises:
            ServerError: The server refuses.
        """
        ...


class Keeper:
    """Runs one server, in a thread of its own.

    The thread lives as long as the process: the signal that ends the server together with the
    sandbox is bound to the thread that has started it.
    """

    def __init__(
        self, kind: ServerKind, directory: Path, port: int, started: Callable[[bool], None]
    ) -> None:
        """Prepare to run; `started` is told once whether the server has come up."""
        self._thread = threading.Thread(
            target=self._run, name=f"server-{directory.name}", daemon=True
        )
        self.ready = threading.Event()
        self._kind = kind
        self._directory = directory
        self._port = port
        self._started = started
        self._ending = threading.Event()
        self._remove = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to run the server, until `end` is called."""
        self._thread.start()

    def _run(self) -> None:
        try:
            for _ in range(_RESTARTS):
                self._kind.prepare(self._directory)
                self._run_once()
                # What is left of a server that was killed needs a moment to go.
                if self._ending.wait(_PAUSE_SECONDS):
                    break
        except (ServerError, OSError):
            _log.exception("the server in %s does not start", self._directory)
        finally:
            self._tell(up=False)
            if self._remove:
                shutil.rmtree(self._directory, ignore_errors=True)

    def _run_once(self) -> None:
        with (self._directory / "server.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - a program that `find` has found
                self._kind.command(self._directory, self._port),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        self._process = process
        end = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < end:
            if self._ending.is_set():
                break
            if self._kind.answers(self._directory, self._port):
                self._tell(up=True)
                break
            self._ending.wait(0.05)
        if self._ending.is_set():
            self._stop(process)
        process.wait()

    def _tell(self, *, up: bool) -> None:
        if not self.ready.is_set():
            self._started(up)
            self.ready.set()

    def apply(self, wanted: Wanted) -> None:
        """Bring the running server into the state wanted.

        Raises:
            ServerError: The server refuses.
        """
        self._kind.apply(self._directory, self._port, wanted)

    def depend(self, account: str) -> bool:
        """Tell whether objects of a database depend on an account.

        Raises:
            ServerError: The server refuses.
        """
        return self._kind.depend(self._directory, self._port, account)

    def end(self, *, remove: bool = False) -> None:
        """Have the server ended; with `remove` at once and with all its data."""
        self._remove = remove
        self._ending.set()
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill() if remove else process.terminate()

    def join(self) -> None:
        """Wait until the server has ended, and kill it if it does not."""
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join(STOP_SECONDS)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def bound_to_us(command: list[str], *options: str) -> list[str]:
    """Return a command that is killed when the thread that starts it ends."""
    return [str(shutil.which("setpriv")), "--pdeathsig", "KILL", *options, *command]


def run(command: list[str], directory: Path, text: str = "", **variables: str) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        ServerError: It failed, or took too long; the text has its complaint, not its input.
    """
    try:
        done = subprocess.run(  # noqa: S603 - programs that `find` has found
            command,
            cwd=directory,
            input=text,
            capture_output=True,
            text=True,
            timeout=SQL_SECONDS,
            check=False,
            env=_environment() | variables,
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"{command[0]} takes too long") from None
    if done.returncode:
        complaint = done.stderr.strip().splitlines()[:1]
        if "pass" in " ".join(complaint).lower() or "identified" in " ".join(complaint).lower():
            complaint = ["a statement with a password in it was refused"]
        raise ServerError(f"{command[0]} ended with {done.returncode}: {' '.join(complaint)}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
