"""An actor system over the real etcd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawers import Drawer, DrawerBroker

from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.etcd.client import Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing
from alibroker.etcd.sealing import Sealer


@pytest.fixture
def etcd_server(tmp_path: Path) -> Iterator[EmbeddedEtcd]:
    """Return an etcd of the test's own, which therefore holds nothing."""
    server = EmbeddedEtcd(tmp_path / "data", timing=Timing(10, 50))
    server.start()
    yield server
    server.stop()


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
