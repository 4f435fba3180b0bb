"""Whether the disk under an embedded etcd has room: on a full one etcd ends, and ends again."""

import shutil
from pathlib import Path
from typing import Final

from alibroker.etcd.errors import EtcdDiskFullError

MIN_START_BYTES: Final = 256 * 2**20
"""What must be free at the first start: etcd takes half of it at once."""
MIN_FREE_BYTES: Final = 64 * 2**20
"""What must be free later: a segment of etcd's log, without which it takes no more writes."""


class Disk:
    """The disk that holds a directory of etcd's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def check(self, needed: int = MIN_FREE_BYTES) -> None:
        """Raise if fewer than `needed` bytes are free.

        Raises:
            EtcdDiskFullError: The disk is full.
        """
        free = self.free()
        if free is not None and free < needed:
            raise EtcdDiskFullError(self._directory, free, needed)

    def free(self) -> int | None:
        """Return the bytes that are free for this user; None where there is no such directory."""
        try:
            return shutil.disk_usage(self._directory).free
        except OSError:
            return None
