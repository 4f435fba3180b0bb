"""A watch tells everything once and in order, and says so when it cannot go on."""

import threading
from collections.abc import Callable, Iterator
from operator import attrgetter

import psutil
import pytest
from etcd3.etcdrpc import CompactionRequest, WatchResponse
from etcd3.etcdrpc import kv_pb2 as rpc_kv
from relay import Relay

from alibroker.etcd.client import Committed, Entry, Etcd, Event, Watch
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.errors import EtcdCompactedError, EtcdRejectedError, EtcdUnavailableError

ProcessOf = Callable[[int | None], psutil.Process]
Eventually = Callable[..., None]


class Seen:
    """What a watch has told."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[Event]]] = []
        self.errors: list[Exception] = []
        self.threads: set[threading.Thread] = set()

    @property
    def events(self) -> list[Event]:
        return [event for _, events in self.batches for event in events]

    def take(self, revision: int, events: list[Event]) -> None:
        self.threads.add(threading.current_thread())
        self.batches.append((revision, events))

    def follow(self, etcd: Etcd, prefix: str, start: int) -> Watch:
        return etcd.watch(prefix, start=start, on_events=self.take, on_broken=self.errors.append)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def relay(server: EmbeddedEtcd) -> Iterator[Relay]:
    with Relay(server.endpoint) as relay:
        yield relay


def put(etcd: Etcd, *keys: str, value: bytes = b"1") -> int:
    """Create keys in one commit, and return its revision."""
    outcomes = etcd.commit([Entry(key, value, 0) for key in keys], timeout=10)
    assert all(isinstance(outcome, Committed) for outcome in outcomes)
    return max(outcome.revision for outcome in outcomes if isinstance(outcome, Committed))


def test_changes_are_told_by_revision_and_in_order(
    etcd: Etcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    before = set(threading.enumerate())
    early = put(etcd, prefix + "early")
    watch = seen.follow(etcd, prefix, early)
    assert watch.revision == early - 1
    watch.open()
    first = put(etcd, prefix + "a", prefix + "b")
    put(etcd, prefix[:-1] + "0")  # not under the prefix
    etcd.commit([Entry(prefix + "a", b"2", first)], timeout=5)
    last = etcd.ping(timeout=5) + 1
    etcd.commit([Entry(prefix + "b", None, first)], timeout=5)
    eventually(lambda: watch.revision == last)
    assert watch.is_connected
    assert seen.batches == [
        (early, [Event(prefix + "early", b"1", early, early, 1)]),
        (
            first,
            [
                Event(prefix + "a", b"1", first, first, 1),
                Event(prefix + "b", b"1", first, first, 1),
            ],
        ),
        (last - 1, [Event(prefix + "a", b"2", last - 1, first, 2)]),
        (last, [Event(prefix + "b", None, last, 0, 0)]),
    ]
    assert len(seen.threads) == 1
    watch.close()
    watch.close()
    # gRPC ends its own a moment later.
    eventually(lambda: set(threading.enumerate()) <= before)
    assert seen.errors == []


def test_thousands_of_events_and_megabytes_at_once_are_taken_in(
    etcd: Etcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    start = etcd.ping(timeout=5) + 1
    for number in range(50):
        put(etcd, *(f"{prefix}{number}/{one}" for one in range(100)))
    for number in range(8):
        last = put(etcd, f"{prefix}large/{number}", value=bytes(900_000))
    watch = seen.follow(etcd, prefix, start)
    watch.open()
    eventually(lambda: watch.revision == last)
    watch.close()
    assert [len(events) for _, events in seen.batches] == [100] * 50 + [1] * 8
    assert len({event.key for event in seen.events}) == 5008
    revisions = [revision for revision, _ in seen.batches]
    assert revisions == sorted(set(revisions))
    assert {event.revision for event in seen.events} == set(revisions)
    assert sum(len(event.value or b"") for event in seen.events[-8:]) == 8 * 900_000


def test_nothing_is_missing_and_nothing_repeated_while_etcd_dies_and_comes_back(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf, seen: Seen, eventually: Eventually
) -> None:
    watch = seen.follow(client, "/a/", 1)
    watch.open()
    written = []
    for number in range(300):
        if number in {100, 200}:
            etcd_process(fresh.keeper_pid).kill()
        written.append(put(client, f"/a/{number}"))
    eventually(lambda: watch.revision == written[-1])
    watch.close()
    assert [event.key for event in seen.events] == [f"/a/{number}" for number in range(300)]
    assert [revision for revision, _ in seen.batches] == written
    assert seen.errors == []


def test_a_connection_cut_while_much_happens_loses_nothing(
    relay: Relay, etcd: Etcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    with Etcd([relay.endpoint]) as client:
        watch = seen.follow(client, prefix, etcd.ping(timeout=5) + 1)
        watch.open()
        for number in range(60):
            if number % 20 == 10:
                relay.reset()
            last = put(etcd, f"{prefix}{number}", value=bytes(50_000))
        eventually(lambda: watch.revision == last)
        watch.close()
    assert [event.key for event in seen.events] == [f"{prefix}{one}" for one in range(60)]
    assert seen.errors == []


def test_silence_is_seen_by_the_revision_and_ended_by_a_restart(
    relay: Relay, etcd: Etcd, server: EmbeddedEtcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    with Etcd([relay.endpoint, server.endpoint]) as client:
        watch = seen.follow(client, prefix, 1)
        watch.open()
        first = put(etcd, prefix + "first")
        eventually(lambda: watch.revision == first)
        relay.drop_silently()
        second = put(etcd, prefix + "second")
        assert etcd.read_revision(prefix + "second", timeout=5) == (second, second)
        assert watch.revision == first
        watch.restart()
        eventually(lambda: watch.revision == second)
        watch.close()
    assert [event.key for event in seen.events] == [prefix + "first", prefix + "second"]
    assert seen.errors == []


@pytest.mark.parametrize("behind", [1, 0], ids=["what was compacted", "the compaction itself"])
def test_events_that_are_no_longer_kept_end_it(
    client: Etcd, seen: Seen, eventually: Eventually, behind: int
) -> None:
    first = put(client, "/a/1")
    assert isinstance(client.commit([Entry("/a/1", None, first)], timeout=5)[0], Committed)
    deleted = client.ping(timeout=5)
    compact = attrgetter("kv.Compact")
    request = CompactionRequest(revision=deleted)
    client._connection.call(compact, request, timeout=5, changes=False)
    watch = seen.follow(client, "/a/", deleted - behind)
    watch.open()
    eventually(lambda: bool(seen.errors))
    watch.close()
    (error,) = seen.errors
    assert isinstance(error, EtcdCompactedError)
    assert f"from revision {deleted - behind} on" in str(error)
    assert seen.batches == []


def test_a_compaction_between_the_look_and_the_watch_is_told(
    etcd: Etcd, prefix: str, seen: Seen
) -> None:
    watch = seen.follow(etcd, prefix, 5)
    with pytest.raises(EtcdCompactedError, match="from revision 5 on; it was compacted up to 9"):
        watch._take(WatchResponse(canceled=True, compact_revision=9))


def test_a_store_that_was_set_back_ends_it(
    etcd: Etcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    watch = seen.follow(etcd, prefix, etcd.ping(timeout=5) + 1000)
    watch.open()
    eventually(lambda: bool(seen.errors))
    watch.close()
    assert isinstance(seen.errors[0], EtcdRejectedError)
    assert "future revision" in str(seen.errors[0])


def test_a_callback_that_fails_ends_it_with_its_own_error(
    etcd: Etcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    failure = ArithmeticError("cannot")

    def fail(*_: object) -> None:
        raise failure

    first = put(etcd, prefix + "a")
    watch = etcd.watch(prefix, start=first, on_events=fail, on_broken=seen.errors.append)
    watch.open()
    eventually(lambda: seen.errors == [failure])
    assert watch.revision == first - 1
    watch.close()
    assert len(seen.errors) == 1


def test_a_slow_callback_holds_up_nobody_else_and_misses_nothing(
    etcd: Etcd, prefix: str, eventually: Eventually
) -> None:
    goes_on = threading.Event()
    begun = threading.Event()
    revisions: list[int] = []

    def slow(revision: int, _: list[Event]) -> None:
        begun.set()
        assert goes_on.wait(60)
        revisions.append(revision)

    watch = etcd.watch(
        prefix, start=etcd.ping(timeout=5) + 1, on_events=slow, on_broken=pytest.fail
    )
    watch.open()
    # Far more than what a connection holds back: the others' calls must not wait behind it.
    written = [put(etcd, f"{prefix}{number}", value=bytes(900_000)) for number in range(20)]
    assert begun.wait(20)
    assert revisions == []
    assert etcd.ping(timeout=5) >= written[-1]
    goes_on.set()
    eventually(lambda: watch.revision == written[-1])
    watch.close()
    assert revisions == written


def test_a_closed_client_is_told(
    server: EmbeddedEtcd, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    with Etcd([server.endpoint]) as client:
        watch = seen.follow(client, prefix, 1)
        watch.open()
        eventually(lambda: watch.is_connected)
    eventually(lambda: bool(seen.errors))
    assert isinstance(seen.errors[0], EtcdUnavailableError)
    watch.close()
    assert len(seen.errors) == 1


def test_closing_while_etcd_does_not_answer_is_bounded(
    relay: Relay, prefix: str, seen: Seen, eventually: Eventually
) -> None:
    with Etcd([relay.endpoint]) as client:
        watch = seen.follow(client, prefix, 1)
        watch.open()
        eventually(lambda: watch.is_connected)
        relay.stall()
        watch.restart()
        eventually(lambda: not watch.is_connected)
        watch.close()
    assert seen.errors == []


def test_what_a_server_repeats_is_told_once(etcd: Etcd, prefix: str, seen: Seen) -> None:
    def reply(*revisions: int) -> WatchResponse:
        pairs = [rpc_kv.KeyValue(key=b"/a", mod_revision=one) for one in revisions]
        return WatchResponse(events=[rpc_kv.Event(kv=pair) for pair in pairs])

    watch = seen.follow(etcd, prefix, 5)
    for revisions in [(4, 5, 6), (5, 6), (3,), (6, 7)]:
        watch._take(reply(*revisions))
    assert [revision for revision, _ in seen.batches] == [5, 6, 7]
    assert watch.revision == 7


def test_a_watch_that_etcd_cancels_again_and_again_ends(
    etcd: Etcd, prefix: str, seen: Seen
) -> None:
    cancelled = WatchResponse(created=True, canceled=True, cancel_reason="no")
    watch = seen.follow(etcd, prefix, 1)
    with pytest.raises(EtcdUnavailableError):
        watch._take(cancelled)
    watch._take(WatchResponse(created=True))
    for _ in range(2):
        with pytest.raises(EtcdUnavailableError):
            watch._take(cancelled)
    with pytest.raises(EtcdRejectedError, match="no"):
        watch._take(cancelled)


@pytest.mark.parametrize(("prefix", "start"), [("", 1), ("/a/", 0)])
def test_a_watch_of_everything_or_of_no_revision_is_refused(
    etcd: Etcd, seen: Seen, prefix: str, start: int
) -> None:
    with pytest.raises(ValueError, match="needs a prefix"):
        seen.follow(etcd, prefix, start)
