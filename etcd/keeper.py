"""The process that keeps an embedded etcd alive for as long as its parent lives.

`python -m alibroker.etcd.keeper <data directory> <run directory> <patience> <etcd command>`, which
`alibroker.etcd.embedded` starts with a pipe as standard input. When that pipe ends, be it that the
parent closed it or was killed, the keeper stops etcd and exits; no signal but SIGKILL ends it
before. It is a process and not a thread because its parent, gunicorn's master, forks and reaps
every child; and it imports only the standard library because the broker waits for it. It never
deletes data.

It answers with one JSON line on its standard output: {"ready": <pid of etcd>} or {"failed": <why>}.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from alibroker.etcd import gateway, surroundings
from alibroker.etcd.errors import EtcdDiskFullError
from alibroker.etcd.lock import HeldError, Lock
from alibroker.etcd.space import Disk

STOP_PATIENCE: Final = 1.0
"""Seconds between SIGTERM and SIGKILL. etcd takes milliseconds, unless clients follow it: then it
waits for them, while they wait for the next one. To kill it loses nothing that it has answered."""
QUICK_DEATH: Final = 10.0  # seconds; an etcd that dies sooner has something wrong
QUICK_DEATHS: Final = 30  # in a row, after which to give up
STILLBIRTHS: Final = 5  # the same, of those that have never answered
LOG_BYTES: Final = 8 * 2**20

_PROBE: Final = 0.02
_LONGEST_PAUSE: Final = 2.0
_LOG_CHECK: Final = 30.0
_SOCKETS: Final = ("client:0", "peer:0")
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)

_MEANINGS: Final = {
    1: "a full disk, a damaged write-ahead log or a wrong flag",
    2: "a damaged database or a wrong flag",
    -signal.SIGKILL: "it was killed, perhaps for want of memory",
}


class _Stop(Exception):  # noqa: N818 - not an error: the parent is gone, or asks for the end
    pass


class _GiveUpError(Exception):
    pass


class Keeper:
    """Holds the lock, runs etcd, restarts it when it dies, and ends it when it is time."""

    def __init__(self, data: Path, run: Path, patience: float, command: list[str]) -> None:
        self._patience = patience
        self._data = data
        self._run = run
        self._command = command
        self._log = data / "etcd.log"
        self._disk = Disk(data)
        self._waker, wakened = socket.socketpair()
        self._waker.setblocking(False)
        wakened.setblocking(False)
        self._wakened = wakened
        self._stopping = False
        self._reported = False

    def main(self) -> int:
        """Keep etcd until the parent is gone; return the exit code."""
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Whoever stops the broker may send this to all of its processes at once, as systemd does by
        # default; but the parent still stores what it has under way. What is handled and not
        # ignored here is not ignored by etcd either, which is started again while it is needed.
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            self._keep(self._take_lock())
        except _Stop:
            return 0
        except (_GiveUpError, OSError) as error:
            self._report({"failed": str(error)})
            return 1

    def _take_lock(self) -> Lock:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                lock = Lock(self._data / "lock")
            except HeldError as error:
                if time.monotonic() > deadline:
                    raise _GiveUpError(
                        f"the data directory {self._data} is in use by another broker "
                        f"({error.holder}); stop that one, or give this one a directory of its own"
                    ) from None
            else:
                lock.describe(f"keeper process {os.getpid()}")
                return lock
            self._sleep(0.05)

    def _keep(self, lock: Lock) -> NoReturn:
        deaths = stillbirths = 0
        while True:
            started = time.monotonic()
            etcd = self._start(lock)
            try:
                with contextlib.suppress(OSError):  # of a full disk
                    lock.describe(f"keeper process {os.getpid()}, etcd process {etcd.pid}")
                answered = self._watch(etcd)
            finally:
                self._stop(etcd)
            deaths = deaths + 1 if time.monotonic() - started < QUICK_DEATH else 1
            self._note(f"etcd ended with exit code {etcd.returncode}")
            if self._is_starved():
                # Nothing that trying less often would mend: what was read is served meanwhile.
                deaths = stillbirths = 0
                self._sleep(_LONGEST_PAUSE)
                continue
            # One that is killed before it was seen to answer says nothing about the next.
            stillbirths = 0 if answered else stillbirths + 1
            if deaths >= QUICK_DEATHS or stillbirths >= STILLBIRTHS:
                raise _GiveUpError(self._last_words(deaths, etcd.returncode))
            # The first restart is immediate: every moment without a store is felt.
            self._sleep(min(0.05 * 2 ** (deaths - 1), _LONGEST_PAUSE) if deaths > 1 else 0.0)

    def _is_starved(self) -> bool:
        """Tell whether etcd has run before, and the disk is full now.

        Raises:
            _GiveUpError: it is full, and etcd has never answered.
        """
        try:
            self._disk.check()
        except EtcdDiskFullError as error:
            if not self._reported:
                raise _GiveUpError(str(error)) from error
            return True
        return False

    def _start(self, lock: Lock) -> "subprocess.Popen[bytes]":
        # What kill -9 leaves behind; removing the sockets of a living etcd would be fatal, but
        # that one would hold the lock.
        for name in _SOCKETS:
            (self._run / name).unlink(missing_ok=True)
        self._limit_log()
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the command comes from the broker itself
                self._command,
                cwd=self._run,
                env=_environment(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # An etcd that outlives its keeper keeps the data directory locked.
                pass_fds=(lock.descriptor,),
                preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - this process has one thread
            )

    def _watch(self, etcd: "subprocess.Popen[bytes]") -> bool:
        """Wait until etcd ends by itself; tell whether it has ever answered."""
        answered = False
        while etcd.poll() is None:
            if answered:
                self._sleep(_LOG_CHECK)
                self._limit_log()
            elif gateway.answers(self._run / _SOCKETS[0], timeout=0.5):
                answered = True
                if not self._reported:
                    self._report({"ready": etcd.pid})
                    self._reported = True
            else:
                self._sleep(_PROBE)
        return answered

    def _stop(self, etcd: "subprocess.Popen[bytes]") -> None:
        if etcd.poll() is not None:
            return
        etcd.terminate()
        try:
            etcd.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            etcd.kill()
            etcd.wait()

    def _sleep(self, seconds: float) -> None:
        """Sleep until a signal comes or the time is over; raise when it is time to end."""
        readable, _, _ = select.select([sys.stdin, self._wakened], [], [], seconds)
        if self._wakened in readable:
            self._wakened.recv(4096)
        if self._stopping or (sys.stdin in readable and not os.read(sys.stdin.fileno(), 4096)):
            raise _Stop

    def _limit_log(self) -> None:
        # etcd appends, so that it goes on at the new end of the file.
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            with contextlib.suppress(OSError):  # of a full disk, where less is all the better
                shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
            os.truncate(self._log, 0)

    def _note(self, text: str) -> None:
        line = json.dumps({"level": "warn", "ts": time.time(), "msg": text}) + "\n"
        # A full disk has no room for it, and is told of in other ways.
        with contextlib.suppress(OSError), self._log.open("a") as log:
            log.write(line)

    def _last_words(self, deaths: int, code: int) -> str:
        meaning = _MEANINGS.get(code, "see its log")
        lines = self._log.read_text(errors="replace").splitlines()[-12:]
        return (
            f"etcd ended {deaths} times in a row, at last with exit code {code} ({meaning}). "
            f"Nothing was deleted; docs/etcd.md says what to do. The end of {self._log}:\n"
            + "\n".join(lines)
        )

    def _report(self, message: dict[str, Any]) -> None:
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except OSError:
            # The parent is gone, which the pipe on standard input says as well.
            self._stopping = True


def _environment(command: list[str]) -> dict[str, str]:
    environment = surroundings.of_etcd(os.environ)
    if os.uname().machine in {"aarch64", "arm64"} and command:
        # etcd 3.4 refuses to start on arm64 without this; later versions do not care.
        environment["ETCD_UNSUPPORTED_ARCH"] = "arm64"
    return environment


def _die_with(keeper: int) -> None:
    """Let the kernel kill etcd together with the keeper (Linux; prctl(2))."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)


if __name__ == "__main__":
    _data, _run, _patience, *_command = sys.argv[1:]
    sys.exit(Keeper(Path(_data), Path(_run), float(_patience), _command).main())
