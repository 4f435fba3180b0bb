"""A registration lives for as long as it is kept, and its process knows first when it ends."""

import threading
import time
from collections.abc import Callable, Iterator
from operator import attrgetter

import psutil
import pytest
from etcd3.etcdrpc import LeaseRevokeRequest
from relay import Relay

from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue, Lost, Session
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.errors import EtcdRejectedError
from alibroker.etcd.lease import MARGIN, SessionLostError, now

ProcessOf = Callable[[int | None], psutil.Process]
Eventually = Callable[..., None]


class Losses(list[str]):
    """What sessions have said of their loss."""


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def session(etcd: Etcd, prefix: str, losses: Losses) -> Iterator[Session]:
    session = etcd.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
    session.open(timeout=5)
    yield session
    session.close(timeout=5)


@pytest.fixture
def relay(server: EmbeddedEtcd) -> Iterator[Relay]:
    with Relay(server.endpoint) as relay:
        yield relay


def guarded(etcd: Etcd, session: Session) -> bool:
    """Tell whether a write is let through that the session must live for."""
    (found,) = etcd.read([session.key + "/x"], timeout=5)
    entry = Entry(session.key + "/x", b"1", found.revision if found else 0, guards=(session.guard,))
    (outcome,) = etcd.commit([entry], timeout=5)
    return isinstance(outcome, Committed)


def exists(etcd: Etcd, session: Session) -> bool:
    return etcd.read([session.key], timeout=5) != [None]


def test_what_a_session_guards_is_written_while_it_lives(
    etcd: Etcd, prefix: str, losses: Losses, eventually: Eventually
) -> None:
    before = set(threading.enumerate())
    session = etcd.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
    assert not session.is_valid()
    started = now()
    session.open(timeout=5)
    assert session.is_valid()
    assert 0 < session.left <= session.ttl * (1 - MARGIN)
    assert session.valid_until >= started + session.ttl * (1 - MARGIN)
    assert etcd.read_revision(session.key, timeout=5)[0] == session.create_revision
    assert guarded(etcd, session)
    session.close(timeout=5)
    assert not session.is_valid()
    assert not exists(etcd, session)
    assert not guarded(etcd, session)
    eventually(lambda: set(threading.enumerate()) <= before)
    assert losses == []
    session.close(timeout=5)


def test_a_rewritten_value_is_the_same_registration(etcd: Etcd, session: Session) -> None:
    guard = session.guard
    assert session.update(b"2", timeout=5) > session.create_revision
    assert session.guard == guard
    (found,) = etcd.read([session.key], timeout=5)
    assert found is not None
    assert found.value == b"2"
    assert guarded(etcd, session)
    session.close(timeout=5)
    assert not exists(etcd, session), "the key was no longer under the lease"


def test_an_update_whose_answer_is_lost_is_found(
    relay: Relay, etcd: Etcd, prefix: str, losses: Losses
) -> None:
    with Etcd([relay.endpoint]) as client:
        session = client.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
        session.open(timeout=5)
        relay.lose_answers(1, session.key.encode())
        revision = session.update(b"2", timeout=5)
        assert relay.lost == 1
        assert etcd.read([session.key], timeout=5) == [
            KeyValue(session.key, b"2", revision, session.lease)
        ]
        session.close(timeout=5)
    assert losses == []


def test_an_update_that_comes_late_does_not_undo_the_next(etcd: Etcd, session: Session) -> None:
    late = session._revision
    last = session.update(b"2", timeout=5)
    session._revision = late
    assert session._rewrite(b"late", 5)[0] == 0
    assert etcd.read([session.key], timeout=5) == [KeyValue(session.key, b"2", last, session.lease)]
    # Nor does one of which nothing is known stand in the way of those that follow.
    assert session.update(b"3", timeout=5) > last


def test_a_session_is_kept_beyond_its_time(
    etcd: Etcd, session: Session, losses: Losses, eventually: Eventually
) -> None:
    end = session.valid_until + session.ttl
    eventually(lambda: session.valid_until > end)
    assert session.is_valid()
    assert guarded(etcd, session)
    assert losses == []


@pytest.mark.parametrize("then", ["nothing", "made anew"])
def test_a_key_that_somebody_has_deleted_is_lost(
    etcd: Etcd, session: Session, losses: Losses, eventually: Eventually, then: str
) -> None:
    (found,) = etcd.read([session.key], timeout=5)
    assert found is not None
    etcd.commit([Entry(session.key, None, found.revision)], timeout=5)
    if then == "made anew":
        etcd.commit([Entry(session.key, b"theirs", 0)], timeout=5)
    assert not guarded(etcd, session)
    eventually(lambda: bool(losses))
    assert not session.is_valid()
    with pytest.raises(SessionLostError):
        session.update(b"2", timeout=5)
    assert losses == [session.lost]
    assert "gone" in losses[0]


def test_a_lease_that_somebody_has_revoked_is_lost(
    etcd: Etcd, session: Session, losses: Losses, eventually: Eventually
) -> None:
    request = LeaseRevokeRequest(ID=session.lease)
    etcd._connection.call(attrgetter("lease.LeaseRevoke"), request, timeout=5, changes=False)
    eventually(lambda: bool(losses))
    assert "has ended" in losses[0]
    assert not session.is_valid()


def test_what_a_commit_finds_out_need_not_wait_for_the_next_renewal(
    etcd: Etcd, prefix: str, losses: Losses, eventually: Eventually
) -> None:
    session = etcd.session(prefix + "me", b"1", ttl=60, on_lost=losses.append)
    session.open(timeout=5)
    session.lose("a commit was refused")
    assert not session.is_valid()
    eventually(lambda: losses == ["a commit was refused"])
    session.lose("again")
    session.close(timeout=5)
    assert losses == ["a commit was refused"]
    assert not exists(etcd, session)


