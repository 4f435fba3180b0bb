"""Actors that fail: a new life, their work taken up again, and an end if that does not help."""

from __future__ import annotations

import collections
import threading
from typing import Any

import pytest
from commands import ask, common, ended, provision
from drawers import Drawer, DrawerBroker
from waiting import eventually

from alibroker.actors import supervisor
from alibroker.actors.dispatcher import Dispatcher
from alibroker.actors.handout import Handout
from alibroker.actors.poller import Poller
from alibroker.actors.storage import Storage
from alibroker.actors.system import BrokerSystem
from alibroker.actors.worker import Worker
from alibroker.brokers.api import Succeeded
from alibroker.lifecycle.commands import Unbind, Verdict
from alibroker.lifecycle.records import Status

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class OnceError(Exception):
    """What an actor fails with here."""


def fail_once(monkeypatch: Any, actor: type[Any], method: str) -> None:
    """Let the actor's next call of a method raise, in the middle of handling a message."""
    original = getattr(actor, method)

    def failing(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(actor, method, original)
        raise OnceError

    monkeypatch.setattr(actor, method, failing)


@pytest.mark.parametrize(
    ("actor", "method"),
    [
        (Storage, "_flush"),
        (Storage, "_apply"),
        (Handout, "one"),
        (Dispatcher, "receive"),
        (Worker, "receive"),
        (Worker, "_run"),
        (Poller, "_look"),
        (Poller, "_observe"),
    ],
)
def test_accepted_work_survives_the_failure_of_any_actor(
    system: BrokerSystem, drawer: Drawer, monkeypatch: Any, actor: type[Any], method: str
) -> None:
    for number in range(20):
        parameters = {"slow": 0.5} if number % 2 else {}
        answer = ask(system, provision(f"i{number}", parameters=parameters))
        assert answer.verdict is Verdict.STARTED

    fail_once(monkeypatch, actor, method)
    system.submit(provision("late"))

    for number in range(20):
        assert ended(system, f"i{number}").status is Status.READY
    assert drawer.things.keys() - {"late"} == {f"i{number}" for number in range(20)}
    system.wait_until_ready(10)
    assert ask(system, provision("after", accepts_incomplete=False)).verdict is Verdict.ENDED


def test_a_defect_of_a_plugin_does_not_end_the_operation(
    system: BrokerSystem, monkeypatch: Any
) -> None:
    ask(system, provision("i1", parameters={"defect": True}))
    tried = eventually(
        lambda: (found := system.view.instance("i1")) and found.operation.tries > 0 and found
    )
    assert "KeyError" not in tried.operation.description
    monkeypatch.setattr(DrawerBroker, "provision", lambda *_: Succeeded())
    assert ended(system, "i1").status is Status.READY


def test_a_busy_cloud_is_tried_again(system: BrokerSystem, drawer: Drawer) -> None:
    ask(system, provision("i1", parameters={"busy": 2}))
    assert ended(system, "i1").status is Status.READY
    assert drawer.calls.count(("provision", "i1")) == 4


def test_an_actor_that_fails_again_and_again_ends_the_process(
    system: BrokerSystem, monkeypatch: Any
) -> None:
    def failing(*_: Any) -> None:
        raise OnceError

    monkeypatch.setattr(supervisor, "INTENSITY", 2)
    monkeypatch.setattr(Poller, "_look", failing)
    monkeypatch.setattr(Poller, "receive", failing)
    reason = eventually(lambda: system.gave_up)
    assert "poller drawer" in reason
    assert any("gave up" in problem for problem in system.problems())


@pytest.mark.parametrize(
    ("restarts", "pause"),
    [([], 0.0), ([90.0], 0.2), ([90.0, 91.0], 0.4), ([10.0, 20.0], 0.0), ([95.0] * 5, None)],
)
def test_the_pause_before_a_restart(restarts: list[float], pause: float | None) -> None:
    assert supervisor.pause_before_restart(collections.deque(restarts), 100.0) == pause


def test_no_thread_is_left_after_a_stop(make_system: Any) -> None:
    before = threading.active_count()
    system = make_system()
    ask(system, provision("i1", accepts_incomplete=False))
    assert ask(system, Unbind(binding_id="b", **common("i1"))).verdict is Verdict.GONE
    system.stop()
    eventually(lambda: threading.active_count() <= before)
