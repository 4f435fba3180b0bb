"""Slows down whoever guesses passwords, and tells them nothing by it.

A request waits before its credentials are looked at, so a right one waits as long as a wrong one
would: who hangs up early has learned nothing. How long depends on how many wrong ones came of late
with this name from this address. When very many come from anywhere, those wait as well whose name
has not been right from their address before. So whoever has been let in once is not slowed down by
what comes from elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from alibroker.http.errors import OsbError
from alibroker.http.logs import Seldom

log = logging.getLogger(__name__)

FREE: Final = 20
"""Wrong ones a minute, with one name from one address, that nobody waits for."""
FREE_TOGETHER: Final = 5
"""Times as many may come from anywhere."""
LONGEST: Final = 2.0
"""Seconds that a request waits at the most."""
WAITING_EACH: Final = 10
"""Requests with one name from one address that may wait at once: five guesses a second."""
WAITING_ADDRESS: Final = 32
"""Requests from one address that may."""
WAITING: Final = 512
"""Requests that may; each holds a connection and some memory."""
REMEMBERED: Final = 10_000
"""Names and addresses of which is known that they were wrong; as many that were right."""
SAID: Final = 3
"""Addresses that a line in the log names."""


class Guesser:
    """A name from an address, as what is remembered is found by."""

    __slots__ = ("address", "key")

    def __init__(self, address: str, name: bytes) -> None:
        self.address = address
        # A name may be long, and a password by mistake.
        self.key = hash((address, name))


class Recent:
    """How many wrong ones there were of late; they are forgotten as fast as they are free."""

    __slots__ = ("_counted_at", "_recent")

    def __init__(self, now: float) -> None:
        """Begin with none."""
        self._recent = 0.0
        self._counted_at = now

    def count(self, now: float, free: float) -> None:
        """Count one, where `free` a minute make nobody wait; beyond twice that none is worse."""
        self._recent = min(self._left(now, free) + 1, 2 * free)
        self._counted_at = now

    def delay(self, now: float, free: float) -> float:
        """Return the seconds that the next has to wait."""
        return max(0.0, (self._left(now, free) - free) / free * LONGEST)

    def _left(self, now: float, free: float) -> float:
        return max(0.0, self._recent - free / 60 * (now - self._counted_at))


class Guesses:
    """What is remembered of wrong credentials, and of right ones."""

    def __init__(
        self,
        free: int = FREE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        shared_by: Callable[[], int] = lambda: 1,
    ) -> None:
        """Take how many a minute are free, and clock (seconds) and pause, which tests replace.

        Each of as many processes as `shared_by` says counts what comes by way of itself, and gives
        its part of what is free.
        """
        self._free = free
        self._shared_by = shared_by
        self._clock = clock
        self._sleep = sleep
        self._wrong: OrderedDict[int, Recent] = OrderedDict()
        self._right: OrderedDict[int, None] = OrderedDict()
        self._together = Recent(clock())
        self._waiting: Counter[int | str] = Counter()
        self._seldom = Seldom(clock)
        self._addresses: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return self._waiting[""]

    async def wait(self, guesser: Guesser) -> None:
        """Wait as long as a request with credentials has to, whatever they are.

        Raises:
            OsbError: 429, so many wait that this one cannot, whatever its credentials are.
        """
        delay = self._delay(guesser)
        if delay <= 0:
            return
        with self._counted(guesser):
            await self._sleep(delay)

    def was_wrong(self, guesser: Guesser) -> None:
        """Remember it, and say in the log that somebody guesses, if so."""
        now = self._clock()
        recent = self._wrong.pop(guesser.key, None) or Recent(now)
        self._wrong[guesser.key] = recent
        if len(self._wrong) > REMEMBERED:
            self._wrong.popitem(last=False)
        free = self._part
        recent.count(now, free)
        self._together.count(now, free * FREE_TOGETHER)
        if recent.delay(now, free) or self._together.delay(now, free * FREE_TOGETHER):
            self._say(guesser)

    def was_right(self, guesser: Guesser) -> None:
        """Remember that it is no stranger; what was wrong before is not forgotten."""
        if guesser.key in self._right:
            self._right.move_to_end(guesser.key)
            return
        self._right[guesser.key] = None
        if len(self._right) > REMEMBERED:
            self._right.popitem(last=False)

    def _delay(self, guesser: Guesser) -> float:
        recent = self._wrong.get(guesser.key)
        if recent is None and guesser.key in self._right:
            return 0.0
        now, free = self._clock(), self._part
        own = recent.delay(now, free) if recent is not None else 0.0
        if guesser.key in self._right:
            return own
        return max(own, self._together.delay(now, free * FREE_TOGETHER))

    @property
    def _part(self) -> float:
        return max(1.0, self._free / max(1, self._shared_by()))

    @contextmanager
    def _counted(self, guesser: Guesser) -> Iterator[None]:
        bounds: dict[int | str, int] = {
            guesser.key: WAITING_EACH,
            guesser.address: WAITING_ADDRESS,
            "": WAITING,
        }
        if any(self._waiting[one] >= bound for one, bound in bounds.items()):
            self._say(guesser)
            raise OsbError(
                429,
                "TooManyRequests",
                "There are too many requests with wrong credentials.",
                headers={"Retry-After": f"{LONGEST:.0f}"},
            )
        self._waiting.update(bounds.keys())
        try:
            yield
        finally:
            self._waiting.subtract(bounds.keys())
            for one in bounds:
                if not self._waiting[one]:
                    del self._waiting[one]

    def _say(self, guesser: Guesser) -> None:
        if guesser.address in self._addresses or len(self._addresses) < REMEMBERED:
            self._addresses[guesser.address] += 1
        if times := self._seldom.count():
            most = self._addresses.most_common(SAID)
            log.warning(
                "Somebody guesses passwords: %d requests with wrong ones, or too many at once, "
                "since this was last said, from %d addresses, most from %s. They are slowed down "
                "(docs/operations.md, Guessing)",
                times,
                len(self._addresses),
                ", ".join(f"{address} ({count})" for address, count in most),
            )
            self._addresses.clear()
