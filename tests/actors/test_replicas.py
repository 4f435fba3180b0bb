"""Several actor systems on one etcd: all of them work, and none of them is ever wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import ask, common, ended, provision
from drawers import Drawer, DrawerBroker
from waiting import eventually

from alibroker.actors.messages import Settlement
from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.etcd import keys
from alibroker.etcd.client import Entry, Etcd
from alibroker.etcd.records import sealed_text
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.commands import (
    Answer,
    Bind,
    Command,
    Deprovision,
    Unbind,
    Verdict,
)
from alibroker.lifecycle.records import Key, Status

MakeReplica = Callable[..., BrokerSystem]


@pytest.fixture
def etcd(etcd_endpoint: str) -> Iterator[Etcd]:
    with Etcd([etcd_endpoint]) as client:
        yield client


@pytest.fixture
def make_replica(make_system: Callable[..., BrokerSystem], tmp_path: Path) -> MakeReplica:
    """Return a function that starts a replica as on a machine of its own."""
    numbers = iter(range(100))

    def make(**settings: object) -> BrokerSystem:
        return make_system(data_dir=tmp_path / str(next(numbers)), **settings)

    return make


@pytest.fixture
def pair(make_replica: MakeReplica) -> tuple[BrokerSystem, BrokerSystem]:
    return make_replica(), make_replica()


def up_to_date(system: BrokerSystem) -> BrokerSystem:
    """Return the system when what it says is no guess."""
    assert asyncio.run(system.up_to_date())
    return system


def lease_of(etcd: Etcd, system: BrokerSystem) -> int:
    (found,) = etcd.read([keys.REPLICAS + system.replica.id], timeout=2)
    assert found is not None
    return found.lease


def test_each_answers_what_the_other_has_answered(pair: tuple[BrokerSystem, BrokerSystem]) -> None:
    """I11."""
    for number in range(40):
        one, other = pair if number % 2 else reversed(pair)
        name = f"i{number}"
        assert ask(one, provision(name)).verdict is Verdict.STARTED
        assert up_to_date(other).view.instance(name) is not None
        ended(other, name)
        assert ask(other, Deprovision(**common(name, accepts_incomplete=False))).verdict is (
            Verdict.ENDED
        )
        assert up_to_date(one).view.instance(name).status is Status.DELETED


def test_one_request_by_way_of_both_makes_one_thing(
    pair: tuple[BrokerSystem, BrokerSystem], drawer: Drawer
) -> None:
    """I4."""
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            command = provision(f"i{number}", accepts_incomplete=False)
            answers = list(threads.map(lambda one: ask(one, command), pair * 2))  # noqa: B023
            assert {answer.verdict for answer in answers} <= {Verdict.ENDED, Verdict.DONE}
    assert len(drawer.things) == 20
    assert len([call for call in drawer.calls if call[0] == "provision"]) == 40


def test_whoever_waits_is_told_of_the_end_that_another_has_brought_about(
    pair: tuple[BrokerSystem, BrokerSystem], drawer: Drawer
) -> None:
    one, other = pair
    drawer.hold.clear()
    ask(one, provision("i1"))
    eventually(lambda: up_to_date(other).view.instance("i1"))
    waiting = other.submit(provision("i1", accepts_incomplete=False))
    drawer.hold.set()
    assert waiting.result(timeout=20).verdict is Verdict.ENDED


def test_what_stops_an_operation_is_left_to_who_works_on_it(
    pair: tuple[BrokerSystem, BrokerSystem], drawer: Drawer
) -> None:
    """The creation may be in the middle of a cloud call, where nobody else can see it."""
    one, other = pair
    drawer.hold.clear()
    ask(one, provision("i1"))
    eventually(lambda: drawer.things)
    up_to_date(other)
    assert ask(other, Deprovision(**common("i1"))).verdict is Verdict.STARTED
    assert other.view.instance("i1").operation.replica == one.replica.id
    assert ("deprovision", "i1") not in drawer.calls
    drawer.hold.set()
    assert ended(other, "i1").status is Status.DELETED
    assert drawer.things == {}


@pytest.mark.parametrize("orderly", [True, False])
def test_the_survivor_goes_on_with_what_another_leaves(
    pair: tuple[BrokerSystem, BrokerSystem], drawer: Drawer, etcd: Etcd, *, orderly: bool
) -> None:
    """I6."""
    one, other = pair
    for number in range(10):
        ask(one, provision(f"i{number}", parameters={"slow": 60}))
        eventually(lambda name=f"i{number}": name in drawer.things)
    if orderly:
        one.stop()
    else:
        etcd.revoke(lease_of(etcd, one), timeout=2)
    mine = eventually(
        lambda: (
            all(
                other.view.instance(f"i{number}").operation.replica == other.replica.id
                for number in range(10)
            )
            or (not orderly and one.replica.id and one.replica.id in other.replica.registrations)
        )
    )
    assert mine
    for number in range(10):
        ask(other, Deprovision(**common(f"i{number}")))
        assert ended(other, f"i{number}").status is Status.DELETED
    assert drawer.things == {}
    if orderly:
        # Nothing of it was in the middle of a request.
        assert all(other.view.instance(f"i{number}").unanswered_at == 0 for number in range(10))


def test_who_is_declared_dead_drops_what_it_knew_and_comes_back(
    pair: tuple[BrokerSystem, BrokerSystem], etcd: Etcd
) -> None:
    one, other = pair
    ask(one, provision("i1", accepts_incomplete=False))
    before = one.replica.id
    etcd.revoke(lease_of(etcd, one), timeout=2)
    eventually(lambda: one.replica.id not in ("", before) and not one.problems())
    assert up_to_date(one).view.instance("i1").status is Status.READY
    assert ask(one, provision("i2", accepts_incomplete=False)).verdict is Verdict.ENDED
    assert up_to_date(other).view.instance("i2").status is Status.READY


def test_nobody_writes_in_the_name_of_the_dead(
    pair: tuple[BrokerSystem, BrokerSystem], etcd: Etcd, drawer: Drawer
) -> None:
    """A step that ends after its replica was declared dead neither counts twice nor is lost."""
    one, other = pair
    drawer.hold.clear()
    ask(one, provision("i1"))
    eventually(lambda: drawer.things)
    before = one.replica.id
    up_to_date(other)
    etcd.revoke(lease_of(etcd, one), timeout=2)
    eventually(lambda: other.view.operation(Key("i1")).replica != before)
    drawer.hold.set()
    assert ended(other, "i1").status is Status.READY
    assert list(drawer.things) == ["i1"]


def test_an_instance_is_not_deleted_under_a_binding_that_another_has_just_made(
    pair: tuple[BrokerSystem, BrokerSystem],
) -> None:
    one, other = pair
    with ThreadPoolExecutor(2) as threads:
        for number in range(20):
            name = f"i{number}"
            ask(one, provision(name, accepts_incomplete=False))
            up_to_date(other)
            bound = threads.submit(ask, one, Bind(binding_id="b", **common(name)))
            deleted = threads.submit(ask, other, Deprovision(**common(name)))
            verdicts = {bound.result().verdict, deleted.result().verdict}
            # Either the binding is there first, or the deletion is; never both.
            assert len(verdicts & {Verdict.STARTED}) == 1, verdicts
            if bound.result().verdict is Verdict.STARTED:
                eventually(lambda: not up_to_date(other).view.operation(Key(name, "b")).in_progress)  # noqa: B023
                ask(other, Unbind(binding_id="b", **common(name, accepts_incomplete=False)))


def test_who_has_not_waited_is_told_what_has_begun_and_nothing_else(
    pair: tuple[BrokerSystem, BrokerSystem],
) -> None:
    one, other = pair

    def early(command: Command) -> Verdict:
        reply: Future[Answer] = Future()
        other.send(command, reply, early=True)
        return reply.result(timeout=30).verdict

    for number in range(20):
        ask(one, provision(f"i{number}"))
        # Whether the other has heard of it yet, or its write is the first to say so.
        assert early(provision(f"i{number}", parameters={"token": "another"})) is Verdict.UNSURE
        assert early(provision(f"j{number}")) is Verdict.STARTED
    assert ask(up_to_date(other), provision("i1")).verdict in (Verdict.JOINED, Verdict.DONE)


def test_nothing_in_the_cloud_gets_two_records(
    pair: tuple[BrokerSystem, BrokerSystem], drawer: Drawer
) -> None:
    one, other = pair
    drawer.hold.clear()
    for number in range(10):
        ask(one, provision(f"a{number}", parameters={"token": f"t{number}"}))
        ask(other, provision(f"b{number}", parameters={"token": f"t{number}"}))
    drawer.hold.set()
    for number in range(10):
        states = [ended(up_to_date(other), f"{letter}{number}").operation.state for letter in "ab"]
        assert sorted(states) == ["failed", "succeeded"]


def test_what_one_has_surveyed_is_seen_and_settled_by_way_of_another(
    make_replica: MakeReplica, drawer: Drawer
) -> None:
    drawer.things["lost"] = "t"
    one, other = make_replica(), make_replica()
    one.survey()
    eventually(lambda: one.surveys.report.taken_at and not one.surveys.running)
    other.surveys.refresh()
    (finding,) = other.surveys.report.findings
    assert finding == one.surveys.report.findings[0]

    settled = other.settle(finding.id, Settlement.KEEP).result(timeout=20)

    assert settled.verdict is Verdict.DONE
    eventually(lambda: other.surveys.report.findings == ())
    one.surveys.refresh()
    assert one.surveys.report.findings == ()


def test_a_finding_is_as_old_as_it_is_whoever_has_ended_since(
    make_replica: MakeReplica, drawer: Drawer
) -> None:
    drawer.things["lost"] = "t"
    since = []
    for _ in range(2):
        system = make_replica()
        system.survey()
        eventually(lambda: system.surveys.report.taken_at and not system.surveys.running)  # noqa: B023
        since.append(system.surveys.report.findings[0].since)
        system.stop()
    assert since[0] == since[1]


def test_plugins_are_told_how_many_share_the_limits_of_the_cloud(
    make_replica: MakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(
        DrawerBroker, "share", lambda _, replicas: told.append(replicas), raising=False
    )
    make_replica()
    other = make_replica()
    eventually(lambda: told.count(2) >= 2)
    other.stop()
    eventually(lambda: told[-1] == 1)


def test_one_that_is_left_behind_is_alone_again(
    make_replica: MakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alibroker.actors.membership.LONELY", 0.2)
    one = make_replica()
    assert one.replica.is_current
    other = make_replica()
    assert not one.replica.is_current
    assert not other.replica.is_current
    ask(other, provision("i1", accepts_incomplete=False))
    other.stop()
    eventually(lambda: one.replica.is_current)
    assert one.view.instance("i1").status is Status.READY
    assert ask(one, provision("i2", accepts_incomplete=False)).verdict is Verdict.ENDED


def test_an_earlier_release_that_takes_the_store_is_given_way(
    pair: tuple[BrokerSystem, BrokerSystem], etcd: Etcd
) -> None:
    etcd.commit([Entry(keys.OWNER, b"a token", 0)], timeout=2)
    for one in pair:
        assert "earlier release" in eventually(lambda: one.view.problem)  # noqa: B023
        assert ask(one, provision("i1")).verdict is Verdict.UNAVAILABLE
        assert one.view.keys() == []


def test_a_key_is_changed_one_replica_after_the_other(
    etcd: Etcd, etcd_endpoint: str, drawer: Drawer, tmp_path: Path
) -> None:
    """What those seal that still have the old one first is sealed anew as well."""
    secrets = {"old": bytes(range(32)), "new": bytes(range(1, 33))}
    sealer = Sealer(secrets, "new")

    def start(first: str) -> BrokerSystem:
        settings = EngineSettings(data_dir=tmp_path / first)
        store = Etcd([etcd_endpoint])
        system = BrokerSystem([DrawerBroker(drawer)], store, Sealer(secrets, first), settings)
        system.start()
        system.wait_until_ready(30)
        return system

    def is_sealed_anew() -> bool:
        (found,) = etcd.read([keys.instance_key("i1")], timeout=2)
        assert found is not None
        return sealer.is_current(sealed_text(found.value))

    one, other = start("new"), start("old")
    try:
        ask(other, provision("i1", parameters={"token": "t"}, accepts_incomplete=False))
        up_to_date(one)
        other.stop()
        eventually(is_sealed_anew, 30)
    finally:
        other.stop()
        one.stop()
