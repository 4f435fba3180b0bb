"""An actor system over the real etcd."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawers import Drawer, DrawerBroker

from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.etcd.client import MAX_ENTRIES, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
from alibroker.etcd.sealing import Sealer

# Real database servers only where a test asks for them: most need none, and they take time.
os.environ.setdefault("SANDBOX_DATA_PLANES", "off")

# The first holds whatever reaches a sandbox against the vendor's models.
pytest_plugins = ["witness_plugin", "spreading_plugin"]


def pytest_configure() -> None:
    """Let Ctrl-C mean the same in whatever the tests start, however they were started themselves.

    What a script starts in the background ignores it, and hands that on to all its children.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEtcd]:
    with EmbeddedEtcd(tmp_path_factory.mktemp("etcd"), timing=Timing(10, 50)) as server:
        yield server


@pytest.fixture
def etcd_server(
    request: pytest.FixtureRequest, tmp_path: Path, shared_etcd: EmbeddedEtcd
) -> Iterator[EmbeddedEtcd]:
    """Return an etcd that holds nothing; one of the test's own if it is to be hurt."""
    if request.node.get_closest_marker("own_etcd"):
        with EmbeddedEtcd(tmp_path / "data", timing=Timing(10, 50)) as server:
            yield server
        return
    with Etcd([shared_etcd.endpoint]) as etcd:
        pairs = list(etcd.scan("/"))
        for start in range(0, len(pairs), MAX_ENTRIES):
            some = pairs[start : start + MAX_ENTRIES]
            etcd.commit([Entry(one.key, None, one.revision) for one in some], timeout=5)
    yield shared_etcd


@pytest.fixture
def etcd_endpoint(etcd_server: EmbeddedEtcd) -> str:
    return etcd_server.endpoint


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


MakeSystem = Callable[..., BrokerSystem]


@pytest.fixture
def make_system(etcd_endpoint: str, drawer: Drawer, tmp_path: Path) -> Iterator[MakeSystem]:
    """Return a function that starts a system; all are stopped after the test."""
    systems = []
    key = bytes(32)

    def make(*, wait: bool = True, **settings: Any) -> BrokerSystem:
        engine = EngineSettings(
            **{"workers": 3, "store_timeout": 2.0, "data_dir": tmp_path, **settings}
        )
        system = BrokerSystem(
            [DrawerBroker(drawer)], Etcd([etcd_endpoint]), Sealer({"k": key}, "k"), engine
        )
        system.start()
        systems.append(system)
        if wait:
            system.wait_until_ready(10)
        return system

    yield make
    for system in systems:
        system.stop()


@pytest.fixture
def system(make_system: MakeSystem) -> BrokerSystem:
    return make_system()
