"""Plugins that misbehave: nothing that belongs to another notices."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pykka
import pytest
from bad_plugins import MISBEHAVIOUR
from commands import ask, common, ended, provision
from drawers import Drawer, DrawerBroker
from waiting import eventually

from alibroker.actors import poller, supervisor, surveyor
from alibroker.actors import system as system_module
from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import (
    InProgress,
    Json,
    Plan,
    ServiceOffering,
    Succeeded,
    Work,
)
from alibroker.etcd.client import Etcd
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.commands import Bind, Provision, Verdict
from alibroker.lifecycle.records import OperationState, Status


class BadBroker:
    """Does whatever a test says, at the place that it says."""

    name = "bad"
    instance_fact = "token"
    binding_fact = "lock"
    account_fact = "account"

    def __init__(self) -> None:
        self.act: dict[str, Callable[[], Any]] = {}
        self.calls: list[str] = []

    def offerings(self) -> Sequence[ServiceOffering]:
        plan = Plan(id="bad-plan", name="bad", description="Bad", maximum_polling_duration=60)
        return [
            ServiceOffering(
                id="bad-service", name="bad", description="Bad", bindable=True, plans=(plan,)
            )
        ]

    def _step(self, work: Work) -> Any:
        place = str(work.parameters.get("place", ""))
        self.calls.append(work.kind)
        if place == work.kind and work.kind in self.act:
            return self.act[work.kind]()
        if place == "observe" and work.observation is None:
            return InProgress(description="Being built.", poll_after=0.05)
        return Succeeded(
            credentials={"key": "k"} if work.kind == "bind" else None,
            resource={"token": work.instance_id} if work.kind == "provision" else {},
        )

    provision = update = deprovision = bind = unbind = _step

    def observe(self, works: Sequence[Work]) -> Mapping[str, Json]:
        self.calls.append("observe")
        if "observe" in self.act:
            return self.act["observe"]()  # type: ignore[no-any-return]
        return {work.operation_id: {} for work in works}

    def inventory(self) -> Iterator[Any]:
        self.calls.append("inventory")
        if "inventory" in self.act:
            yield self.act["inventory"]()

    def exists(self, _resource: Any, *, of_binding: bool) -> Any:
        self.calls.append("exists")
        return self.act["exists"]() if "exists" in self.act else of_binding

    def account(self) -> Any:
        return self.act["account"]() if "account" in self.act else ""

    def keep(self, _found: Any) -> None:
        """Keep nothing."""

    def close(self) -> None:
        if "close" in self.act:
            self.act["close"]()


@pytest.fixture
def bad() -> BadBroker:
    return BadBroker()


@pytest.fixture
def make_both(
    etcd_endpoint: str, drawer: Drawer, bad: BadBroker, tmp_path: Any
) -> Iterator[Callable[..., BrokerSystem]]:
    """Return a function that starts a system with a good plugin beside the bad one."""
    systems = []

    def make(**settings: Any) -> BrokerSystem:
        engine = EngineSettings(workers=2, data_dir=tmp_path, **settings)
        etcd, sealer = Etcd([etcd_endpoint]), Sealer({"k": bytes(32)}, "k")
        system = BrokerSystem([bad, DrawerBroker(drawer)], etcd, sealer, engine)
        system.start()
        systems.append(system)
        system.wait_until_ready(30)
        return system

    yield make
    for system in systems:
        system.stop()


def bad_provision(instance_id: str, place: str, duration: float = 60) -> Provision:
    return Provision(
        instance_id=instance_id,
        service_id="bad-service",
        plan_id="bad-plan",
        operation_id=f"op-{instance_id}",
        duration=duration,
        accepts_incomplete=True,
        organization_guid="o",
        space_guid="s",
        parameters={"place": place},
    )


def serves(system: BrokerSystem, instance_id: str) -> None:
    """Assert that the good plugin's service answers as if there were no other."""
    answer = ask(system, provision(instance_id, accepts_incomplete=False))
    assert answer.verdict is Verdict.ENDED
    assert not system.problems()


def test_no_misbehaviour_in_a_step_is_more_than_a_defect(
    make_both: Callable[..., BrokerSystem], bad: BadBroker
) -> None:
    system = make_both()
    for number, (what, act) in enumerate(MISBEHAVIOUR.items()):
        bad.act["provision"] = act
        name = f"bad-{number}"
        assert ask(system, bad_provision(name, "provision")).verdict is Verdict.STARTED
        found: Any = eventually(
            lambda name=name: (  # type: ignore[misc]
                (one := system.view.instance(name)) and one.operation.tries > 0 and one
            )
        )
        assert found.operation.state is OperationState.IN_PROGRESS, what
    serves(system, "good")
    bad.act.clear()
    for number in range(len(MISBEHAVIOUR)):
        assert ended(system, f"bad-{number}").status is Status.READY


def test_no_misbehaviour_in_an_observation_is_more_than_a_defect(
    make_both: Callable[..., BrokerSystem], bad: BadBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "DEFECT_PAUSE", 0.0)
    system = make_both()
    assert ask(system, bad_provision("bad", "observe")).verdict is Verdict.STARTED
    for act in MISBEHAVIOUR.values():
        bad.act["observe"] = act
        before = bad.calls.count("observe")
        eventually(lambda before=before: bad.calls.count("observe") > before)  # type: ignore[misc]
    serves(system, "good")
    bad.act.clear()
    assert ended(system, "bad").status is Status.READY


