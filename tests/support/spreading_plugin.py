"""Spreads the tests over processes: begins with what takes longest, and keeps all of them busy.

Most tests wait: for a process to start, for a clock, for an answer that is late by intent. So there
are more processes than cores. What shares an expensive fixture stays in one process: a module, or,
where a module takes long by itself, each of its parts, which have a fixture of their own each.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any
from zlib import crc32

import pytest
from xdist.scheduler import LoadScopeScheduling

PER_CORE = 3
MOST = 16

LONGEST = {
    "faults/test_laboratory.py": 2,
    "faults/test_replica_laboratory.py": 1,
    "system/test_bad_plugins.py": 1,
    "system/test_crashes.py": 5,
    "system/test_rds_databases.py": 1,
    "faults/test_boundaries.py": 1,
    "faults/test_store_trouble.py": 2,
    "faults/test_clock.py": 2,
    "brokers/test_oss_errors.py": 3,
    "brokers/test_rds_faults.py": 3,
    "system/test_run.py": 1,
    "system/test_histories.py": 1,
    "conformance/test_own_broker.py": 2,
    "conformance/test_rules.py": 1,
    "brokers/test_rds.py": 2,
}
"""Modules that take most of a minute or more, and into how many parts they go."""


def module_of(path: PurePath | str) -> str:
    """Return a module as it is called above."""
    return "/".join(PurePath(path).parts[-2:])


class Spreading(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Gives processes modules, or parts of them, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        """Return what is kept together; the same in each run, so that a failure can be repeated."""
        path = nodeid.partition("::")[0]
        parts = LONGEST.get(module_of(path), 1)
        return f"{path} {crc32(nodeid.encode()) % parts}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spreading:
    """Spread as it is said above."""
    return Spreading(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` means."""
    return min(MOST, PER_CORE * len(os.sched_getaffinity(0)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: begun last, it would keep one process busy, and no other.

    The order is otherwise as random as it was.
    """
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(module_of(item.path), len(rank)))
