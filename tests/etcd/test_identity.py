"""A store that was wiped, swapped or set back is noticed before anything is written to it."""

import shutil
from pathlib import Path

import pytest

from alibroker.etcd import identity
from alibroker.etcd.client import Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
from alibroker.etcd.identity import Store, StoreReplacedError
from alibroker.etcd.keys import STORE

FAST = Timing(heartbeat=10, election=50)


def test_the_first_start_names_the_store_and_later_ones_know_it(
    client: Etcd, tmp_path: Path
) -> None:
    marker = tmp_path / "store.json"
    first = identity.verify(client, marker, timeout=5)
    client.commit([Entry("/a", b"1", 0)], timeout=5)
    second = identity.verify(client, marker, timeout=5)
    assert second.id == first.id
    assert second.revision == first.revision + 1
    assert [marker.name] == [path.name for path in tmp_path.glob("store*")]


def test_a_new_machine_takes_over_the_store_that_it_finds(client: Etcd, tmp_path: Path) -> None:
    first = identity.verify(client, tmp_path / "one.json", timeout=5)
    assert identity.verify(client, tmp_path / "two.json", timeout=5) == first


def test_a_wiped_data_directory_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    marker = data / "store.json"
    with EmbeddedEtcd(data, timing=FAST) as server, Etcd([server.endpoint]) as client:
        identity.verify(client, marker, timeout=5)
    shutil.rmtree(data / "etcd" / "member")
    with EmbeddedEtcd(data, timing=FAST) as server, Etcd([server.endpoint]) as client:
        for _ in range(2):
            with pytest.raises(StoreReplacedError, match="wiped"):
                identity.verify(client, marker, timeout=5)
        assert client.read([STORE], timeout=5) == [None]
        marker.unlink()
        identity.verify(client, marker, timeout=5)


def test_another_store_is_refused(client: Etcd, tmp_path: Path) -> None:
    marker = tmp_path / "store.json"
    identity.verify(client, marker, timeout=5)
    marker.write_bytes(b'{"id": "other", "revision": 1}')
    with pytest.raises(StoreReplacedError, match="replaced"):
        identity.verify(client, marker, timeout=5)


def test_a_store_that_went_back_is_refused(client: Etcd, tmp_path: Path) -> None:
    marker = tmp_path / "store.json"
    store = identity.verify(client, marker, timeout=5)
    identity.remember(marker, Store(store.id, store.revision + 5))
    identity.remember(marker, Store(store.id, store.revision + 3))
    with pytest.raises(StoreReplacedError, match=f"was at {store.revision + 5}"):
        identity.verify(client, marker, timeout=5)


def test_a_damaged_marker_is_refused(client: Etcd, tmp_path: Path) -> None:
    marker = tmp_path / "store.json"
    marker.write_bytes(b"{")
    with pytest.raises(StoreReplacedError, match="cannot be understood"):
        identity.verify(client, marker, timeout=5)
    assert marker.read_bytes() == b"{"
