"""Room for open files: clients may not take what store, cloud and databases are reached with."""

from __future__ import annotations

import logging
import resource
from typing import Final

log = logging.getLogger(__name__)

ENOUGH: Final = 65_536
"""Open files beyond which nothing is gained."""
FOR_OTHERS: Final = 256
"""Open files that are kept for everything but clients' connections."""


def most_connections(wanted: int) -> int:
    """Return how many connections this process can have at once, at most `wanted`.

    The soft limit on open files is often 1024, for programs that were made long ago, and may be
    raised to the hard one by anybody; it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft == resource.RLIM_INFINITY:
        return wanted
    most = min(wanted, max(soft - FOR_OTHERS, soft // 2))
    if most < wanted:
        log.warning(
            "At most %d connections at once, not %d: this process may have %d open files only "
            "(ulimit -n; LimitNOFILE of systemd)",
            most,
            wanted,
            soft,
        )
    return most
