"""Basic authentication (OSB, Authentication): every request but those of health probes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import falcon.asgi

from alibroker.http.errors import OsbError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class Authentication:
    """Lets in whoever presents one of several names and passwords.

    What is presented is compared with all of them, as digests and in constant time, so that an
    answer's duration says nothing about which part was wrong.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._known = [_digest(f"{name}:{password}".encode()) for name, password in users.items()]

    async def process_request(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        """Refuse with 401, before anything else is looked at."""
        if req.path in OPEN_PATHS:
            return
        presented = _digest(_credentials(req.get_header("Authorization") or ""))
        known = [hmac.compare_digest(presented, one) for one in self._known]
        if not any(known):
            raise OsbError(
                401,
                "Unauthorized",
                "Name or password are missing or wrong.",
                headers={"WWW-Authenticate": 'Basic realm="alibroker", charset="UTF-8"'},
            )


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
