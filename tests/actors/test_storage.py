"""Durable before visible, over an etcd that is paused, killed, or written by somebody else."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import ask, common, ended, provision
from drawers import Drawer, DrawerBroker
from waiting import eventually

from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import Succeeded
from alibroker.etcd import keys
from alibroker.etcd.client import Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.commands import Bind, Deprovision, Verdict
from alibroker.lifecycle.records import Status


def etcd_process(server: EmbeddedEtcd) -> psutil.Process:
    keeper = psutil.Process(server.keeper_pid)
    return next(one for one in keeper.children(recursive=True) if one.name() == "etcd")


@pytest.fixture
def etcd(etcd_endpoint: str) -> Iterator[Etcd]:
    with Etcd([etcd_endpoint]) as client:
        yield client


def test_an_answer_is_sent_only_after_the_record_is_durable(
    system: BrokerSystem, etcd: Etcd
) -> None:
    """I1: what was answered is read back by another client at once."""
    for number in range(50):
        assert ask(system, provision(f"i{number}")).verdict is Verdict.STARTED
        (found,) = etcd.read([keys.instance_key(f"i{number}")], timeout=2)
        assert found is not None


def test_records_are_readable_but_for_what_is_private(
    system: BrokerSystem, etcd: Etcd, drawer: Drawer
) -> None:
    """I5: parameters, working state and credentials are sealed."""
    ask(system, provision("i1", parameters={"slow": 0.1, "pin": "s3cret-parameter"}))
    ended(system, "i1")
    ask(system, Bind(binding_id="b1", **common("i1", accepts_incomplete=False)))

    pairs = list(etcd.scan(keys.ROOT))

    instance = next(json.loads(one.value) for one in pairs if "/instances/" in one.key)
    assert instance["operation"]["state"] == "succeeded"
    assert instance["resource"]["shelf"] == 1
    for secret in ("s3cret-parameter", drawer.keys["b1"]):
        assert not any(secret.encode() in one.value for one in pairs)


def test_concurrent_changes_share_transactions(system: BrokerSystem, etcd: Etcd) -> None:
    before = etcd.status(timeout=2).revision
    replies = [system.submit(provision(f"i{number}")) for number in range(500)]
    wait(replies, timeout=20)
    assert all(reply.result().verdict is Verdict.STARTED for reply in replies)
    eventually(lambda: system.view.in_progress("service-1") == 0, timeout=30)
    # Each instance is written three times.
    assert etcd.status(timeout=2).revision - before < 750


def test_many_requests_for_one_id_make_one_operation(system: BrokerSystem, drawer: Drawer) -> None:
    """I4."""
    drawer.hold.clear()
    replies = [system.submit(provision("i1")) for _ in range(200)]
    wait(replies, timeout=20)
    drawer.hold.set()
    verdicts = [reply.result().verdict for reply in replies]
    assert verdicts.count(Verdict.STARTED) == 1
    assert verdicts.count(Verdict.JOINED) == 199
    assert len({reply.result().record.operation.id for reply in replies}) == 1


@pytest.mark.own_etcd
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_without_etcd_reads_go_on_changes_are_refused_and_it_heals(
    make_system: Callable[..., BrokerSystem],
    etcd_server: EmbeddedEtcd,
    drawer: Drawer,
    fault: signal.Signals,
) -> None:
    system = make_system(store_timeout=0.5)
    ask(system, provision("i1", accepts_incomplete=False))
    process = etcd_process(etcd_server)
    keeper = psutil.Process(etcd_server.keeper_pid)
    keeper.send_signal(signal.SIGSTOP)
    process.send_signal(fault)
    gone = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    eventually(lambda: process.status() in gone)

    refused = ask(system, provision("i2"))

    assert refused.verdict is Verdict.UNAVAILABLE
    assert system.view.instance("i1").status is Status.READY
    (problem,) = system.problems()
    assert "the store cannot be written: etcd does not answer" in problem
    assert ask(system, provision("i3")).verdict is Verdict.UNAVAILABLE

    keeper.send_signal(signal.SIGCONT)
    if fault == signal.SIGSTOP:
        process.send_signal(signal.SIGCONT)
    system.wait_until_ready(10)
    assert ask(system, provision("i4", accepts_incomplete=False)).verdict is Verdict.ENDED
    # What was refused while its write was under way either counts in full or not at all.
    for instance_id in ("i2", "i3"):
        if system.view.instance(instance_id) is not None:
            assert ended(system, instance_id).status is Status.READY
        else:
            assert instance_id not in drawer.things


@pytest.mark.own_etcd
def test_step_results_survive_an_outage_of_etcd(
    make_system: Callable[..., BrokerSystem], etcd_server: EmbeddedEtcd, drawer: Drawer
) -> None:
    system = make_system(store_timeout=0.5)
    drawer.hold.clear()
    ask(system, provision("i1"))
    eventually(lambda: drawer.things)
    process = etcd_process(etcd_server)
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    drawer.hold.set()
    eventually(lambda: not system.view.available)
    assert system.view.instance("i1").operation.in_progress

    process.send_signal(signal.SIGCONT)

    assert ended(system, "i1").status is Status.READY
    assert [call for call in drawer.calls if call[0] == "provision"] == [("provision", "i1")] * 2


def test_a_record_that_somebody_else_changed_is_read_again(
    system: BrokerSystem, etcd: Etcd
) -> None:
    ask(system, provision("i1", accepts_incomplete=False))
    (found,) = etcd.read([keys.instance_key("i1")], timeout=2)
    assert found is not None
    etcd.commit([Entry(found.key, None, found.revision)], timeout=2)

    answer = ask(system, Deprovision(**common("i1")))

    assert answer.verdict is Verdict.GONE
    assert system.view.instance("i1") is None


def test_what_cannot_be_read_is_left_alone_and_does_not_stop_the_others(
    make_system: Callable[..., BrokerSystem], etcd: Etcd
) -> None:
    first = make_system()
    ask(first, provision("i1", accepts_incomplete=False))
    first.stop()
    damaged = keys.instance_key("i2")
    etcd.commit([Entry(damaged, b'{"schema": 1, "private": "x"}', 0)], timeout=2)

    second = make_system()

    assert second.view.instance("i1") is not None
    assert second.view.instance("i2") is None
    (found,) = etcd.read([damaged], timeout=2)
    assert found is not None
    # Nothing is created over it either.
    assert ask(second, provision("i2")).verdict is Verdict.UNREADABLE


def test_another_sealing_key_is_refused(
    make_system: Callable[..., BrokerSystem], etcd_endpoint: str, tmp_path: Path
) -> None:
    make_system().stop()
    other = BrokerSystem(
        [DrawerBroker(Drawer())],
        Etcd([etcd_endpoint]),
        Sealer({"o": bytes([1] * 32)}, "o"),
        EngineSettings(data_dir=tmp_path),
    )
    with other:
        problem = eventually(lambda: other.view.problem)
        assert "sealed with another key" in problem
        assert ask(other, provision("i1")).verdict is Verdict.UNAVAILABLE


def test_results_are_forgotten_after_their_lifetime(
    make_system: Callable[..., BrokerSystem], etcd: Etcd, drawer: Drawer
) -> None:
    system = make_system(result_lifetime=0.5)
    ask(system, provision("i1", accepts_incomplete=False))
    ask(system, Deprovision(**common("i1", accepts_incomplete=False)))
    eventually(lambda: system.view.instance("i1") is None)
    (found,) = etcd.read([keys.instance_key("i1")], timeout=2)
    assert found is None
    assert drawer.things == {}


def test_an_operation_that_takes_too_long_ends(system: BrokerSystem, drawer: Drawer) -> None:
    """I6 and I7."""
    ask(system, provision("i1", parameters={"slow": 1000}, duration=2.0))
    failed = ended(system, "i1")
    assert failed.status is Status.CREATION_FAILED
    assert "did not end within" in failed.operation.description
    assert failed.clean
    assert drawer.things == {}


def test_a_result_that_cannot_be_stored_ends_the_operation(
    system: BrokerSystem, drawer: Drawer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        DrawerBroker, "provision", lambda *_: Succeeded(resource={"x": "x" * 2_000_000})
    )
    ask(system, provision("i1"))
    failed = ended(system, "i1")
    assert "could not be stored" in failed.operation.description
    assert drawer.things == {}


def test_a_wiped_store_is_not_taken_for_a_new_one(
    make_system: Callable[..., BrokerSystem], etcd: Etcd
) -> None:
    first = make_system()
    ask(first, provision("i1", accepts_incomplete=False))
    first.stop()
    pairs = list(etcd.scan(keys.ROOT))
    etcd.commit([Entry(one.key, None, one.revision) for one in pairs], timeout=2)

    second = make_system(wait=False)

    assert "wiped" in eventually(lambda: second.view.problem)
    assert ask(second, provision("i1")).verdict is Verdict.UNAVAILABLE


def test_records_are_sealed_anew_with_another_key(
    make_system: Callable[..., BrokerSystem],
    etcd_endpoint: str,
    tmp_path: Path,
    etcd: Etcd,
    drawer: Drawer,
) -> None:
    first = make_system()
    for number in range(120):
        ask(first, provision(f"i{number}", parameters={"pin": number}))
    for number in range(120):
        ended(first, f"i{number}")
    first.stop()
    old, new = bytes(32), bytes([7] * 32)

    def start(keys_: dict[str, bytes], current: str) -> BrokerSystem:
        system = BrokerSystem(
            [DrawerBroker(drawer)],
            Etcd([etcd_endpoint]),
            Sealer(keys_, current),
            EngineSettings(data_dir=tmp_path),
        )
        system.start()
        return system

    both = start({"n": new, "k": old}, "n")
    both.wait_until_ready(10)
    assert ask(both, provision("more", accepts_incomplete=False)).verdict is Verdict.ENDED
    eventually(lambda: all(b'"k.' not in one.value for one in etcd.scan(keys.INSTANCES)))
    both.stop()

    only_new = start({"n": new}, "n")
    only_new.wait_until_ready(10)
    assert only_new.view.instance("i7").private.parameters == {"pin": 7}
    only_new.stop()
