"""etcd dies, hangs, or is away: acknowledged writes stay, none happens twice, errors are ours."""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from relay import Relay

from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue, Lost
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
from alibroker.etcd.errors import (
    EtcdFullError,
    EtcdRejectedError,
    EtcdUnavailableError,
    EtcdUnknownError,
)

FAST = Timing(heartbeat=10, election=50)

ProcessOf = Callable[[int | None], psutil.Process]


class Counter(msgspec.Struct):
    """A number, and the write that made it: without that, two writes could look alike."""

    number: int
    write: str


class Writer(threading.Thread):
    """Writes keys of its own and counts up one that all share, until it is told to stop."""

    def __init__(self, etcd: Etcd, name: str, stop: threading.Event) -> None:
        super().__init__(name=name)
        self.etcd = etcd
        self.stop = stop
        self.acknowledged: dict[str, tuple[bytes, int]] = {}
        self.increments = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for number in itertools.count():
                if self.stop.is_set():
                    return
                self.write(f"/w/{self.name}/{number}", f"{self.name}:{number}")
        except BaseException as error:
            self.failure = error
            raise

    def write(self, key: str, write: str) -> None:
        while True:
            try:
                (shared,) = self.etcd.read(["/counter"], timeout=10)
            except EtcdUnavailableError:
                continue
            count = msgspec.json.decode(shared.value, type=Counter).number if shared else 0
            value = msgspec.json.encode(Counter(count + 1, write))
            outcomes = self.commit(
                [
                    Entry(key, write.encode(), self.acknowledged.get(key, (b"", 0))[1]),
                    Entry("/counter", value, shared.revision if shared else 0),
                ]
            )
            if isinstance(outcomes[0], Committed):
                self.acknowledged[key] = (write.encode(), outcomes[0].revision)
            if isinstance(outcomes[1], Committed):
                self.increments += 1
                return
            write += "'"

    def commit(self, entries: list[Entry]) -> list[Committed | Lost]:
        in_doubt = False
        while True:
            try:
                return self.etcd.commit(entries, timeout=1, in_doubt=in_doubt)
            except EtcdUnknownError:
                in_doubt = True
            except EtcdUnavailableError:
                pass


def test_acknowledged_writes_survive_kills_and_pauses_and_none_happens_twice(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf
) -> None:
    stop = threading.Event()
    writers = [Writer(client, f"writer{number}", stop) for number in range(4)]
    for writer in writers:
        writer.start()
    chance = random.Random(1)  # noqa: S311 - a repeatable order of faults
    try:
        for round_ in range(6):
            stop.wait(chance.uniform(0.2, 0.5))
            process = etcd_process(fresh.keeper_pid)
            if round_ % 2:
                process.send_signal(signal.SIGSTOP)
                stop.wait(chance.uniform(0.3, 1.4))
                process.send_signal(signal.SIGCONT)
            else:
                process.kill()
        stop.wait(0.5)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [writer.failure for writer in writers] == [None] * 4
    stored = {pair.key: (pair.value, pair.revision) for pair in client.scan("/w/", timeout=5)}
    acknowledged = {key: value for writer in writers for key, value in writer.acknowledged.items()}
    assert stored == acknowledged
    (counter,) = client.read(["/counter"], timeout=5)
    assert counter is not None
    increments = sum(writer.increments for writer in writers)
    assert msgspec.json.decode(counter.value, type=Counter).number == increments
    assert increments > 50


