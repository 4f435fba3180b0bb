"""Guessing passwords is slowed down, tells nothing, and hurts nobody else."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import Any

import falcon.asgi
import falcon.testing
import pytest

from alibroker.actors.settings import SettingsError
from alibroker.http import guesses as module
from alibroker.http.addresses import Addresses, networks
from alibroker.http.authentication import Authentication
from alibroker.http.errors import OsbError, render_osb_error
from alibroker.http.guesses import (
    FREE,
    FREE_TOGETHER,
    LONGEST,
    WAITING,
    WAITING_ADDRESS,
    WAITING_EACH,
    Guesser,
    Guesses,
)
from alibroker.http.settings import EdgeSettings

SOMEBODY = Guesser("192.0.2.1", b"somebody")


class Clock:
    """A clock that goes on when it is told to."""

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
def guesses(clock: Clock) -> Guesses:
    return Guesses(clock=clock, sleep=clock.sleep)


def guess(guesses: Guesses, times: int, guesser: Callable[[int], Guesser] | None = None) -> None:
    async def wrong() -> None:
        for number in range(times):
            one = guesser(number) if guesser else SOMEBODY
            await guesses.wait(one)
            guesses.was_wrong(one)

    asyncio.run(wrong())


def delay(guesses: Guesses, clock: Clock, guesser: Guesser) -> float:
    """Return how long the next request has to wait."""
    clock.slept.clear()
    asyncio.run(guesses.wait(guesser))
    return clock.slept[0] if clock.slept else 0.0


def test_a_few_wrong_ones_are_answered_at_once(guesses: Guesses, clock: Clock) -> None:
    guess(guesses, FREE)
    assert clock.slept == []


def test_further_ones_are_answered_ever_later_up_to_a_bound(guesses: Guesses, clock: Clock) -> None:
    guess(guesses, 200)
    assert 0 < clock.slept[0] < 0.3
    assert clock.slept == sorted(clock.slept)
    assert max(clock.slept) == LONGEST


def test_they_are_forgotten_within_minutes(guesses: Guesses, clock: Clock) -> None:
    guess(guesses, 1000)
    clock.now += 125
    clock.slept.clear()
    guess(guesses, FREE)
    assert clock.slept == []


def test_one_now_and_then_never_waits(guesses: Guesses, clock: Clock) -> None:
    for _ in range(1000):
        guess(guesses, 1)
        clock.now += 3.1
    assert clock.slept == []


def test_guesses_from_elsewhere_or_with_another_name_hurt_nobody(
    guesses: Guesses, clock: Clock
) -> None:
    guess(guesses, 2 * FREE)
    assert delay(guesses, clock, SOMEBODY) > 0
    assert delay(guesses, clock, Guesser("192.0.2.2", b"somebody")) == 0
    assert delay(guesses, clock, Guesser("192.0.2.1", b"else")) == 0


@pytest.mark.parametrize(
    "guesser",
    [
        lambda number: Guesser(f"198.51.100.{number % 250}", b"platform"),
        lambda number: Guesser("198.51.100.1", b"%d" % number),
    ],
    ids=["many addresses", "many names"],
)
def test_guesses_from_everywhere_are_slowed_down_but_for_who_was_let_in_before(
    guesses: Guesses, clock: Clock, guesser: Callable[[int], Guesser]
) -> None:
    platform = Guesser("192.0.2.9", b"platform")
    guesses.was_right(platform)
    guess(guesses, 2 * FREE * FREE_TOGETHER, guesser)
    assert delay(guesses, clock, guesser(5000)) == pytest.approx(LONGEST)
    assert delay(guesses, clock, Guesser("192.0.2.7", b"new")) == pytest.approx(LONGEST)
    assert delay(guesses, clock, platform) == 0
    # Having been right once is no licence to guess.
    guess(guesses, 2 * FREE, lambda _: platform)
    assert delay(guesses, clock, platform) > 0


@pytest.mark.parametrize(
    ("many", "allowed"),
    [
        (lambda _: Guesser("192.0.2.1", b"a"), WAITING_EACH),
        (lambda number: Guesser("192.0.2.1", b"%d" % number), WAITING_ADDRESS),
        (lambda number: Guesser(f"192.0.2.{number}", b"a"), WAITING),
    ],
    ids=["one", "an address", "all"],
)
def test_not_too_many_wait_at_once(
    clock: Clock, many: Callable[[int], Guesser], allowed: int
) -> None:
    async def run() -> None:
        end = asyncio.Event()

        async def until_end(_seconds: float) -> None:
            await end.wait()

        guesses = Guesses(clock=clock, sleep=until_end)
        for _ in range(2 * FREE * FREE_TOGETHER):
            guesses.was_wrong(many(0))
        tasks = [asyncio.create_task(guesses.wait(many(number))) for number in range(allowed)]
        await asyncio.sleep(0)
        assert guesses.waiting == allowed
        with pytest.raises(OsbError) as refused:
            await guesses.wait(many(allowed - 1))
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        tasks[-1].cancel()
        end.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert guesses.waiting == 0
        assert not guesses._waiting

    asyncio.run(run())


def test_what_is_remembered_is_bounded(
    guesses: Guesses, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 50)
    guess(guesses, 1000, lambda number: Guesser(f"192.0.2.{number}", b"a" * 10_000))
    for number in range(1000):
        guesses.was_right(Guesser(f"192.0.2.{number}", b"a"))
    assert [len(guesses._wrong), len(guesses._right), len(guesses._addresses)] == [50, 50, 50]
    assert delay(guesses, clock, Guesser("192.0.2.999", b"a")) == 0


def test_the_log_says_now_and_then_that_it_goes_on_and_from_where(
    guesses: Guesses, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    guess(guesses, FREE)
    assert caplog.records == []
    guess(guesses, 100)
    guess(guesses, 500, lambda number: Guesser(f"198.51.100.{number % 2}", b"hush"))
    assert len(caplog.records) == 1
    clock.now += 61
    guess(guesses, FREE + 1)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "192.0.2.1 (1)" in texts[0]
    assert "from 3 addresses" in texts[1]
    assert "198.51.100.0 (" in texts[1]
    assert "hush" not in str(texts)
    assert "somebody" not in str(texts)


class Platform:
    """Sends credentials to what lets nobody in but one, and looks how long it had to wait."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        guesses = Guesses(clock=clock, sleep=clock.sleep)
        app: Any = falcon.asgi.App(
            middleware=[Authentication({"user": "right"}, guesses=guesses, addresses=Addresses())]
        )
        app.add_error_handler(OsbError, render_osb_error)
        self.client = falcon.testing.TestClient(app)

    def __call__(self, credentials: str | None, address: str = "192.0.2.1") -> tuple[int, float]:
        self.clock.slept.clear()
        headers = {}
        if credentials is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        answer = self.client.simulate_get("/", headers=headers, remote_addr=address)
        return answer.status_code, sum(self.clock.slept)


