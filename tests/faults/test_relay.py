"""The relay breaks what it is told to, and the client of etcd sorts what comes of it."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from relay import Relay
from waiting import eventually

from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue
from alibroker.etcd.errors import EtcdUnavailableError, EtcdUnknownError


@pytest.fixture
def relay(etcd_endpoint: str) -> Iterator[Relay]:
    with Relay(etcd_endpoint) as relay:
        yield relay


@pytest.fixture
def client(relay: Relay) -> Iterator[Etcd]:
    with Etcd([relay.endpoint]) as client:
        client.ping(timeout=5)
        yield client


def test_a_write_whose_answer_was_lost_took_effect_once(relay: Relay, client: Etcd) -> None:
    for number in range(20):
        relay.lose_answers(1)
        (outcome,) = client.commit([Entry(f"/a/{number}", b"%d" % number, 0)], timeout=5)
        assert isinstance(outcome, Committed)
        found = client.read([f"/a/{number}"], timeout=5)
        assert found == [KeyValue(f"/a/{number}", b"%d" % number, outcome.revision)]
    assert relay.lost == 20


def test_a_write_whose_answers_are_all_lost_is_unknown_and_was_applied(
    relay: Relay, client: Etcd
) -> None:
    relay.lose_answers(10_000, b"/lost")
    with pytest.raises(EtcdUnknownError):
        client.commit([Entry("/lost", b"1", 0)], timeout=1)
    assert relay.lost > 1
    relay.heal()
    (found,) = client.read(["/lost"], timeout=5)
    assert found is not None
    (outcome,) = client.commit([Entry("/lost", b"1", 0)], timeout=5, in_doubt=True)
    assert outcome == Committed(found.revision)


def test_only_the_answers_that_are_meant_are_lost(relay: Relay, client: Etcd) -> None:
    relay.lose_answers(1, b"/meant")
    client.commit([Entry("/other", b"1", 0)], timeout=5)
    assert relay.lost == 0
    client.commit([Entry("/meant", b"1", 0)], timeout=5)
    assert relay.lost == 1


@pytest.mark.parametrize("fault", ["refuse", "stall"])
def test_an_etcd_that_cannot_be_reached_is_said_in_time(
    relay: Relay, client: Etcd, fault: str
) -> None:
    getattr(relay, fault)()
    started = time.monotonic()
    with pytest.raises(EtcdUnavailableError):
        client.ping(timeout=1)
    with pytest.raises((EtcdUnavailableError, EtcdUnknownError)):
        client.commit([Entry("/a", b"1", 0)], timeout=1)
    assert time.monotonic() - started < 3
    relay.heal()
    assert client.ping(timeout=5) > 0


def test_connections_that_are_reset_all_the_time_do_not_hurt(relay: Relay, client: Etcd) -> None:
    over = threading.Event()

    def disturb() -> None:
        while not over.wait(0.02):
            relay.reset()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for number in range(100):
            (outcome,) = client.commit([Entry(f"/a/{number}", b"1", 0)], timeout=10)
            assert isinstance(outcome, Committed)
    finally:
        over.set()
        disturber.join()
    assert len(list(client.scan("/a/"))) == 100


def test_a_slow_etcd_is_waited_for(relay: Relay, client: Etcd) -> None:
    relay.delay = 0.4
    started = time.monotonic()
    (outcome,) = client.commit([Entry("/a", b"1", 0)], timeout=10)
    assert isinstance(outcome, Committed)
    assert time.monotonic() - started > 0.8
    relay.delay = 0.0
    eventually(lambda: _answers(client))


def test_a_connection_that_went_dead_is_given_up(relay: Relay, client: Etcd) -> None:
    """As when a firewall forgets a connection: the peers hear nothing, not even a reset."""
    relay.stall()
    with pytest.raises(EtcdUnavailableError):
        client.ping(timeout=0.5)
    # What has waited would wake the old connection up.
    relay.drop_silently()
    started = time.monotonic()
    eventually(lambda: _answers(client), timeout=15)
    assert time.monotonic() - started < 12


def _answers(client: Etcd) -> bool:
    try:
        return client.ping(timeout=0.5) > 0
    except EtcdUnavailableError:
        return False


def test_a_relay_that_stops_amid_connections_leaves_none_open(etcd_endpoint: str) -> None:
    """What is left open is a warning of the interpreter's, and so an error."""
    for _ in range(10):
        relay = Relay(etcd_endpoint)
        over = threading.Event()

        def knock(port: int = relay.port, over: threading.Event = over) -> None:
            while not over.is_set():
                with contextlib.suppress(OSError), socket.socket() as line:
                    line.connect(("127.0.0.1", port))
                    line.sendall(b"x" * 100)

        threads = [threading.Thread(target=knock) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda one=relay: one.connections > 3)
        relay.stop()
        over.set()
        for thread in threads:
            thread.join()
        del relay
        gc.collect()
