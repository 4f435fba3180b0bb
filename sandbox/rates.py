"""Limits on calls per second, as token buckets."""

from __future__ import annotations


class Rates:
    """A bucket for each product, holding one second's worth of calls."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, product: str, limit: float, now: float) -> float:
        """Take a call's token.

        Args:
            product: Whose bucket.
            limit: Calls per second.
            now: Seconds on a monotonic clock.

        Returns:
            0 when the call may go on, else the seconds until it may.
        """
        capacity = max(1.0, limit)
        tokens, since = self._buckets.get(product, (capacity, now))
        tokens = min(capacity, tokens + (now - since) * limit)
        if tokens >= 1:
            self._buckets[product] = (tokens - 1, now)
            return 0.0
        self._buckets[product] = (tokens, now)
        return (1 - tokens) / limit
