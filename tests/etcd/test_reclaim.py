"""Space of an embedded etcd is given back by one process at a time: it answers nobody meanwhile."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from alibroker.etcd.gateway import GatewayError
from alibroker.etcd.reclaim import reclaim


def test_one_process_at_a_time_gives_space_back(tmp_path: Path) -> None:
    nobody = tmp_path / "client:0"
    with (tmp_path / "reclaiming").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reclaim(nobody)
    with pytest.raises(GatewayError):
        reclaim(nobody)
