"""What an actor says from its thread reaches the coroutine that waits, or nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from typing import Any

import pytest

from alibroker.actors.messages import resolve
from alibroker.http.awaited import Awaited


def in_a_thread(call: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_what_a_thread_says_is_returned_and_once_only() -> None:
    async def run() -> None:
        reply: Awaited[str] = Awaited()
        done: list[Any] = []
        reply.add_done_callback(done.append)
        assert not reply.done()
        thread = in_a_thread(lambda: resolve(reply, "yes"))
        assert await reply.within(20) == "yes"
        thread.join()
        assert reply.done()
        assert done == [reply]
        reply.add_done_callback(done.append)
        assert done == [reply, reply]
        with pytest.raises(InvalidStateError):
            reply.set_result("no")
        resolve(reply, "no")

    asyncio.run(run())


def test_what_was_said_before_anybody_waits_is_not_lost() -> None:
    async def run() -> None:
        reply: Awaited[str] = Awaited()
        in_a_thread(lambda: resolve(reply, "yes")).join()
        assert await reply.within(20) == "yes"

    asyncio.run(run())


def test_nobody_waits_longer_than_he_wants_and_others_hear_that() -> None:
    """The dispatcher counts on it: a change that nobody waits for takes nobody's place."""

    async def run() -> None:
        reply: Awaited[str] = Awaited()
        done: list[Any] = []
        reply.add_done_callback(done.append)
        with pytest.raises(TimeoutError):
            await reply.within(0.01)
        assert done == [reply]
        in_a_thread(lambda: resolve(reply, "too late")).join()
        await asyncio.sleep(0)
        assert done == [reply]

    asyncio.run(run())


def test_who_is_cancelled_waits_no_more() -> None:
    async def run() -> None:
        reply: Awaited[str] = Awaited()
        waiting = asyncio.create_task(reply.within(60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert reply.done()

    asyncio.run(run())


def test_an_actor_may_answer_after_the_end_of_the_loop() -> None:
    async def make() -> Awaited[str]:
        return Awaited()

    reply = asyncio.run(make())
    resolve(reply, "nobody is there")
    assert reply.done()