def test_while_etcd_is_away_calls_end_in_time_and_then_the_same_client_recovers(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with EmbeddedEtcd(data, timing=FAST) as first:
        client = Etcd([first.endpoint])
        assert isinstance(client.commit([Entry("/a", b"1", 0)], timeout=5)[0], Committed)
    with client:
        for timeout in (0.2, 1.2):
            started = time.monotonic()
            with pytest.raises(EtcdUnavailableError, match="failed to connect"):
                client.commit([Entry("/b", b"1", 0)], timeout=timeout)
            with pytest.raises(EtcdUnavailableError):
                client.read(["/a"], timeout=timeout)
            with pytest.raises(EtcdUnavailableError):
                client.scan("/", timeout=timeout)
            assert time.monotonic() - started < 3 * timeout + 0.5
        with EmbeddedEtcd(data, timing=FAST):
            started = time.monotonic()
            (outcome,) = client.commit([Entry("/b", b"1", 0)], timeout=5)
            assert time.monotonic() - started < 0.5
            assert isinstance(outcome, Committed)


def test_a_commit_to_a_paused_etcd_is_unknown_and_resolved_by_repeating_it(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf
) -> None:
    client.ping(timeout=5)
    entries = [Entry("/a", b"1", 0), Entry("/b", b"2", 0)]
    process = etcd_process(fresh.keeper_pid)
    process.suspend()
    try:
        started = time.monotonic()
        with pytest.raises(EtcdUnknownError, match="may have been applied"):
            client.commit(entries, timeout=0.8)
        with pytest.raises(EtcdUnavailableError):
            client.read(["/a"], timeout=0.3)
        assert time.monotonic() - started < 1.6
    finally:
        process.resume()
    outcomes = client.commit(entries, timeout=5, in_doubt=True)
    assert [type(outcome) for outcome in outcomes] == [Committed, Committed]
    stored = client.read(["/a", "/b"], timeout=5)
    assert [pair and pair.revision for pair in stored] == [
        outcome.revision for outcome in outcomes if isinstance(outcome, Committed)
    ]


def test_one_commit_outlasts_a_pause_and_a_kill(
    fresh: EmbeddedEtcd, client: Etcd, etcd_process: ProcessOf
) -> None:
    client.ping(timeout=5)
    process = etcd_process(fresh.keeper_pid)
    process.suspend()
    timer = threading.Timer(0.8, process.kill)
    timer.start()
    (outcome,) = client.commit([Entry("/a", b"1", 0)], timeout=10)
    timer.join()
    assert isinstance(outcome, Committed)
    assert client.read(["/a"], timeout=5) == [KeyValue("/a", b"1", outcome.revision)]


def test_a_dead_endpoint_is_passed_over(server: EmbeddedEtcd, tmp_path: Path) -> None:
    with Etcd([f"unix:{tmp_path}/nobody", server.endpoint]) as client:
        started = time.monotonic()
        assert client.ping(timeout=5) > 0
        assert time.monotonic() - started < 0.5


def test_a_server_that_takes_long_to_connect_to_is_reached(server: EmbeddedEtcd) -> None:
    with Relay(server.endpoint) as relay:
        relay.delay = 0.2
        with Etcd([relay.endpoint]) as client:
            assert client.ping(timeout=20) > 0


def test_a_full_store_says_so_serves_reads_and_deletes_and_heals_at_the_next_start(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    quota = 16 * 2**20
    with EmbeddedEtcd(data, timing=FAST, quota=quota) as server, Etcd([server.endpoint]) as client:
        written: list[Entry] = []

        def fill() -> None:
            # etcd knows how large it is ten times a second: until then it takes what comes.
            for number in range(400):
                entry = Entry(f"/a/{number}", bytes(900_000), 0)
                (outcome,) = client.commit([entry], timeout=5)
                assert isinstance(outcome, Committed)
                written.append(Entry(entry.key, None, outcome.revision))

        with pytest.raises(EtcdFullError, match="NOSPACE"):
            fill()
        assert client.status(timeout=5).alarms == ("NOSPACE",)
        assert client.read([written[0].key], timeout=5) != [None]
        deleted = [client.commit([entry], timeout=5)[0] for entry in written]
        assert all(isinstance(outcome, Committed) for outcome in deleted)
        with pytest.raises(EtcdFullError):
            client.commit([Entry("/b", b"1", 0)], timeout=5)
    with EmbeddedEtcd(data, timing=FAST, quota=quota) as server, Etcd([server.endpoint]) as client:
        assert client.status(timeout=5).alarms == ()
        assert isinstance(client.commit([Entry("/b", b"1", 0)], timeout=5)[0], Committed)


def test_a_refusal_is_not_repeated(etcd: Etcd) -> None:
    started = time.monotonic()
    with pytest.raises(EtcdRejectedError, match="INVALID_ARGUMENT"):
        etcd.commit([Entry("", b"1", 0)], timeout=5)
    assert time.monotonic() - started < 1


def test_a_closed_client_refuses_at_once_and_ends_calls_in_flight(
    fresh: EmbeddedEtcd, etcd_process: ProcessOf
) -> None:
    client = Etcd([fresh.endpoint])
    client.ping(timeout=5)
    process = etcd_process(fresh.keeper_pid)
    process.suspend()
    try:
        timer = threading.Timer(0.3, client.close)
        timer.start()
        started = time.monotonic()
        with pytest.raises(EtcdUnknownError, match="closed"):
            client.commit([Entry("/a", b"1", 0)], timeout=20)
        assert time.monotonic() - started < 2
        timer.join()
    finally:
        process.resume()
    with pytest.raises(EtcdUnavailableError, match="closed"):
        client.ping(timeout=20)


def test_a_client_used_before_a_fork_refuses_to_work_after_it(etcd: Etcd) -> None:
    etcd.ping(timeout=5)
    etcd._connection._pid -= 1
    try:
        with pytest.raises(RuntimeError, match="forked"):
            etcd.ping(timeout=5)
    finally:
        etcd._connection._pid = os.getpid()


def test_the_status_names_the_version(etcd: Etcd) -> None:
    status = etcd.status(timeout=5)
    assert status.version.startswith("3.")
    assert status.alarms == ()
    assert status.size > 0
    assert status.revision <= etcd.ping(timeout=5)
