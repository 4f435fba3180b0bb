"""What a coroutine waits for, and an actor says from its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Awaited(Generic[T]):
    """One result, from any thread to the loop in which this was made.

    In place of a `concurrent.futures.Future` that asyncio wraps, which costs four times as much: it
    has a condition that threads could wait for, and no thread does.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[T] = self._loop.create_future()
        self._lock = threading.Lock()
        self._done = False
        self._callbacks: list[Callable[[Any], object]] = []

    def done(self) -> bool:
        """Whether there is a result, or nobody waits for it any more."""
        return self._done

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Have it called, from any thread, when this is done."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def set_result(self, result: T) -> None:
        """Say it.

        Raises:
            InvalidStateError: This is done.
        """
        if not self._end():
            raise InvalidStateError
        # A loop that is closed has nobody who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, result)

    async def within(self, timeout: float) -> T:  # noqa: ASYNC109
        """Wait, at most `timeout` seconds; after that, or when cancelled, this is done.

        Raises:
            TimeoutError: It was not said in time.
        """
        timer = self._loop.call_later(timeout, self._expire)
        try:
            return await self._future
        finally:
            timer.cancel()
            self._end()

    def _end(self) -> bool:
        with self._lock:
            if self._done:
                return False
            self._done = True
        for callback in self._callbacks:
            callback(self)
        return True

    def _settle(self, result: T) -> None:
        if not self._future.done():
            self._future.set_result(result)

    def _expire(self) -> None:
        if not self._future.done():
            self._future.set_exception(TimeoutError())
