"""What was created and removed does not come back, however late an attempt to create it arrives."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import pytest
from relay import Relay

from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue, Lost, Session
from alibroker.etcd.embedded import EmbeddedEtcd

TXN = attrgetter("kv.Txn")


@pytest.fixture
def session(etcd: Etcd, prefix: str) -> Iterator[Session]:
    session = etcd.session(prefix + "me", b"1", ttl=2, on_lost=pytest.fail)
    session.open(timeout=5)
    yield session
    session.close(timeout=5)


def creation(session: Session, name: str = "x", value: bytes = b"1") -> Entry:
    return Entry(f"{session.key}/{name}", value, 0, guards=(session.guard,))


def create(etcd: Etcd, session: Session, entry: Entry) -> int:
    done = etcd.write([entry], timeout=5, clock=session.key + "/clock", fence=session.fence)
    (outcome,) = done.outcomes
    assert isinstance(outcome, Committed)
    return outcome.revision


def remove(etcd: Etcd, key: str) -> None:
    (found,) = etcd.read([key], timeout=5)
    assert found is not None
    assert isinstance(etcd.commit([Entry(key, None, found.revision)], timeout=5)[0], Committed)


def send(etcd: Etcd, request: Any) -> Any:
    return etcd._connection.call(TXN, request, timeout=5, changes=True).reply


@pytest.mark.parametrize("late", ["the first attempt", "a later one"])
@pytest.mark.parametrize("clock", ["", "/clock"])
def test_after_a_second_attempt_no_other_one_is_carried_out(
    etcd: Etcd, session: Session, late: str, clock: str
) -> None:
    entry = creation(session)
    first, again = session.fence.requests([entry], clock and session.key + clock)
    assert send(etcd, again).succeeded
    remove(etcd, entry.key)
    assert not send(etcd, first if late == "the first attempt" else again).succeeded
    assert etcd.read([entry.key], timeout=5) == [None]


def test_a_fence_that_has_moved_is_found_where_it_stands(etcd: Etcd, session: Session) -> None:
    _, again = session.fence.requests([creation(session, "theirs")], "")
    assert send(etcd, again).succeeded
    for name in ("a", "b"):
        entry = creation(session, name)
        revision = create(etcd, session, entry)
        assert etcd.read([entry.key], timeout=5) == [KeyValue(entry.key, b"1", revision)]


def test_what_an_unheard_attempt_has_created_is_the_calls_own(etcd: Etcd, session: Session) -> None:
    ours, theirs = creation(session, "ours"), creation(session, "theirs")
    _, again = session.fence.requests([ours], "")
    revision = send(etcd, again).header.revision
    create(etcd, session, creation(session, "theirs", b"2"))
    done = etcd.write([ours, theirs], timeout=5, in_doubt=True, fence=session.fence)
    assert done.outcomes[0] == Committed(revision)
    assert isinstance(done.outcomes[1], Lost)


def test_a_lost_answer_is_cleared_up_behind_the_fence(
    server: EmbeddedEtcd, etcd: Etcd, session: Session
) -> None:
    entry = creation(session)
    with Relay(server.endpoint) as relay, Etcd([relay.endpoint]) as client:
        client.ping(timeout=5)
        relay.lose_answers(1, entry.key.encode())
        revision = create(client, session, entry)
        assert relay.lost == 1
    assert etcd.read([entry.key], timeout=5) == [KeyValue(entry.key, b"1", revision)]
    assert session.fence._revision > revision


def test_a_fence_is_made_when_it_is_needed_and_goes_with_the_session(
    etcd: Etcd, session: Session
) -> None:
    key = session.fence._key.decode()
    revision = create(etcd, session, creation(session))
    assert etcd.read([key], timeout=5) == [None]
    # What replaces or removes needs none.
    entry = Entry(f"{session.key}/x", b"2", revision, guards=(session.guard,))
    etcd.write([entry], timeout=5, in_doubt=True, fence=session.fence)
    assert etcd.read([key], timeout=5) == [None]
    etcd.write([creation(session, "y")], timeout=5, in_doubt=True, fence=session.fence)
    assert etcd.read([key], timeout=5) != [None]
    session.close(timeout=5)
    assert etcd.read([key], timeout=5) == [None]


def test_after_the_sessions_end_it_is_told_what_came_before(etcd: Etcd, session: Session) -> None:
    ours, never = creation(session, "ours"), creation(session, "never")
    _, again = session.fence.requests([ours], "")
    revision = send(etcd, again).header.revision
    session.close(timeout=5)
    clock = session.key + "/clock"
    for in_doubt in (True, False):
        done = etcd.write(
            [ours, never], timeout=5, in_doubt=in_doubt, clock=clock, fence=session.fence
        )
        known = Committed(revision) if in_doubt else Lost(KeyValue(ours.key, b"1", revision))
        assert done.outcomes == [known, Lost(None)]
