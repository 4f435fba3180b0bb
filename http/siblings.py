"""Which workers accept connections at the same sockets, and which of them can answer.

Workers of one gunicorn share its sockets, as do those of its successor after SIGUSR2. They see of
each other what locks show, which end with whoever holds them, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_READY: Final = 0
_LOOKING: Final = 1
"""Bytes of a file of locks; the second keeps two who look from seeing each other's look."""


class Seat:
    """A worker's place among its siblings.

    gunicorn's master takes it before the fork, so that whoever is to end knows of whoever has just
    been started in its place. Both of them hold it until the worker leaves, or both have closed it.

    Args:
        directory: where the files lie that are locked; it is made if need be.
        address: where they listen.

    Raises:
        OSError: the files cannot be made.
    """

    def __init__(self, directory: Path, address: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", address).strip("-")
        # Of two kinds: one is of the open file, which a fork shares, the other of the process.
        self._staying_at = directory / f"{name}.staying"
        self._staying = _opened(self._staying_at)
        self._locks = _opened(directory / f"{name}.ready")
        self._ready = False
        fcntl.flock(self._staying, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Be seen to stay no longer."""
        fcntl.flock(self._staying, fcntl.LOCK_UN)

    def others_stay(self) -> bool:
        """Whether another worker is there and has not left; right only for one who has."""
        with self._looking():
            file = _opened(self._staying_at)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(file)
        return False

    def be_ready(self, ready: bool) -> None:  # noqa: FBT001 - it is all that is said
        """Be seen to be able to answer, or not to be."""
        if ready != self._ready:
            fcntl.lockf(self._locks, fcntl.LOCK_SH if ready else fcntl.LOCK_UN, 1, _READY)
            self._ready = ready

    def another_is_ready(self) -> bool:
        """Whether another worker can answer."""
        with self._looking():
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _READY)
            except OSError:
                return True
            fcntl.lockf(self._locks, fcntl.LOCK_SH if self._ready else fcntl.LOCK_UN, 1, _READY)
        return False

    def close(self) -> None:
        """Let go of it in this process: of a sibling's after a fork, of a worker's that is gone."""
        os.close(self._staying)
        os.close(self._locks)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, _LOOKING)
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _LOOKING)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
