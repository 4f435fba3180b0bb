"""Lets the witness judge what each test has sent to sandboxes, and was answered."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from witness import Witness

_WITNESS = pytest.StashKey[Witness]()
_SPENT = pytest.StashKey[list[float]]()


def pytest_configure(config: pytest.Config) -> None:
    """Have all sandboxes that this process starts write one journal."""
    directory = tempfile.TemporaryDirectory(prefix="alibroker-witness-")
    config.add_cleanup(directory.cleanup)
    journal = Path(directory.name) / "journal"
    os.environ["SANDBOX_JOURNAL"] = str(journal)
    config.stash[_WITNESS] = Witness(journal)
    config.stash[_SPENT] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    result = yield
    _hear(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[Any]:
    result = yield
    _hear(item)
    return result


def _hear(item: pytest.Item) -> None:
    began = time.perf_counter()
    refusals = item.get_closest_marker("refusals") is not None
    complaints = item.config.stash[_WITNESS].complaints(refusals=refusals)
    item.config.stash[_SPENT].append(time.perf_counter() - began)
    if complaints and item.get_closest_marker("unjudged") is None:
        listed = "\n  ".join(complaints)
        pytest.fail(f"The vendor's models disagree:\n  {listed}", pytrace=False)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how much was judged; with several processes each knows only its own part."""
    if lines := config.stash[_WITNESS].lines:
        seconds = sum(config.stash[_SPENT])
        terminalreporter.write_line(
            f"{lines} different calls held against the vendor's models in {seconds:.1f} s"
        )
