"""What the worker does for its embedded etcd besides starting. I6."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ask, provision
from drawers import Drawer, DrawerBroker
from waiting import eventually

from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
from alibroker.etcd.errors import EtcdFullError
from alibroker.etcd.sealing import Sealer
from alibroker.http import starting
from alibroker.http.starting import Lifespan
from alibroker.lifecycle.commands import Verdict

QUOTA = 24 * 2**20
KEY = bytes(32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedEtcd]:
    with EmbeddedEtcd(tmp_path / "etcd", timing=Timing(10, 50), quota=QUOTA) as store:
        yield store


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Put back what the start of a worker changes for its whole life."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def overwrite(etcd: Etcd) -> None:
    """Write one value again and again, until the history of it takes all space."""
    revision = 0
    while True:
        (outcome,) = etcd.commit([Entry("/filler", bytes(900_000), revision)], timeout=10)
        assert isinstance(outcome, Committed)
        revision = outcome.revision


def test_a_full_embedded_store_makes_room_by_itself(tmp_path: Path, store: EmbeddedEtcd) -> None:
    settings = EngineSettings(data_dir=tmp_path)
    etcd = Etcd([store.endpoint])
    system = BrokerSystem([DrawerBroker(Drawer())], etcd, settings.sealer(), settings)
    started: list[BrokerSystem] = []
    socket = Path(store.endpoint.removeprefix("unix:"))
    lifespan = Lifespan(lambda: system, started.append, embedded=socket)
    asyncio.run(lifespan.process_startup(None, None))
    try:
        eventually(lambda: started and not system.problems(), timeout=60)
        with Etcd([store.endpoint]) as other, pytest.raises(EtcdFullError):
            overwrite(other)
        refused = ask(system, provision("i1"))
        assert refused.verdict is Verdict.UNAVAILABLE
        assert "space" in refused.description

        eventually(lambda: not system.problems(), timeout=60)
        assert ask(system, provision("i2")).verdict is not Verdict.UNAVAILABLE
    finally:
        asyncio.run(lifespan.process_shutdown(None, None))


def test_the_log_says_what_a_start_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(starting, "FIRST_WORD", 0.0)
    system = BrokerSystem([DrawerBroker(Drawer())], Etcd(["unix:/none"]), Sealer({"k": KEY}, "k"))
    lifespan = Lifespan(lambda: system, lambda _: None, embedded=tmp_path / "nothing")
    asyncio.run(lifespan.process_startup(None, None))
    try:
        eventually(lambda: "Not ready yet: the embedded etcd has not come up yet" in caplog.text)
    finally:
        asyncio.run(lifespan.process_shutdown(None, None))
    assert caplog.text.count("Not ready yet") == 1
