"""Basic authentication (OSB, Authentication): every request but those of health probes.

Operators may do all that platforms may, and have resources that platforms are not let in to.

Guessing is slowed down: after many failures each further one is answered late. Whoever presents the
right credentials never waits.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import falcon
import falcon.asgi

from alibroker.http.errors import OsbError

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site (W3C, Fetch Metadata) for what no other site has a hand in."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})

FREE_FAILURES: Final = 20.0
"""Failures a minute that are answered at once."""
MOST_COUNTED: Final = 40.0
"""Failures beyond these make nothing worse: two minutes after the last all is as before."""
FORGOTTEN: Final = FREE_FAILURES / 60.0
"""Failures that are forgotten in a second."""
DELAY_EACH: Final = 0.1
"""Seconds by which one failure too many delays the answer."""
LONGEST_DELAY: Final = 2.0
"""Seconds that an answer is delayed at the most."""
MOST_DELAYED: Final = 256
"""Answers that may be delayed at once; each holds a connection and some memory."""


class Slowdown:
    """Delays the answers to failed authentications when there have been many of late."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the clock (seconds) and the pause that tests replace."""
        self.delayed = 0
        """Answers that are being delayed now."""
        self._clock = clock
        self._sleep = sleep
        self._recent = 0.0
        self._counted_at = clock()

    async def after_failure(self) -> None:
        """Count a failure, and wait as long as its answer has to.

        Raises:
            OsbError: 429, so many answers are being delayed that this one cannot be.
        """
        delay = self._delay()
        if delay <= 0:
            return
        if self.delayed >= MOST_DELAYED:
            raise OsbError(
                429,
                "TooManyRequests",
                "Too many requests with wrong credentials.",
                headers={"Retry-After": f"{LONGEST_DELAY:.0f}"},
            )
        self.delayed += 1
        try:
            await self._sleep(delay)
        finally:
            self.delayed -= 1

    def _delay(self) -> float:
        now = self._clock()
        remembered = max(0.0, self._recent - FORGOTTEN * (now - self._counted_at))
        self._recent = min(remembered + 1, MOST_COUNTED)
        self._counted_at = now
        return min((self._recent - FREE_FAILURES) * DELAY_EACH, LONGEST_DELAY)


class Authentication:
    """Lets in whoever presents one of several names and passwords.

    What is presented is compared with all of them, as digests and in constant time, so that an
    answer's duration says nothing about which part was wrong.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        operators: Mapping[str, str] = MappingProxyType({}),
        slowdown: Slowdown | None = None,
    ) -> None:
        self.failures = 0
        """Requests that were refused since the start."""
        self._users, self._operators = _digests(users), _digests(operators)
        self._slowdown = slowdown or Slowdown()

    async def process_request(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        """Refuse with 401, before anything else is looked at."""
        if req.path in OPEN_PATHS:
            return
        presented = _digest(_credentials(req.get_header("Authorization") or ""))
        platform = [hmac.compare_digest(presented, one) for one in self._users]
        operator = [hmac.compare_digest(presented, one) for one in self._operators]
        req.context.operator = any(operator)
        if not any(platform) and not any(operator):
            self.failures += 1
            await self._slowdown.after_failure()
            raise OsbError(
                401,
                "Unauthorized",
                "Name or password are missing or wrong.",
                headers={"WWW-Authenticate": 'Basic realm="alibroker", charset="UTF-8"'},
            )


async def operators_only(
    req: falcon.asgi.Request,
    _resp: falcon.asgi.Response,
    _resource: object,
    _params: object,
) -> None:
    """Let nobody but operators into a resource; a hook.

    Nor pages of others that their browser shows: it knows the password, and sends it with whatever
    such a page has it ask for. Browsers ask before they send JSON to others, and say where from.

    Raises:
        OsbError: 403; 415, something would be changed without a body that is said to be JSON.
    """
    if not req.context.operator:
        raise OsbError(
            403,
            "Forbidden",
            "This is for operators: authenticate with ALIBROKER_OPERATOR_USERNAME and "
            "ALIBROKER_OPERATOR_PASSWORD as the broker's settings have them.",
        )
    if req.method in _READING:
        return
    if _is_foreign(req):
        raise OsbError(403, "Forbidden", "Pages of other origins cannot change anything here.")
    if (req.content_type or "").partition(";")[0].strip().lower() != falcon.MEDIA_JSON:
        raise OsbError(
            415, "UnsupportedMediaType", "What changes something has to be application/json."
        )


def _is_foreign(req: falcon.asgi.Request) -> bool:
    """Whether a browser sends it for a page that is not the broker's own."""
    site = req.get_header("Sec-Fetch-Site")
    if site is not None and site.strip().lower() not in _OWN_SITES:
        return True
    origin = req.get_header("Origin")
    if origin is None:
        return False
    # The scheme may be another: of what is in front of the broker.
    return origin.rpartition("://")[2].lower() != (req.get_header("Host") or "").lower()


def _digests(users: Mapping[str, str]) -> list[Any]:
    return [_digest(f"{name}:{password}".encode()) for name, password in users.items()]


def _credentials(header: str) -> bytes:
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _digest(credentials: bytes) -> Any:
    return hashlib.sha256(credentials).digest()
