"""How often what was called, with which result, and how many calls overlapped."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Counts since the start or the last reset."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew; calls that are in flight still count for the peak."""
        self._calls: Counter[tuple[str, str]] = Counter()
        self._codes: Counter[tuple[str, str, str]] = Counter()
        self._peak = self.in_flight

    def begin(self, product: str, action: str) -> None:
        """Note that a call came in."""
        self._calls[product, action] += 1
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)

    def end(self, product: str, action: str, code: str) -> None:
        """Note how a call ended: OK, an error code, or what a fault made of it."""
        self._codes[product, action, code] += 1
        self.in_flight -= 1

    def report(self) -> dict[str, object]:
        """Return the counts as they are shown."""
        calls: dict[str, dict[str, int]] = {}
        for (product, action), count in sorted(self._calls.items()):
            calls.setdefault(product, {})[action] = count
        results: dict[str, dict[str, dict[str, int]]] = {}
        for (product, action, code), count in sorted(self._codes.items()):
            results.setdefault(product, {}).setdefault(action, {})[code] = count
        return {
            "total": sum(self._calls.values()),
            "calls": calls,
            "results": results,
            "in_flight": self.in_flight,
            "peak_in_flight": self._peak,
        }
