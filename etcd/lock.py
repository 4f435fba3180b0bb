"""The lock on a data directory: one embedded etcd at a time, also across crashes.

A second etcd on the same data neither fails nor serves: it accepts connections, hangs, and takes
over when the first one dies. So the lock is taken before etcd is started, and etcd inherits it.
"""

import fcntl
import os
from pathlib import Path


class HeldError(Exception):
    """Another process holds the lock; `holder` is what it wrote about itself."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Lock:
    """An flock, held from construction until `release` or the end of all who inherit it.

    Raises:
        HeldError: somebody else holds it.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise HeldError(holder or "unknown process") from None
        self.descriptor = descriptor

    def describe(self, holder: str) -> None:
        """Write down who holds the lock, for the message to the next one who wants it."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, holder.encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self.descriptor)