def test_a_right_guess_waits_as_long_as_a_wrong_one(clock: Clock) -> None:
    platform = Platform(clock)
    assert platform("user:right") == (404, 0)
    for _ in range(2 * FREE):
        status, seconds = platform("user:wrong")
        assert status == 401
    # It counts one more each time, up to a bound.
    assert platform("user:wrong") == (401, pytest.approx(LONGEST))
    assert platform("user:right") == (404, pytest.approx(LONGEST))
    assert platform("user:right", "192.0.2.2") == (404, 0)
    assert seconds < LONGEST


@pytest.mark.parametrize("nothing", [None, "", "user", "right"])
def test_who_sends_no_credentials_never_waits_and_is_no_guesser(
    clock: Clock, nothing: str | None
) -> None:
    platform = Platform(clock)
    for _ in range(20 * FREE):
        assert platform(nothing) == (401, 0)
    assert platform("user:right") == (404, 0)
    for _ in range(2 * FREE):
        platform("user:wrong")
    assert platform(nothing) == (401, 0)


PROXIES = "10.0.0.0/8, 2001:db8::1"


@pytest.mark.parametrize(
    ("proxies", "client", "forwarded", "found"),
    [
        ("", "192.0.2.1", None, "192.0.2.1"),
        ("", "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("", "::ffff:192.0.2.1", None, "192.0.2.1"),
        ("", "2001:db8:0:1:2:3:4:5", None, "2001:db8:0:1::/64"),
        ("", "", None, "a socket of this machine"),
        (PROXIES, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (PROXIES, "10.1.2.3", None, "10.1.2.3"),
        (PROXIES, "10.1.2.3", "198.51.100.7", "198.51.100.7"),
        (PROXIES, "2001:db8::1", "198.51.100.7:4711", "198.51.100.7"),
        (PROXIES, "::ffff:10.1.2.3", "[2001:db8:0:1::5]:4711", "2001:db8:0:1::/64"),
        # What the client has written itself stands before what the proxies have.
        (PROXIES, "10.1.2.3", "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (PROXIES, "10.1.2.3", "203.0.113.1, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        (PROXIES, "10.1.2.3", "10.4.4.4,10.5.5.5", "10.4.4.4"),
        (PROXIES, "10.1.2.3", "198.51.100.7, unknown", "10.1.2.3"),
        (PROXIES, "10.1.2.3", "198.51.100.7, ", "10.1.2.3"),
    ],
)
def test_where_requests_come_from(
    proxies: str, client: str, forwarded: str | None, found: str
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    scope = falcon.testing.create_scope(headers=headers)
    scope["client"] = (client, 1) if client else None
    req = falcon.asgi.Request(scope, lambda: None)  # type: ignore[arg-type] # reads nothing
    assert Addresses(networks(proxies)).of(req) == found


def test_what_is_no_proxy_is_refused() -> None:
    assert EdgeSettings().proxies() == ()
    with pytest.raises(SettingsError, match="ALIBROKER_TRUSTED_PROXIES"):
        EdgeSettings(trusted_proxies="10.0.0.0/8, proxy").proxies()
    with pytest.raises(SettingsError, match="has host bits"):
        EdgeSettings(trusted_proxies="10.1.0.0/8").proxies()
