"""Nonces that were used, for as long as a request could be replayed."""

from __future__ import annotations

# A timestamp may lie 15 minutes off either way, so a replay is possible for 30 minutes.
_WINDOW_SECONDS = 30 * 60
_LIMIT = 500_000


class Nonces:
    """Two generations of nonces: each lives for at least one window, memory stays bounded."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._turned = 0.0

    def use(self, nonce: str, now: float) -> bool:
        """Take a nonce; False when it was taken before."""
        if nonce in self._young or nonce in self._old:
            return False
        if now - self._turned > _WINDOW_SECONDS or len(self._young) >= _LIMIT:
            self._old, self._young, self._turned = self._young, set(), now
        self._young.add(nonce)
        return True
