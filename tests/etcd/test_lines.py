"""Data that outlives a change of etcd: what one line has written, a newer one reads."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alibroker.etcd import binary
from alibroker.etcd.binary import Binary
from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
from alibroker.etcd.errors import EtcdError

FAST = Timing(heartbeat=10, election=50)


def programs() -> Iterator[Binary]:
    """Find the environment's etcd and the system's, as far as there are such."""
    elsewhere = [one for one in os.get_exec_path() if not one.startswith(sys.prefix)]
    paths = {
        shutil.which("etcd", path=str(Path(sys.prefix) / "bin")),
        shutil.which("etcd", path=os.pathsep.join(elsewhere)),
    }
    for path in paths - {None}:
        try:
            yield binary.find(path=Path(str(path)))
        except EtcdError:
            continue


def test_a_newer_etcd_takes_over_the_data_of_an_older_one(tmp_path: Path) -> None:
    lines = sorted(programs(), key=lambda one: one.number)
    if len({one.number[:2] for one in lines}) < 2:
        pytest.skip("there are no two lines of etcd on this machine")
    revisions: list[int] = []
    for number, program in enumerate(lines):
        with (
            EmbeddedEtcd(tmp_path, binary=program, timing=FAST) as server,
            Etcd([server.endpoint]) as client,
        ):
            written = client.read([f"/a/{one}" for one in range(number)], timeout=5)
            assert [one and one.value for one in written] == [b"1"] * number
            (outcome,) = client.commit([Entry(f"/a/{number}", b"1", 0)], timeout=5)
            assert isinstance(outcome, Committed)
            revisions.append(outcome.revision)
    assert revisions == sorted(set(revisions))
