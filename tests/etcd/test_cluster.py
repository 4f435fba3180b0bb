"""Three members: the client moves on when one dies, hangs, is cut off, or was never there."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cluster import Cluster, endpoints, relayed
from etcd3.etcdrpc import KVStub, PutRequest

from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue
from alibroker.etcd.embedded import Timing
from alibroker.etcd.errors import EtcdUnavailableError

Eventually = Callable[..., None]
Fault = Callable[[Cluster, str], None]

DIES_OR_HANGS = pytest.mark.parametrize("fault", [Cluster.kill, Cluster.pause])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def etcd(cluster: Cluster) -> Iterator[Etcd]:
    with Etcd(cluster.endpoints) as client:
        yield client


class Probe(threading.Thread):
    """The quickest client there can be: it waits for none of its attempts before it makes more."""

    def __init__(self, members: list[str]) -> None:
        super().__init__(name="probe")
        self.answered = threading.Event()
        self.at = 0.0
        self._members = members

    def run(self) -> None:
        channels = [grpc.insecure_channel(member) for member in self._members]
        while not self.answered.wait(0.01):
            for channel in channels:
                request = PutRequest(key=b"/probe", value=b"1")
                put = KVStub(channel).Put.future(request, timeout=30)
                put.add_done_callback(self._tell)
        for channel in channels:
            channel.close()

    def _tell(self, put: Any) -> None:
        if put.code() is grpc.StatusCode.OK and not self.answered.is_set():
            self.at = time.monotonic()
            self.answered.set()


@DIES_OR_HANGS
def test_any_one_member_may_fail(cluster: Cluster, etcd: Etcd, fault: Fault) -> None:
    acknowledged = []
    for number in range(30):
        entry = Entry(f"/a/{number}", str(number).encode(), 0)
        if number == 10:
            # The one in use is the first, be it the leader or not.
            fault(cluster, "m1")
        started = time.monotonic()
        (outcome,) = etcd.commit([entry], timeout=10)
        assert time.monotonic() - started < 5
        assert isinstance(outcome, Committed)
        acknowledged.append(KeyValue(entry.key, str(number).encode(), outcome.revision))
    stored = sorted(etcd.scan("/a/", timeout=5), key=lambda pair: pair.revision)
    assert stored == acknowledged


@DIES_OR_HANGS
def test_a_lost_leader_stalls_the_client_little_longer_than_etcd_itself(
    tmp_path: Path, fault: Fault
) -> None:
    # etcd's default timing: there is a second in which followers pass changes to nobody.
    with Cluster(tmp_path, timing=Timing(heartbeat=100, election=1000)) as cluster:
        leader = cluster.leader()
        others = [name for name in cluster.names if name != leader]
        with Etcd([cluster.endpoint(name) for name in (leader, *others)]) as etcd:
            etcd.ping(timeout=10)
            probe = Probe([cluster.endpoint(name) for name in others])
            fault(cluster, leader)
            probe.start()
            (outcome,) = etcd.commit([Entry("/a", b"1", 0)], timeout=30)
            ended = time.monotonic()
            probe.join()
    assert isinstance(outcome, Committed)
    # It is a third of a second at most, where nothing else is slow.
    assert ended - probe.at < 1.3


@DIES_OR_HANGS
def test_a_session_and_a_watch_outlast_any_one_member(
    cluster: Cluster, etcd: Etcd, fault: Fault, eventually: Eventually
) -> None:
    lost: list[str] = []
    errors: list[Exception] = []
    seen: list[str] = []
    session = etcd.session("/a/me", b"1", ttl=3, on_lost=lost.append)
    session.open(timeout=10)
    watch = etcd.watch(
        "/a/",
        start=session.create_revision + 1,
        on_events=lambda _, events: seen.extend(event.key for event in events),
        on_broken=errors.append,
    )
    watch.open()
    eventually(lambda: watch.is_connected)
    fault(cluster, "m1")
    until = session.valid_until
    for number in range(20):
        entry = Entry(f"/a/{number:02}", b"1", 0, guards=(session.guard,))
        (outcome,) = etcd.commit([entry], timeout=10)
        assert isinstance(outcome, Committed)
    # Who hangs says nothing; that is for the reader to see.
    if watch.revision < outcome.revision:
        watch.restart()
    eventually(lambda: watch.revision == outcome.revision)
    eventually(lambda: session.valid_until > until)
    assert session.is_valid()
    assert seen == [f"/a/{number:02}" for number in range(20)]
    watch.close()
    session.close(timeout=10)
    assert lost == []
    assert errors == []


def test_every_member_takes_renewals(cluster: Cluster) -> None:
    for name in cluster.names:
        with Etcd([cluster.endpoint(name)]) as client:
            session = client.session(f"/me/{name}", b"1", ttl=2, on_lost=pytest.fail)
            session.open(timeout=10)
            session._renew(10)
            session.close(timeout=10)


def test_a_leader_that_is_cut_off_prolongs_no_session_and_tells_no_watch(
    cluster: Cluster, eventually: Eventually
) -> None:
    leader = cluster.leader()
    lost: list[str] = []
    seen: list[int] = []
    others = [cluster.endpoint(name) for name in cluster.names if name != leader]
    with Etcd([cluster.endpoint(leader)]) as alone, Etcd(others) as majority:
        session = alone.session("/a/me", b"1", ttl=2, on_lost=lost.append)
        session.open(timeout=10)
        # It begins at the leader and may go on elsewhere.
        with Etcd([cluster.endpoint(leader), *others]) as client:
            watch = client.watch(
                "/a/",
                start=1,
                on_events=lambda revision, _: seen.append(revision),
                on_broken=pytest.fail,
            )
            watch.open()
            eventually(lambda: watch.is_connected)
            cluster.cut_off(leader)
            valid = True
            while valid:
                # In this order, so that however slow this is the key was gone before.
                there = majority.read([session.key], timeout=10) != [None]
                valid = session.is_valid()
                assert there or not valid
            (outcome,) = majority.commit([Entry("/a/1", b"1", 0)], timeout=10)
            assert isinstance(outcome, Committed)
            eventually(lambda: outcome.revision in seen)
            with pytest.raises(EtcdUnavailableError):
                alone.ping(timeout=0.5)
            eventually(lambda: majority.read([session.key], timeout=10) == [None])
            assert lost == []
            cluster.heal()
            eventually(lambda: bool(lost))
            assert alone.ping(timeout=10) >= outcome.revision
            watch.close()
        session.close(timeout=10)


def test_a_client_goes_on_while_one_of_its_ways_is_open(cluster: Cluster) -> None:
    with relayed(cluster) as relays, Etcd(endpoints(relays)) as client:
        revision = client.ping(timeout=10)
        relays["m1"].stall()
        relays["m2"].refuse()
        (outcome,) = client.commit([Entry("/a", b"1", 0)], timeout=10)
        assert outcome == Committed(revision + 1)
        relays["m3"].stall()
        with pytest.raises(EtcdUnavailableError):
            client.ping(timeout=0.5)
        for relay in relays.values():
            relay.heal()
        assert client.ping(timeout=10) == revision + 1


def test_what_was_removed_does_not_come_back_when_a_member_that_was_cut_off_goes_on(
    cluster: Cluster,
) -> None:
    with Etcd(cluster.endpoints) as etcd:
        session = etcd.session("/me", b"1", ttl=5, on_lost=pytest.fail)
        session.open(timeout=10)
        # Without a fence two in five come back.
        for number in range(6):
            key = f"/a/{number}"
            with relayed(cluster) as relays, Etcd(endpoints(relays)) as client:
                client.ping(timeout=10)
                relays["m1"].stall()
                entry = Entry(key, b"1", 0, guards=(session.guard,))
                done = client.write([entry], timeout=10, fence=session.fence)
                (created,) = done.outcomes
                assert isinstance(created, Committed)
                (removed,) = client.commit([Entry(key, None, created.revision)], timeout=10)
                assert isinstance(removed, Committed)
                relays["m2"].refuse()
                relays["m3"].refuse()
                relays["m1"].flow()
                # By the connection on which the first attempt waits, so that it is over.
                for _ in range(20):
                    client.ping(timeout=10)
            assert etcd.read([key], timeout=10) == [None]
        session.close(timeout=10)
