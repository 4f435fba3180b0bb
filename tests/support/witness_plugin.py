"""Lets the witness judge what each test has sent to sandboxes, and was answered.

At the end it says how much that was. Where all tests of the brokers were run and passed, what was
never sent or read, though their code can, is a failure; where all of the sandbox were run as well,
so is what it never answered.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import broker_calls
import pytest
from eavesdropper import Eavesdropper
from witness import Witness


class Court:
    """What one process knows; that of the controller knows what its workers do.

    Attributes:
        whole: The folders all of whose tests are run.
        partly: Those of which some are left out.
        missing: What was never witnessed in whole ones.
    """

    def __init__(self, journal: Path) -> None:
        self.witness = Witness(journal)
        self.brokers = Eavesdropper()
        self.seconds = 0.0
        self.whole: set[str] = set()
        self.partly: set[str] = set()
        self.missing: list[str] = []

    def hear(self, item: pytest.Item) -> list[str]:
        """Return what is wrong with what happened since the last time."""
        began = time.perf_counter()
        refusals = item.get_closest_marker("refusals") is not None
        found = self.witness.complaints(refusals=refusals)
        if item.get_closest_marker("unjudged") is None:
            found += self.brokers.complaints()
        else:
            found.clear()
            self.brokers.forget()
        self.seconds += time.perf_counter() - began
        return found

    def dump(self) -> dict[str, Any]:
        """Return it as plain lists, for another process."""
        return {
            "lines": self.witness.lines,
            "seconds": self.seconds,
            "whole": sorted(self.whole),
            "judged": self.witness.judged.dump(),
            "answered": self.brokers.answered.dump(),
            "read": self.brokers.read.dump(),
        }

    def merge(self, dumped: dict[str, Any]) -> None:
        """Add what another process has dumped; all of them have collected the same tests."""
        self.witness.lines += dumped["lines"]
        self.seconds += dumped["seconds"]
        self.whole |= set(dumped["whole"])
        self.witness.judged.merge(dumped["judged"])
        self.brokers.answered.merge(dumped["answered"])
        self.brokers.read.merge(dumped["read"])

    def close(self) -> None:
        """See what is missing."""
        if "brokers" in self.whole:
            self.missing += self.brokers.missing()
        if {"brokers", "sandbox"} <= self.whole:
            answered = self.witness.judged.parameters
            self.missing += (
                f"the sandbox never answered {action} of {product}"
                for product, action in sorted(_sandbox_actions() - answered.keys())
            )

    def lines(self) -> Iterator[str]:
        """Yield what is to be said at the end."""
        if self.witness.lines:
            yield (
                f"{self.witness.lines} different calls held against the vendor's models in "
                f"{self.seconds:.1f} s: {self.witness.judged}"
            )
        if "brokers" in self.whole:
            actions, fields = broker_calls.actions(), broker_calls.fields()
            answered = self.brokers.answered.parameters
            sent = sum(len(names & answered.get(one, set())) for one, names in actions.items())
            read = sum(len(some & self.brokers.names_read(one)) for one, some in fields.items())
            yield (
                "of what the brokers can send and read, the vendor's models witnessed "
                f"{len(actions.keys() & answered.keys())} of {len(actions)} actions, "
                f"{sent} of {sum(map(len, actions.values()))} parameters, "
                f"{read} of {sum(map(len, fields.values()))} fields"
            )


_COURT = pytest.StashKey[Court]()


def pytest_configure(config: pytest.Config) -> None:
    """Have all sandboxes that this process starts write one journal."""
    directory = tempfile.TemporaryDirectory(prefix="alibroker-witness-")
    config.add_cleanup(directory.cleanup)
    journal = Path(directory.name) / "journal"
    os.environ["SANDBOX_JOURNAL"] = str(journal)
    config.stash[_COURT] = Court(journal)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember what is not run; nobody expects soak tests."""
    for item in items:
        if item.get_closest_marker("soak") is None:
            item.config.stash[_COURT].partly.add(item.path.parent.name)


def pytest_collection_finish(session: pytest.Session) -> None:
    """See which folders are run whole."""
    court = session.config.stash[_COURT]
    only_listed = session.config.option.collectonly
    if only_listed or any("::" in argument for argument in session.config.args):
        return
    collected = {item.path for item in session.items}
    for name in {"brokers", "sandbox"} - court.partly:
        if set((Path(__file__).parents[1] / name).glob("test_*.py")) <= collected:
            court.whole.add(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[Any]:
    item.config.stash[_COURT].brokers.listen()
    return (yield)


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
    if complaints := item.config.stash[_COURT].hear(item):
        listed = "\n  ".join(complaints)
        pytest.fail(f"The vendor's models disagree:\n  {listed}", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist knows; one that has crashed says nothing."""
    if (dumped := getattr(node, "workeroutput", {}).get("court")) is not None:
        node.config.stash[_COURT].merge(dumped)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Hand over what is known to the controller; fail if something was never witnessed."""
    court = session.config.stash[_COURT]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["court"] = court.dump()
    elif exitstatus == pytest.ExitCode.OK:
        court.close()
        if court.missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how much was judged."""
    court = config.stash[_COURT]
    for line in court.lines():
        terminalreporter.write_line(line)
    if court.missing:
        terminalreporter.section("never witnessed", red=True)
        for line in court.missing:
            terminalreporter.write_line(line)


def _sandbox_actions() -> set[broker_calls.Action]:
    # Imported when wanted, at the end of a whole run.
    products = (
        getattr(importlib.import_module(f"alibroker.sandbox.{module}"), name)
        for module, name in (
            ("rds.product", "RDS"),
            ("ram.product", "RAM"),
            ("sts", "STS"),
            ("vpc", "VPC"),
        )
    )
    routes = importlib.import_module("alibroker.sandbox.oss.routing")._ROUTES
    return {(one.name, action) for one in products for action in one.actions} | {
        ("oss", operation.name) for operation in routes.values()
    }
