"""The relay breaks what it is told to, and the client of etcd sorts what comes of it."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay import DATA, PREFACE, RST_STREAM, Relay
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


def test_a_connection_ends_whose_call_is_given_up_before_its_answer_is_lost(tmp_path: Path) -> None:
    """Nothing else would ever come back on it."""

    def frame(kind: int, content: bytes) -> bytes:
        return len(content).to_bytes(3, "big") + bytes([kind, 0]) + (1).to_bytes(4, "big") + content

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        with (
            Relay(f"unix:{tmp_path}/silent") as relay,
            socket.create_connection(("127.0.0.1", relay.port), timeout=20) as client,
        ):
            relay.lose_answers(1)
            client.sendall(bytes(PREFACE) + frame(DATA, b"a call") + frame(RST_STREAM, bytes(4)))
            with pytest.raises(ConnectionResetError):
                client.recv(1)


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


@pytest.mark.parametrize("fault", ["refuse", "heal"])
def test_nothing_is_left_open_that_connects_at_the_end(etcd_endpoint: str, fault: str) -> None:
    """Whatever has become of a connection by then: waiting, just accepted, on its way, served."""
    with nothing_left_open():
        for _ in range(60):
            with Relay(etcd_endpoint) as relay, contextlib.ExitStack() as clients:
                for _ in range(4):
                    clients.enter_context(socket.create_connection(("127.0.0.1", relay.port)))
                getattr(relay, fault)()


def test_nothing_is_left_open_however_it_fails(etcd_endpoint: str) -> None:
    with nothing_left_open():
        for target in (etcd_endpoint, "unix:/nowhere"):
            for fault in ("stall", "drop_silently", "reset"):
                with (
                    Relay(target) as relay,
                    socket.create_connection(("127.0.0.1", relay.port)) as client,
                ):
                    client.sendall(b"PRI")
                    getattr(relay, fault)()
                    relay.delay = 60


@contextlib.contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fail if a socket or transport was thrown away that nobody had closed."""
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(one.message) for one in left] == []
