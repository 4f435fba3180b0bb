"""A wall clock that can be set while the process runs; Python imports this by its name at start.

The file that SHIFTED_CLOCK names holds the seconds by which the clock is wrong. As when an operator
sets a machine's clock, the monotonic one goes on as before. Only Python sees it, so gRPC, which
hands times to a library in C, is left out.
"""

from __future__ import annotations

import functools
import os
import sys
import time

_PATH = os.environ.get("SHIFTED_CLOCK", "")
_true, _gmtime, _localtime = time.time, time.gmtime, time.localtime


def _now() -> float:
    if str(sys._getframe(1).f_globals.get("__name__")).startswith("grpc"):
        return _true()
    try:
        with open(_PATH, encoding="ascii") as file:  # noqa: PTH123 - nothing else is imported yet
            return _true() + float(file.read() or 0)
    except (OSError, ValueError):
        return _true()


def _shifted_gmtime(seconds: float | None = None) -> time.struct_time:
    return _gmtime(_now() if seconds is None else seconds)


def _shifted_localtime(seconds: float | None = None) -> time.struct_time:
    return _localtime(_now() if seconds is None else seconds)


if _PATH:
    # As attributes of a class, functions would become methods; what they replace does not.
    time.time = functools.partial(_now)
    time.gmtime = functools.partial(_shifted_gmtime)
    time.localtime = functools.partial(_shifted_localtime)
