"""Gives freed memory back to the system where glibc would keep it for later.

It keeps what lies between pieces that are still in use, and after a flood of large requests that is
most of what they took. Looking for it takes milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import Any, Final

MANY: Final = 100
"""Connections that have ended, after which it is worth looking."""
PAUSE: Final = 3.0
"""Seconds until then: more will have ended."""


class Freed:
    """Counts what has been let go of, and has it given back when it is much."""

    def __init__(self) -> None:
        self._ended = 0
        # There is none in other C libraries, which do not keep as much.
        self._trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def one_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count a connection that has ended."""
        self._ended += 1
        if self._ended == MANY and self._trim is not None:
            loop.call_later(PAUSE, self._give_back)

    def _give_back(self) -> None:
        self._ended = 0
        self._trim(0)
