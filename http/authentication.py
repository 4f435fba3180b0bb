"""Basic authentication (OSB, Authentication): every request but those of health probes.

Operators may do all that platforms may, and have resources that platforms are not let in to.

Guessing is slowed down (guesses.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import falcon
import falcon.asgi

from alibroker.http.addresses import Addresses
from alibroker.http.errors import OsbError
from alibroker.http.guesses import Guesser, Guesses

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site (W3C, Fetch Metadata) for what no other site has a hand in."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})

_REMEMBERED: Final = 64
"""Headers that were right and are known again; the same credentials can be written in many ways."""


class Admitted(NamedTuple):
    """Whose credentials a header has."""

    name: bytes
    operator: bool


class Authentication:
    """Lets in whoever presents one of several names and passwords.

    What is presented is compared with all of them, as digests and in constant time, so that an
    answer's duration says nothing about which part was wrong. A header that was right is known
    again, by a hash with a secret of this process's own: that takes as long whatever is presented.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        operators: Mapping[str, str] = MappingProxyType({}),
        guesses: Guesses | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        self._users, self._operators = _digests(users), _digests(operators)
        self._guesses = guesses or Guesses()
        self._addresses = addresses or Addresses()
        self._right: dict[str, Admitted] = {}

    async def process_request(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        """Refuse with 401, before anything else is looked at.

        Raises:
            OsbError: 401; 429, so many wrong credentials come that these cannot even wait.
        """
        if req.path in OPEN_PATHS:
            return
        header = req.get_header("Authorization") or ""
        admitted = self._right.get(header)
        credentials = b"" if admitted else _credentials(header)
        if credentials is None:
            # Clients that send none until they are asked to need not wait: it is no guess.
            raise _unauthorized()
        name = admitted.name if admitted else credentials.partition(b":")[0]
        guesser = Guesser(self._addresses.of(req), name)
        # Before it matters whether they are right: who waits does not learn that from how long.
        await self._guesses.wait(guesser)
        admitted = admitted or self._compare(header, credentials)
        if admitted is None:
            self._guesses.was_wrong(guesser)
            raise _unauthorized()
        self._guesses.was_right(guesser)
        req.context.operator = admitted.operator

    def _compare(self, header: str, credentials: bytes) -> Admitted | None:
        presented = _digest(credentials)
        platform = [hmac.compare_digest(presented, one) for one in self._users]
        operator = [hmac.compare_digest(presented, one) for one in self._operators]
        if not any(platform) and not any(operator):
            return None
        admitted = Admitted(credentials.partition(b":")[0], any(operator))
        if len(self._right) < _REMEMBERED:
            self._right[header] = admitted
        return admitted


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


def _unauthorized() -> OsbError:
    return OsbError(
        401,
        "Unauthorized",
        "Name or password are missing or wrong.",
        headers={"WWW-Authenticate": 'Basic realm="alibroker", charset="UTF-8"'},
    )


def _credentials(header: str) -> bytes | None:
    """Return name, colon and password, or None if there is nothing that could be right."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        credentials = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return credentials if b":" in credentials else None


def _digest(credentials: bytes) -> Any:
    return hashlib.sha256(credentials).digest()
