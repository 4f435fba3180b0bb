"""Who may reach a new instance: the addresses of its own VPC, never the internet."""

from __future__ import annotations

import threading
import time
from typing import Final

from alibroker.brokers.rds.calls import RdsCalls

NOBODY: Final = "127.0.0.1"
_FRESH: Final = 600.0  # seconds; a VPC's ranges hardly ever change


class Networks:
    """Remembers the address ranges of VPCs. Thread-safe."""

    def __init__(self, calls: RdsCalls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, str]] = {}

    def allow_list(self, vpc_id: str) -> str:
        """Return a SecurityIPList: the ranges of the VPC, or nobody if there is none.

        Raises:
            CloudError: The VPC's ranges are not known and cannot be read.
        """
        if not vpc_id:
            return NOBODY
        now = time.monotonic()
        with self._lock:
            read_at, value = self._known.get(vpc_id, (0.0, ""))
        if not value or now - read_at > _FRESH:
            value = ",".join(self._calls.vpc_blocks(vpc_id)) or NOBODY
            with self._lock:
                self._known[vpc_id] = (now, value)
        return value
