"""A real etcd for the tests: one for all, and fresh ones where faults are injected."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from alibroker.etcd.client import Etcd
from alibroker.etcd.embedded import EmbeddedEtcd, Timing

FAST = Timing(heartbeat=10, election=50)

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEtcd]:
    with EmbeddedEtcd(tmp_path_factory.mktemp("etcd"), timing=FAST) as server:
        yield server


@pytest.fixture(scope="session")
def etcd(server: EmbeddedEtcd) -> Iterator[Etcd]:
    with Etcd([server.endpoint]) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return f"/test/{next(_numbers)}/"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[EmbeddedEtcd]:
    with EmbeddedEtcd(tmp_path / "data", timing=FAST) as server:
        yield server


@pytest.fixture
def client(fresh: EmbeddedEtcd) -> Iterator[Etcd]:
    with Etcd([fresh.endpoint]) as client:
        yield client


@pytest.fixture
def etcd_process(eventually: Callable[..., None]) -> Callable[[int | None], psutil.Process]:
    """Gives the etcd that a keeper (its pid) runs at this moment."""

    def find(keeper: int | None) -> psutil.Process:
        found: list[psutil.Process] = []

        def runs() -> bool:
            found[:] = psutil.Process(keeper).children()
            # It may end between two looks.
            with contextlib.suppress(psutil.NoSuchProcess):
                return bool(found) and found[0].name() == "etcd"
            return False

        eventually(runs)
        return found[0]

    return find


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until a condition holds; fails after a bound."""

    def wait(condition: Callable[[], bool], *, within: float = 20.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.01)

    return wait


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Tells whether a process has ended."""

    def ended(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return ended


@pytest.fixture(autouse=True)
def no_etcd_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ETCD_")]:
        monkeypatch.delenv(name)
