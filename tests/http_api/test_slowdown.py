"""Guessing passwords is slowed down, and nobody else is."""

from __future__ import annotations

import asyncio
from typing import Any

import falcon.asgi
import falcon.testing
import pytest

from alibroker.http.authentication import LONGEST_DELAY, MOST_DELAYED, Authentication, Slowdown
from alibroker.http.errors import OsbError


class Clock:
    """A clock that goes on when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slowdown(clock: Clock) -> Slowdown:
    return Slowdown(clock, clock.sleep)


def fail(slowdown: Slowdown, times: int) -> None:
    async def failures() -> None:
        for _ in range(times):
            await slowdown.after_failure()

    asyncio.run(failures())


def test_twenty_failures_are_answered_at_once(slowdown: Slowdown, clock: Clock) -> None:
    fail(slowdown, 20)
    assert clock.slept == []


def test_further_ones_are_answered_ever_later_up_to_a_bound(
    slowdown: Slowdown, clock: Clock
) -> None:
    fail(slowdown, 200)
    assert clock.slept[0] == pytest.approx(0.1)
    assert clock.slept == sorted(clock.slept)
    assert max(clock.slept) == LONGEST_DELAY


def test_failures_are_forgotten_within_minutes(slowdown: Slowdown, clock: Clock) -> None:
    fail(slowdown, 1000)
    clock.now += 125
    clock.slept.clear()
    fail(slowdown, 20)
    assert clock.slept == []


def test_a_failure_now_and_then_is_never_delayed(slowdown: Slowdown, clock: Clock) -> None:
    for _ in range(1000):
        fail(slowdown, 1)
        clock.now += 3.1
    assert clock.slept == []


def test_not_too_many_answers_are_delayed_at_once(clock: Clock) -> None:
    async def many() -> list[Any]:
        end = asyncio.Event()

        async def until_end(_seconds: float) -> None:
            await end.wait()

        slowdown = Slowdown(clock, until_end)
        tasks = [asyncio.create_task(slowdown.after_failure()) for _ in range(20 + MOST_DELAYED)]
        await asyncio.sleep(0)
        assert slowdown.delayed == MOST_DELAYED
        with pytest.raises(OsbError) as refused:
            await slowdown.after_failure()
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        tasks[-1].cancel()
        end.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slowdown.delayed == 0
        return tasks

    asyncio.run(many())


def test_failures_are_counted_and_the_right_password_never_waits(clock: Clock) -> None:
    authentication = Authentication({"user": "right"}, slowdown=Slowdown(clock, clock.sleep))
    app: Any = falcon.asgi.App(middleware=[authentication])

    async def refuse(_req: Any, resp: Any, ex: OsbError, _params: Any) -> None:
        resp.status = ex.status

    app.add_error_handler(OsbError, refuse)
    client = falcon.testing.TestClient(app)
    for _ in range(50):
        headers = {"Authorization": "Basic dXNlcjp3cm9uZw=="}
        assert client.simulate_get("/", headers=headers).status_code == 401
    assert authentication.failures == 50
    assert len(clock.slept) == 30
    headers = {"Authorization": "Basic dXNlcjpyaWdodA=="}
    assert client.simulate_get("/", headers=headers).status_code == 404
    assert len(clock.slept) == 30
