"""Logging: one line per event to standard error, for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

MINUTE: Final = 60.0

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)-8s %(name)s: %(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        "alibroker": {"level": "INFO"},
        # pykka logs the death of an actor here, and nowhere else.
        "pykka": {"level": "WARNING"},
    },
}
"""Configuration for `logging.config.dictConfig`."""


class Seldom:
    """Counts what may happen very often, so that it is said now and then: at most once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock (seconds)."""
        self._clock = clock
        self._next = 0.0
        self._times = 0

    def count(self) -> int:
        """Return how often it has happened since it was said, this time included; 0: not again."""
        self._times += 1
        if (now := self._clock()) < self._next:
            return 0
        self._next = now + MINUTE
        times, self._times = self._times, 0
        return times
