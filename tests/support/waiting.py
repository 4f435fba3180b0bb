"""Waiting for a condition, with a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], Any], timeout: float = 10.0, longest: float = 0.01) -> Any:
    """Return what the condition returns as soon as that is true; fail after `timeout` seconds.

    Where looking costs others something, it is looked later and later, `longest` seconds at most.
    """
    end = time.monotonic() + timeout
    pause = 0.01
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come true"
        threading.Event().wait(pause)
        pause = min(longest, 1.25 * pause)
    return value