def test_a_look_with_a_defect_is_taken_again_later_and_later(
    make_both: Callable[..., BrokerSystem], bad: BadBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "DEFECT_PAUSE", 0.1)
    system = make_both()
    looked: list[float] = []

    def look() -> Any:
        looked.append(time.monotonic())
        raise ValueError

    bad.act["observe"] = look
    ask(system, bad_provision("bad", "observe"))
    eventually(lambda: len(looked) == 5)
    pauses = [after - before for before, after in itertools.pairwise(looked)]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True))
    bad.act.clear()
    assert ended(system, "bad").status is Status.READY


@pytest.mark.parametrize("place", ["inventory", "account"])
def test_no_misbehaviour_in_an_inventory_is_more_than_a_defect(
    make_both: Callable[..., BrokerSystem], bad: BadBroker, place: str
) -> None:
    system = make_both()
    for name, act in MISBEHAVIOUR.items():
        if (place, name) == ("account", "return-text"):
            continue  # that is right
        bad.act[place] = act
        before = system.surveys.report.taken_at
        system.survey()
        eventually(lambda before=before: system.surveys.report.taken_at > before)  # type: ignore[misc]
        assert "bad" in system.surveys.report.failures
        assert "drawer" in system.surveys.report.seen
    serves(system, "good")


def test_no_misbehaviour_in_looking_for_something_is_more_than_a_defect(
    make_both: Callable[..., BrokerSystem], bad: BadBroker
) -> None:
    system = make_both(missing_age=0.001)
    ask(system, bad_provision("bad", "nowhere"))
    assert ended(system, "bad").resource
    for act in MISBEHAVIOUR.values():
        bad.act["exists"] = act
        before = system.surveys.report.taken_at
        system.survey()
        eventually(lambda before=before: system.surveys.report.taken_at > before)  # type: ignore[misc]
        assert system.surveys.report.failures == {"bad": "A defect; the broker's log says more."}
        assert "drawer" in system.surveys.report.seen
    assert bad.calls.count("exists") == len(MISBEHAVIOUR)


def test_a_bind_without_credentials_is_a_defect(
    make_both: Callable[..., BrokerSystem], bad: BadBroker
) -> None:
    system = make_both()
    ask(system, bad_provision("bad", "bind"))
    ended(system, "bad")
    bad.act["bind"] = Succeeded
    command = common("bad") | {"service_id": "bad-service", "plan_id": "bad-plan"}
    ask(system, Bind(binding_id="b", **command))
    eventually(
        lambda: (one := system.view.binding("bad", "b")) is not None and one.operation.tries > 0
    )


def test_steps_that_hang_neither_disable_a_service_nor_hold_up_a_stop(
    make_both: Callable[..., BrokerSystem], bad: BadBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    system = make_both(step_timeout=0.3)
    bad.act["provision"] = lambda: release.wait(60) and Succeeded()
    for number in range(4):
        ask(system, bad_provision(f"hangs-{number}", "provision"))
    ask(system, bad_provision("works", "nowhere"))
    assert ended(system, "works").status is Status.READY
    assert any("hangs-0" in warning for warning in system.warnings())
    eventually(lambda: system.view.instance("hangs-0").operation.tries > 0)  # type: ignore[union-attr]
    serves(system, "good")
    # What is still hanging when no more may be replaced leaves those at work that there are.
    monkeypatch.setattr(supervisor, "MOST_REPLACED", 0)
    release.set()
    for number in range(4):
        assert ended(system, f"hangs-{number}").status is Status.READY
    eventually(lambda: not system.warnings())


def test_a_look_that_hangs_is_taken_again(
    make_both: Callable[..., BrokerSystem], bad: BadBroker
) -> None:
    release = threading.Event()
    system = make_both(step_timeout=0.3)
    bad.act["observe"] = lambda: release.wait(60) and {}
    ask(system, bad_provision("bad", "observe"))
    eventually(lambda: "observe" in bad.calls)
    bad.act.clear()
    assert ended(system, "bad").status is Status.READY
    release.set()


def test_an_inventory_that_hangs_does_not_end_all_surveys(
    make_both: Callable[..., BrokerSystem], bad: BadBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveyor, "INVENTORY_PATIENCE", 1.0)
    release = threading.Event()
    system = make_both(step_timeout=0.3)
    bad.act["inventory"] = lambda: release.wait(60)
    system.survey()
    eventually(lambda: any("inventory" in warning for warning in system.warnings()))
    system.survey()
    report = eventually(lambda: system.surveys.report.taken_at and system.surveys.report)
    assert "bad" in report.failures
    assert "drawer" in report.seen
    release.set()


def test_a_plugin_that_cannot_be_closed_does_not_hold_up_a_stop(
    make_both: Callable[..., BrokerSystem], bad: BadBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_module, "CLOSE_TIMEOUT", 0.1)
    release = threading.Event()
    system = make_both()
    bad.act["close"] = lambda: release.wait(60)
    system.stop()
    release.set()


def test_a_chain_of_steps_without_a_pause_has_a_brake(
    make_both: Callable[..., BrokerSystem], bad: BadBroker
) -> None:
    system = make_both()
    bad.act["provision"] = lambda: InProgress(description="At once.")
    ask(system, bad_provision("spins", "provision"))
    eventually(lambda: system.view.instance("spins").operation.chain > 50)  # type: ignore[union-attr]
    spinning: Any = system.view.instance("spins")
    assert spinning.operation.due_at > spinning.events[-1].at
    serves(system, "good")
    bad.act.clear()
    assert ended(system, "spins").status is Status.READY


def test_actors_that_are_all_stopped_end_the_process(
    make_both: Callable[..., BrokerSystem],
) -> None:
    system = make_both()
    pykka.ActorRegistry.stop_all()
    assert "died" in eventually(lambda: system.gave_up)
    assert system.problems()
