"""Reading everything back: complete, consistent, and fast enough."""

import re
import threading
import time
import uuid
from pathlib import Path

import pytest

from alibroker.etcd import gateway, scan
from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.errors import EtcdCompactedError, ReplyTooLargeError


def fill(etcd: Etcd, keys: list[str], value: bytes = b"v") -> None:
    for start in range(0, len(keys), 100):
        entries = [Entry(key, value, 0) for key in keys[start : start + 100]]
        assert all(isinstance(one, Committed) for one in etcd.commit(entries, timeout=10))


def compact(server: EmbeddedEtcd, revision: int) -> None:
    socket = Path(server.endpoint.removeprefix("unix:"))
    body = {"revision": revision, "physical": True}
    gateway.call(socket, "kv/compaction", body, timeout=5)


def test_a_scan_finds_its_prefixes_and_nothing_beside_them(etcd: Etcd, prefix: str) -> None:
    wanted = [prefix + "a/" + name for name in ("", "1", "10", "ü", "zz")]
    more = [prefix + "c/1"]
    fill(etcd, [*wanted, *more, prefix + "a", prefix + "a0", prefix + "b/1"])
    found = etcd.scan(prefix + "a/", prefix + "c/", timeout=5)
    assert sorted(pair.key for pair in found) == sorted([*wanted, *more])
    assert list(etcd.scan(prefix + "none/", timeout=5)) == []
    assert found.revision == etcd.ping(timeout=5)


def test_twenty_thousand_keys_are_read_in_bounded_time(etcd: Etcd, prefix: str) -> None:
    keys = [prefix + str(uuid.uuid4()) for _ in range(20_000)]
    fill(etcd, keys, b"x" * 800)
    started = time.monotonic()
    found = [pair.key for pair in etcd.scan(prefix, timeout=5)]
    elapsed = time.monotonic() - started
    assert found == sorted(keys)
    assert elapsed < 2.0  # 0.2 s on a quiet machine


@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_pages_of_any_size_make_up_the_whole(
    etcd: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    keys = sorted(prefix + name for name in ["0", "00", "0f", "9", "a", "f", "ff", "g", "~", "Z"])
    fill(etcd, keys)
    monkeypatch.setattr(scan, "_PAGE_KEYS", page)
    assert [pair.key for pair in etcd.scan(prefix, timeout=5)] == keys
    monkeypatch.setattr(scan, "_ONE_DIGIT_KEYS", 1)
    assert [pair.key for pair in etcd.scan(prefix, timeout=5)] == keys


def test_pages_shrink_until_they_fit_into_a_message(
    etcd: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{prefix}{number:02}" for number in range(20)]
    fill(etcd, keys)
    real = etcd._ask

    def small_messages(method: object, request: object, timeout: float) -> object:
        reply = real(method, request, timeout)  # type: ignore[arg-type]
        if len(reply.kvs) > 3:
            raise ReplyTooLargeError("too large")
        return reply

    monkeypatch.setattr(etcd, "_ask", small_messages)
    monkeypatch.setattr(scan, "_PAGE_KEYS", 20)
    assert [pair.key for pair in etcd.scan(prefix, timeout=5)] == keys


def test_a_scan_under_writes_is_one_consistent_snapshot(
    etcd: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_PAGE_KEYS", 10)
    first, last = prefix + "0", prefix + "~"
    fill(etcd, [first, *(f"{prefix}{number:03x}" for number in range(0x100, 0x164)), last])
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            current = [one.revision for one in etcd.read([first, last], timeout=5) if one]
            value = str(number).encode()
            etcd.commit(
                [Entry(first, value, current[0]), Entry(last, value, current[1])], timeout=5
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = set()
        for _ in range(40):
            values = {pair.key: pair.value for pair in etcd.scan(prefix, timeout=5)}
            assert values[first] == values[last]
            seen.add(values[first])
        assert len(seen) > 1, "nothing was written meanwhile"
    finally:
        stop.set()
        writer.join()


def test_two_scans_can_share_a_snapshot(etcd: Etcd, prefix: str) -> None:
    fill(etcd, [prefix + "a"])
    earlier = etcd.scan(prefix, timeout=5)
    fill(etcd, [prefix + "b"])
    same = etcd.scan(prefix, timeout=5, revision=earlier.revision)
    assert [pair.key for pair in same] == [prefix + "a"]
    assert same.revision == earlier.revision


def test_a_scan_begins_anew_when_its_snapshot_is_compacted(
    fresh: EmbeddedEtcd, client: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_PAGE_KEYS", 2)
    keys = [f"{prefix}{number}" for number in range(6)]
    fill(client, keys)
    handed_out: list[str] = []
    found = client.scan(prefix, timeout=5, restarted=handed_out.clear)
    handed_out += [next(found).key for _ in range(3)]
    late = prefix + "7"
    fill(client, [late])
    compact(fresh, client.ping(timeout=5))
    handed_out.extend(pair.key for pair in found)
    assert handed_out == [*keys, late]
    assert found.revision == client.ping(timeout=5)


def test_a_scan_that_cannot_begin_anew_says_that_its_snapshot_is_gone(
    fresh: EmbeddedEtcd, client: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_PAGE_KEYS", 2)
    fill(client, [f"{prefix}{number}" for number in range(6)])
    found = client.scan(prefix, timeout=5)
    pinned = found.revision
    next(found)
    fill(client, [prefix + "7"])
    compact(fresh, client.ping(timeout=5))
    with pytest.raises(EtcdCompactedError):
        list(found)
    with pytest.raises(EtcdCompactedError, match=re.escape("compacted")):
        client.scan(prefix, timeout=5, revision=pinned)
