"""The actor system as a whole, over the real etcd."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from commands import ask, common, ended, provision
from drawers import Drawer
from waiting import eventually

from alibroker.actors import system as system_module
from alibroker.actors.system import BrokerSystem
from alibroker.actors.ticker import Ticker
from alibroker.lifecycle.commands import Bind, Deprovision, Unbind, Verdict
from alibroker.lifecycle.records import OperationState, Status


def test_a_start_waits_for_no_tick(make_system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_module, "Ticker", functools.partial(Ticker, interval=3600.0))
    assert make_system(wait=True).problems() == []


def test_a_whole_life_asynchronously(system: BrokerSystem, drawer: Drawer) -> None:
    assert ask(system, provision("i1", parameters={"slow": 0.2})).verdict is Verdict.STARTED
    assert ended(system, "i1").status is Status.READY
    assert drawer.things.keys() == {"i1"}
    assert drawer.looks >= 1

    bound = ask(system, Bind(binding_id="b1", **common("i1", accepts_incomplete=False)))
    assert bound.verdict is Verdict.ENDED
    assert bound.record.private.credentials == {"key": drawer.keys["b1"]}

    left = ask(system, Deprovision(**common("i1")))
    assert left.verdict is Verdict.BINDINGS_LEFT
    assert "b1" in left.description

    gone = ask(system, Unbind(binding_id="b1", **common("i1", accepts_incomplete=False)))
    assert gone.verdict is Verdict.ENDED
    assert ask(system, Deprovision(**common("i1"))).verdict is Verdict.STARTED
    assert ended(system, "i1").status is Status.DELETED
    assert (drawer.things, drawer.keys) == ({}, {})


def test_a_failed_provision_is_undone(system: BrokerSystem, drawer: Drawer) -> None:
    answer = ask(system, provision("i1", parameters={"fails": True}, accepts_incomplete=False))

    assert answer.verdict is Verdict.ENDED
    assert answer.record.operation.state is OperationState.FAILED
    assert answer.record.operation.description == "No drawers left."
    assert answer.record.clean
    assert drawer.things == {}


def test_an_operation_goes_on_in_the_next_system(make_system: Any, drawer: Drawer) -> None:
    first = make_system()
    ask(first, provision("i1", parameters={"slow": 0.5}))
    first.stop()
    assert first.view.instance("i1").operation.in_progress

    second = make_system()

    assert ended(second, "i1").status is Status.READY
    assert drawer.things.keys() == {"i1"}


def test_nothing_is_started_while_a_stopped_creation_is_still_in_the_cloud(
    system: BrokerSystem, drawer: Drawer
) -> None:
    drawer.hold.clear()
    ask(system, provision("i1"))
    eventually(lambda: drawer.things)

    assert ask(system, Deprovision(**common("i1"))).verdict is Verdict.STARTED
    assert ("deprovision", "i1") not in drawer.calls
    drawer.hold.set()

    assert ended(system, "i1").status is Status.DELETED
    assert drawer.things == {}
