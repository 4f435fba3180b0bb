"""An etcd server of the broker's own, reachable through a unix socket on this machine only.

It is started by the process that outlives all others (gunicorn's master), which forks: so nothing
here loads gRPC or starts a thread.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from alibroker.etcd import binary as etcd_binary
from alibroker.etcd import run_directory, surroundings
from alibroker.etcd.binary import Binary
from alibroker.etcd.errors import EtcdError
from alibroker.etcd.gateway import GatewayError
from alibroker.etcd.reclaim import reclaim
from alibroker.etcd.space import MIN_FREE_BYTES, MIN_START_BYTES, Disk

_log = logging.getLogger(__name__)

QUOTA_BYTES: Final = 2 * 2**30

FORMER_PATIENCE: Final = 15.0
"""Seconds that a former keeper of the data directory may take to finish."""

_STOP_PATIENCE: Final = 8.0  # seconds; more than the keeper gives etcd
_GROWTH_BYTES: Final = 128 * 2**20


class EmbeddedEtcdError(EtcdError):
    """The embedded etcd does not run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast etcd notices that it is alone, in milliseconds; it decides how long a start takes.

    One member has no rival to lose an election to, so this may be far below etcd's defaults.
    """

    heartbeat: int = 50
    election: int = 250


class EmbeddedEtcd:
    """Starts etcd on a data directory, and keeps it for as long as this process lives.

    What lies in the data directory: `etcd/` (etcd's own), `etcd.log`, `lock`, and mostly `run/`
    (sockets). A killed etcd is restarted. Once this process is gone, however it ended, etcd ends.

    Args:
        data: the data directory; it is created if need be, and made private.
        binary: the program; found with `alibroker.etcd.binary.find` if not given.
        timing: heartbeat and election time.
        quota: bytes of the database at which etcd stops accepting writes; less on a small disk.
        patience: seconds that a former keeper of the data directory may take to finish.
    """

    def __init__(
        self,
        data: Path,
        *,
        binary: Binary | None = None,
        timing: Timing | None = None,
        quota: int = QUOTA_BYTES,
        patience: float = FORMER_PATIENCE,
    ) -> None:
        self._data = data.absolute()
        self._run = run_directory.choose(self._data, os.environ)
        self._binary = binary
        self._timing = timing or Timing()
        self._quota = quota
        self._patience = patience
        self._keeper: _Keeper | None = None

    @property
    def endpoint(self) -> str:
        """Where clients reach it: `unix:<path>`. Known before the start."""
        return f"unix:{self._run / run_directory.SOCKET}"

    @property
    def log(self) -> Path:
        """Path of etcd's log."""
        return self._data / "etcd.log"

    @property
    def keeper_pid(self) -> int | None:
        """Process id of the keeper, None before the start and after the stop."""
        return self._keeper.pid if self._keeper else None

    def begin(self) -> None:
        """Start etcd without waiting for it; `check` tells whether that has come to nothing.

        Raises:
            EmbeddedEtcdError: it cannot be started.
            EtcdDiskFullError: there is too little free space to begin with.
            EtcdNotFoundError: there is no etcd program.
            EtcdVersionError: the program's version is refused.
        """
        if self._keeper is not None:
            raise EmbeddedEtcdError("the embedded etcd has been started already")
        binary = self._binary or etcd_binary.find()
        if binary.warning:
            _log.warning("%s", binary.warning)
        try:
            run_directory.make_private(self._data)
            run_directory.make_private(self._run)
            quota = self._fitting_quota()
        except OSError as error:
            raise EmbeddedEtcdError(
                f"the data directory {self._data} cannot be used: {error}"
            ) from error
        self._keeper = _Keeper(self._data, self._run, self._patience, self._command(binary, quota))

    def start(self, *, timeout: float = 40.0) -> None:
        """Start etcd and return once it answers.

        Args:
            timeout: seconds, of which a former keeper may take `patience` and a long write-ahead
                log some more.

        Raises:
            EmbeddedEtcdError: it does not come up, or as `begin` does.
            EtcdError: as `begin` does.
        """
        self.begin()
        try:
            self._await_ready(timeout)
            reclaim(self._run / run_directory.SOCKET)
        except GatewayError as error:
            self.stop()
            raise EmbeddedEtcdError(f"the embedded etcd does not answer: {error}") from error
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise if nobody keeps etcd any more.

        Raises:
            EmbeddedEtcdError: the keeper has given up, or was killed, or was never started.
        """
        if self._keeper is None:
            raise EmbeddedEtcdError("the embedded etcd is not started")
        while self._keeper.receive(0.0) is not None:
            pass
        if self._keeper.gone:
            raise EmbeddedEtcdError(self._keeper.reason)

    def stop(self) -> None:
        """Stop etcd orderly and wait until it is gone. Idempotent; without effect in a fork."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()

    def __enter__(self) -> Self:
        """Start etcd."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop etcd."""
        self.stop()

    def _await_ready(self, timeout: float) -> None:
        assert self._keeper is not None  # noqa: S101 - for the type checker
        report = self._keeper.receive(timeout)
        if report is not None and "ready" in report:
            return
        if report is not None or self._keeper.gone:
            raise EmbeddedEtcdError(self._keeper.reason)
        raise EmbeddedEtcdError(
            f"the embedded etcd was not ready within {timeout:g} s. "
            f"The end of {self.log}:\n{self._log_tail()}"
        )

    def _log_tail(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
        except OSError as error:
            return f"({error})"

    def _fitting_quota(self) -> int:
        """Let the quota strike before the disk is full, which would end etcd.

        Raises:
            EtcdDiskFullError: there is too little free space to begin with.
        """
        disk = Disk(self._data)
        database = self._data / "etcd" / "member" / "snap" / "db"
        # One that has run before has its log already, and goes on as it would have gone on.
        disk.check(MIN_FREE_BYTES if database.exists() else MIN_START_BYTES)
        free = disk.free() or 0
        used = database.stat().st_size if database.exists() else 0
        return min(self._quota, max(used + _GROWTH_BYTES, (free + used) // 2))

    def _command(self, binary: Binary, quota: int) -> list[str]:
        # etcd 3.4 takes what follows `unix://` for a file name in its working directory, and
        # insists on a port.
        client, peer = "unix://client:0", "unix://peer:0"
        command = [
            str(binary.path),
            "--name=alibroker",
            f"--data-dir={self._data / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            # Without a peer socket etcd would listen on TCP port 2380.
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=alibroker={peer}",
            f"--heartbeat-interval={self._timing.heartbeat}",
            f"--election-timeout={self._timing.election}",
            "--logger=zap",
            "--log-outputs=stderr",
            "--log-level=warn",
            f"--quota-backend-bytes={quota}",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=10m",
        ]
        if binary.number < (3, 6, 0):
            # Before 3.6 etcd keeps 100,000 requests in memory; from there on the flag is going.
            command.append("--snapshot-count=5000")
        return command


class _Keeper:
    """The parent's end of the keeper process: a lifeline into it, and a pipe of its reports."""

    def __init__(self, data: Path, run: Path, patience: float, command: list[str]) -> None:
        self._owner = os.getpid()
        lifeline, self._lifeline = os.pipe()
        self._reports, reports = os.pipe()
        try:
            # -P: the parent's working directory is no place to import from.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [
                    *(sys.executable, "-P", "-m", "alibroker.etcd.keeper"),
                    *(str(data), str(run), str(patience), *command),
                ],
                env=surroundings.of_keeper(os.environ),
                stdin=lifeline,
                stdout=reports,
                # Ctrl-C is for the parent; etcd must outlive the requests that are being drained.
                start_new_session=True,
            )
        except OSError as error:
            self._close()
            raise EmbeddedEtcdError(f"the keeper of etcd cannot be started: {error}") from error
        finally:
            os.close(lifeline)
            os.close(reports)
        self.pid = self._process.pid
        self.gone = False
        self.reason = "the keeper of the embedded etcd was killed"
        self._received = b""
        _ALL.add(self)

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """Return the next report; None if the keeper is gone, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            patience = max(0.0, deadline - time.monotonic())
            if not select.select([self._reports], [], [], patience)[0]:
                return None
            received = os.read(self._reports, 65536)
            if not received:
                self.gone = True
                return None
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        report: dict[str, Any] = json.loads(line)
        self.reason = report.get("failed", self.reason)
        return report

    def end(self) -> None:
        """Cut the lifeline and wait for the keeper, which ends etcd first."""
        if self._owner != os.getpid():
            return
        _ALL.discard(self)
        os.close(self._lifeline)
        deadline = time.monotonic() + _STOP_PATIENCE
        # The end of the reports tells that the keeper is gone, also when somebody else (as
        # gunicorn does) has collected its exit status, after which its pid means nothing.
        while not self.gone and (left := deadline - time.monotonic()) > 0:
            self.receive(left)
        if not self.gone:
            _log.error("the keeper of etcd (process %d) does not end; it is killed", self.pid)
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._reports)
        self._process.wait()

    def leave(self) -> None:
        """Let go in a forked child, so that the lifeline is the parent's alone."""
        self._process.returncode = 0  # a child of the parent, not of this process
        self._close()

    def _close(self) -> None:
        os.close(self._lifeline)
        os.close(self._reports)


_ALL: Final["weakref.WeakSet[_Keeper]"] = weakref.WeakSet()


def _leave_all() -> None:
    for keeper in list(_ALL):
        keeper.leave()


os.register_at_fork(after_in_child=_leave_all)
