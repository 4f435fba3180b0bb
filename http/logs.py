"""Logging: one line per event to standard error, for people."""

from __future__ import annotations

from typing import Any

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
