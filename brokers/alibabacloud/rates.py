"""How fast the cloud may be asked: a token bucket per product and class of action.

The cloud does not publish its limits for most actions, so the defaults are low, and a bucket slows
down by itself when the cloud says that it throttles.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

MAX_WAIT: Final = 1.0
"""Seconds that a caller is held up at most; beyond that it is sent away."""

_DEFAULTS: Final[Mapping[str, float]] = {
    "rds.read": 5.0,
    "rds.write": 0.5,
    "ram.read": 10.0,
    "ram.write": 5.0,
    "vpc.read": 5.0,
    "oss.read": 20.0,
    "oss.write": 10.0,
    "other.read": 5.0,
    "other.write": 1.0,
}
_BURST_SECONDS: Final = 20.0  # what was not used in so many seconds may be used at once
_SLOWEST: Final = 1 / 32
_RECOVERY: Final = (
    1.02  # per call that went well: back to full speed after some 35 after one halving
)

Rates = Mapping[str, float]
"""Calls per second by `product.read` or `product.write`; infinity for no limit."""


class RatesError(ValueError):
    """The text of a rate setting cannot be understood."""


def parse_rates(text: str) -> Rates:
    """Read e.g. `rds.read=10, rds.write=2`, or `unlimited`; what is not named keeps its default."""
    if text.strip() == "unlimited":
        return dict.fromkeys(_DEFAULTS, float("inf"))
    rates = dict(_DEFAULTS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (item.strip() for item in part.partition("="))
        if name not in rates:
            raise RatesError(f"{name!r} is none of {', '.join(rates)} (or `unlimited`)")
        try:
            rate = float(value)
        except ValueError:
            rate = 0.0
        if not rate > 0.0:
            raise RatesError(f"{name} is not a number of calls per second above 0")
        rates[name] = rate
    return rates


class RateLimitedError(Exception):
    """Our own limit is reached; `after` seconds from now there is room."""

    def __init__(self, after: float) -> None:
        """Take the seconds to wait."""
        super().__init__("the broker's own limit of calls to the cloud is reached")
        self.after = after


class Bucket:
    """A token bucket that slows down when told. Thread-safe."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow `rate` calls a second on average, and bursts of what was saved up."""
        self._whole_rate = rate
        self._full_rate = rate
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = self._capacity
        self._filled_at = clock()
        self._sent_away = 0

    @property
    def _capacity(self) -> float:
        return max(1.0, self._rate * _BURST_SECONDS)

    def reserve(self, max_wait: float = MAX_WAIT) -> float:
        """Take one token and return the seconds to wait before the call.

        Raises:
            RateLimitedError: It would be longer than `max_wait`; no token is taken. Each caller
                that is sent away is told a later time than the one before, so that they do not
                all return at once.
        """
        if self._full_rate == float("inf"):
            return 0.0
        with self._lock:
            now = self._clock()
            elapsed = max(0.0, now - self._filled_at)
            self._tokens = min(self._capacity, self._tokens + elapsed * self._rate)
            self._filled_at = max(now, self._filled_at)
            closed = self._filled_at - now  # above 0 only after `slow_down`
            wait = closed + max(0.0, (1.0 - self._tokens) / self._rate)
            if wait > max_wait:
                self._sent_away += 1
                raise RateLimitedError(wait + self._sent_away / self._rate)
            self._tokens -= 1.0
            self._sent_away = max(0, self._sent_away - 1)
            return wait

    def share(self, replicas: int) -> None:
        """Keep to a part of the rate, for as many others keep to theirs."""
        with self._lock:
            part = self._whole_rate / replicas
            self._rate *= part / self._full_rate if self._full_rate < float("inf") else 1.0
            self._full_rate = part

    def slow_down(self, after: float) -> None:
        """Halve the rate, and let nothing through for `after` seconds: the cloud throttles."""
        with self._lock:
            self._rate = max(self._full_rate * _SLOWEST, self._rate / 2)
            self._tokens = 0.0
            self._filled_at = max(self._filled_at, self._clock() + after)

    def went_well(self) -> None:
        """Come a little nearer to the full rate."""
        if self._rate < self._full_rate:
            with self._lock:
                self._rate = min(self._full_rate, self._rate * _RECOVERY)


class RateLimiter:
    """The buckets of one set of rates."""

    def __init__(self, rates: Rates, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._buckets = {name: Bucket(rate) for name, rate in rates.items()}
        self._sleep = sleep

    def bucket(self, product: str, action: str) -> Bucket:
        """Return the bucket for an action, by what its name says that it does."""
        reads = action.startswith(("Describe", "List", "Get", "Head"))
        kind = "read" if reads else "write"
        return self._buckets.get(f"{product}.{kind}") or self._buckets[f"other.{kind}"]

    def share(self, replicas: int) -> None:
        """Divide all rates by the number of processes that call the cloud."""
        for bucket in self._buckets.values():
            bucket.share(replicas)

    def wait(self, product: str, action: str) -> None:
        """Wait until the call may be made, `MAX_WAIT` seconds at most.

        Raises:
            RateLimitedError: It would take longer.
        """
        wait = self.bucket(product, action).reserve()
        if wait > 0.0:
            self._sleep(wait)
