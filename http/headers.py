"""The headers of the OSB API: version, request identity, originating identity."""

from __future__ import annotations

import base64
import functools
import re
from typing import Any, Final

import falcon.asgi
import msgspec

from alibroker.http.errors import OsbError, bad_request
from alibroker.http.settings import MissingVersion

VERSION = "X-Broker-API-Version"
REQUEST_IDENTITY = "X-Broker-API-Request-Identity"
ORIGINATING_IDENTITY = "X-Broker-API-Originating-Identity"

OLDEST = (2, 13)
MAX_VERSION = 64
MAX_IDENTITY = 32_768
"""Characters: users of directories are in hundreds of groups."""
MAX_USER = 256
MAX_REQUEST_IDENTITY = 256

_ENCODED_SLASH = b"%2f"
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})")
_NAMES: Final = ("user_id", "username", "uid")
_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")


class RequestIdentity:
    """Sends the request's identity back with every answer, those of errors included."""

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Echo, unless it cannot be a header's value."""
        identity = req.get_header(REQUEST_IDENTITY)
        if identity and len(identity) <= MAX_REQUEST_IDENTITY and _PRINTABLE.fullmatch(identity):
            resp.set_header(REQUEST_IDENTITY, identity)


class Conversation:
    """Checks the version of the API that is spoken, and that what is spoken of can be."""

    def __init__(self, missing_version: MissingVersion) -> None:
        self._missing_version = missing_version

    async def process_request(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        """Look at a request to the OSB API.

        Raises:
            OsbError: 400, 412.
        """
        path = req.path
        # Falcon routes a path with several slashes at its beginning like one with a single one.
        if not path.startswith("/v2/") and not path.lstrip("/").startswith("v2/"):
            return
        raw_path = req.scope.get("raw_path", b"")
        if b"%" in raw_path and _ENCODED_SLASH in raw_path.lower():
            raise bad_request("Ids cannot contain a slash.")
        version = req.get_header(VERSION)
        if version is None:
            raise OsbError(
                self._missing_version,
                "MissingVersion",
                f"The header {VERSION} is required; 2.13 or later is supported.",
            )
        if len(version) > MAX_VERSION or not _is_spoken(version):
            raise OsbError(
                412, "UnsupportedVersion", f"{VERSION} has to be 2.13 or later, below 3."
            )


@functools.lru_cache
def _is_spoken(text: str) -> bool:
    """Tell whether a version is one that the broker speaks; a platform sends one and the same."""
    match = _VERSION.fullmatch(text.strip())
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    return version[0] == OLDEST[0] and version >= OLDEST


def requested_by(req: falcon.asgi.Request) -> str:
    """Return who the platform says is behind a request, for the record's history."""
    header = req.get_header(ORIGINATING_IDENTITY)
    return originating_user(header) if header else ""


def originating_user(header: str) -> str:
    """Return platform and user of an originating identity.

    OSB (Originating Identity) wants a platform and JSON in Base64, and does not say what becomes of
    anything else. It tells who, and never whether: what cannot be read refuses no request.
    """
    platform, _, value = header.strip().partition(" ")
    user = _user(value.strip()) if len(value) <= MAX_IDENTITY else None
    name = next((user[key] for key in _NAMES if isinstance(user.get(key), str)), "") if user else ""
    text = f"{platform} {name}".strip()
    return "".join(one if one.isprintable() else "?" for one in text[:MAX_USER])


def _user(value: str) -> dict[str, Any] | None:
    """Return what a platform says of the user, None if that is no JSON object in Base64."""
    standard = value.rstrip("=").translate(_FROM_URL_SAFE)
    try:
        text = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        user = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return user if isinstance(user, dict) else None
