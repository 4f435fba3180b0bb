"""How processes of one machine show each other that they live: a lock ends with its process.

A lease outlives a process that was killed by some seconds. Whoever shares its data directory need
not wait for them.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Presence:
    """A file that is locked for as long as this process lives.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / name
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def end(self) -> None:
        """Be seen to live no more."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    @staticmethod
    def has_ended(directory: Path, name: str) -> bool:
        """Whether a process is known to have ended; of one elsewhere that is not known."""
        try:
            file = os.open(directory / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(file)
        return True

    @staticmethod
    def forget(directory: Path, name: str) -> None:
        """Remove the file of a process that has ended."""
        (directory / name).unlink(missing_ok=True)
