"""How the worker process ends by its own will: orderly if it can, with an honest exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Final

log = logging.getLogger(__name__)

REPLACEABLE: Final = 1
"""The exit code after which gunicorn's master starts another worker."""
BOOT_ERROR: Final = 3
"""The exit code with which a worker tells gunicorn's master that starting another is no use."""

PATIENCE: Final = 20.0
"""Seconds that an orderly end may take: 10 for steps in flight, 5 for plugins, and some more. What
has to end for its own good may be just what an orderly end waits for."""

_exit_code = 0


def end_process(reason: str) -> None:
    """End this worker process; gunicorn starts a fresh one, which recovers from etcd."""
    log.critical("Ending this process: %s", reason)
    _end(REPLACEABLE)


def end_broker(reason: str) -> None:
    """End this worker process and gunicorn with it: whoever runs the broker starts it anew."""
    log.critical("%s", reason)
    _end(BOOT_ERROR)


def is_ending() -> bool:
    """Whether this process ends by its own will."""
    return _exit_code > 0


def exit_worker() -> None:
    """Let the worker end as was decided; gunicorn calls this last, and would say 0.

    Raises:
        SystemExit: With the code that was decided on.
    """
    if _exit_code:
        sys.exit(_exit_code)


def _end(code: int) -> None:
    global _exit_code  # noqa: PLW0603 - the exit code of a process is there once as well
    _exit_code = max(_exit_code, code)
    timer = threading.Timer(PATIENCE, _cut_off)
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)


def _cut_off() -> None:
    log.critical("This process does not end by itself: it is cut off after %.0f s", PATIENCE)
    os._exit(_exit_code)
