"""Requests wait for the view; one that stays behind is noticed, however much is asked meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from waiting import eventually

from alibroker.actors import barrier
from alibroker.actors.barrier import Barrier, BehindError


class Store:
    """A store whose clock is far ahead of the view, and the times when that was noticed."""

    def __init__(self) -> None:
        self.clock = 7
        self.noticed: list[float] = []
        self.barrier = Barrier(lambda: self.clock, self._behind)

    def _behind(self) -> None:
        self.noticed.append(time.monotonic())


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    store.barrier.start()
    yield store
    store.barrier.stop()


def test_who_asks_goes_on_when_the_view_is_that_far(store: Store) -> None:
    async def ask() -> None:
        waiting = asyncio.ensure_future(store.barrier.passed())
        await asyncio.sleep(0.05)
        store.barrier.reached(6)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        store.barrier.reached(7)
        await waiting
        await store.barrier.passed()

    asyncio.run(ask())
    assert store.noticed == []


def test_a_view_that_is_behind_listens_elsewhere_long_before_anybody_is_refused(
    store: Store,
) -> None:
    async def ask() -> None:
        waiting = asyncio.ensure_future(store.barrier.passed())
        await asyncio.to_thread(eventually, lambda: store.noticed)
        assert not waiting.done()
        store.barrier.reached(7)
        await waiting

    asyncio.run(ask())
    assert len(store.noticed) == 1


def test_who_waits_is_not_forgotten_while_others_ask(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier, "LAG", 0.1)
    monkeypatch.setattr(barrier, "LISTENING", 0.1)
    monkeypatch.setattr(barrier, "PATIENCE", 0.5)
    # Somebody asks before the answer to the one before is there: the thread never has to wait.
    asked: list[asyncio.Future[None]] = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()

        def read_clock() -> int:
            asked.append(asyncio.run_coroutine_threadsafe(store.barrier.passed(), loop))  # type: ignore[arg-type]
            time.sleep(0.01)
            return 7

        store.barrier._read_clock = read_clock
        with pytest.raises(BehindError):
            await asyncio.wait_for(store.barrier.passed(), 20)
        store.barrier._read_clock = lambda: 7
        store.barrier.reached(7)
        await asyncio.gather(*map(asyncio.wrap_future, asked), return_exceptions=True)

    asyncio.run(ask())
    assert len(store.noticed) > 1