def test_a_key_that_exists_is_not_taken_over(etcd: Etcd, session: Session) -> None:
    second = etcd.session(session.key, b"2", ttl=2, on_lost=pytest.fail)
    with pytest.raises(EtcdRejectedError, match="exists already"):
        second.open(timeout=5)
    assert not second.is_valid()
    assert guarded(etcd, session)


def test_a_time_that_etcd_does_not_grant_is_refused(etcd: Etcd, prefix: str) -> None:
    with pytest.raises(ValueError, match="too short"):
        etcd.session(prefix + "me", b"1", ttl=1, on_lost=pytest.fail)


@pytest.mark.parametrize("losing", ["grant", "create"])
def test_an_answer_lost_at_the_start_is_cleared_up(
    relay: Relay, etcd: Etcd, prefix: str, losses: Losses, losing: str
) -> None:
    with Etcd([relay.endpoint]) as client:
        session = client.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
        relay.lose_answers(1, b"" if losing == "grant" else session.key.encode())
        session.open(timeout=2)
        assert relay.lost == 1
        assert session.is_valid()
        assert guarded(etcd, session)
        session.close(timeout=5)
    assert not exists(etcd, session)


def test_after_a_failed_start_nothing_is_left(
    relay: Relay, etcd: Etcd, prefix: str, losses: Losses
) -> None:
    with Etcd([relay.endpoint]) as client:
        session = client.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
        assert etcd.commit([Entry(session.key, b"theirs", 0)], timeout=5)
        with pytest.raises(EtcdRejectedError):
            session.open(timeout=2)
        assert not session.is_valid()
        assert session._ask_renewal(5) == 0


def test_a_clock_that_has_gone_on_ends_validity_until_etcd_confirms(
    etcd: Etcd, prefix: str, losses: Losses, eventually: Eventually
) -> None:
    slept = [0.0]
    session = etcd.session(
        prefix + "me", b"1", ttl=2, on_lost=losses.append, clock=lambda: now() + slept[0]
    )
    session.open(timeout=5)
    slept[0] = 60.0
    # The machine was suspended; the first request after it comes before the first renewal.
    assert not session.is_valid()
    assert session.left == 0
    # Here etcd slept as well, so that the key is still the same one.
    eventually(session.is_valid)
    assert losses == []
    assert guarded(etcd, session)
    session.close(timeout=5)


def test_who_is_cut_off_ends_before_etcd_drops_the_key_and_hears_of_it_afterwards(
    relay: Relay, etcd: Etcd, prefix: str, losses: Losses, eventually: Eventually
) -> None:
    with Etcd([relay.endpoint]) as client:
        session = client.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
        session.open(timeout=5)
        relay.stall()
        valid = True
        while valid:
            # In this order, so that however slow this is the key was gone before.
            there = exists(etcd, session)
            valid = session.is_valid()
            assert there or not valid
        eventually(lambda: not exists(etcd, session))
        assert losses == [], "nobody can have told"
        relay.flow()
        eventually(lambda: bool(losses))
        assert not session.is_valid()
        session.close(timeout=5)
    assert len(losses) == 1


def test_a_short_pause_and_a_restart_of_etcd_are_survived(
    fresh: EmbeddedEtcd,
    client: Etcd,
    etcd_process: ProcessOf,
    losses: Losses,
    eventually: Eventually,
) -> None:
    session = client.session("/me", b"1", ttl=2, on_lost=losses.append)
    session.open(timeout=5)

    def renewed() -> Callable[[], bool]:
        until = session.valid_until
        return lambda: session.valid_until > until + 0.5

    process = etcd_process(fresh.keeper_pid)
    process.suspend()
    # Long enough for a renewal to fail.
    threading.Event().wait(1.0)
    process.resume()
    eventually(renewed())
    process.kill()
    eventually(renewed())
    assert guarded(client, session)
    assert losses == []
    session.close(timeout=5)


def test_closing_while_etcd_does_not_answer_is_bounded(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf, losses: Losses
) -> None:
    session = client.session("/me", b"1", ttl=2, on_lost=losses.append)
    session.open(timeout=5)
    process = etcd_process(fresh.keeper_pid)
    process.suspend()
    try:
        started = time.monotonic()
        session.close(timeout=0.3)
        assert time.monotonic() - started < 0.3 + session.ttl / 3 + 2
    finally:
        process.resume()
    assert losses == []


def test_a_closed_client_is_a_loss(
    server: EmbeddedEtcd, etcd: Etcd, prefix: str, losses: Losses, eventually: Eventually
) -> None:
    with Etcd([server.endpoint]) as client:
        session = client.session(prefix + "me", b"1", ttl=2, on_lost=losses.append)
        session.open(timeout=5)
    eventually(lambda: losses == ["the client is closed"])
    session.close(timeout=1)
    # It cannot do so itself any more; later the end of its lease would move the store.
    etcd.revoke(session.lease, timeout=5)


def test_guards_of_both_kinds_go_into_one_commit(etcd: Etcd, session: Session) -> None:
    updated = session.update(b"2", timeout=5)
    here = (session.key, updated)
    never = (session.key, session.create_revision)
    outcomes = etcd.commit(
        [
            Entry(session.key + "/a", b"1", 0, guards=(session.guard, here)),
            Entry(session.key + "/b", b"1", 0, guards=(session.guard, never)),
        ],
        timeout=5,
    )
    assert [type(outcome) for outcome in outcomes] == [Committed, Lost]
