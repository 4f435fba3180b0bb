"""A request's body: read whole when small, saved to a file when it is an object."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss.call import Content
from alibroker.sandbox.oss.files import crc64

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class DisconnectedError(Exception):
    """The client left before its request was complete."""


class Body:
    """The rest of a request that is still to be received.

    Attributes:
        content: What was read of it as a whole.
    """

    def __init__(self, receive: Receive) -> None:
        self.content = b""
        self._receive = receive
        self._begun: MutableMapping[str, Any] | None = None

    async def begin(self) -> None:
        """Receive the first part, which is all of a small body.

        From then on a client that leaves takes such a request back no more than in the real cloud.
        """
        self._begun = await self._receive()

    async def read(self, limit: int) -> bytes:
        """Return the whole body.

        Args:
            limit: Most bytes to accept.

        Raises:
            ApiError: EntityTooLarge.
            DisconnectedError: The client left.
        """
        parts: list[bytes] = []
        size = 0
        async for part in self._parts():
            size += len(part)
            if size > limit:
                raise ApiError(400, "EntityTooLarge", f"The body is larger than {limit} bytes.")
            parts.append(part)
        self.content = b"".join(parts)
        return self.content

    async def save(self, directory: Path) -> Content:
        """Write the body to a new file.

        Raises:
            DisconnectedError: The client left; no file stays behind.
        """
        name = secrets.token_hex(16)
        path = directory / name
        digest = hashlib.md5(usedforsecurity=False)
        size = crc = 0
        try:
            with path.open("wb") as file:
                async for part in self._parts():
                    digest.update(part)
                    crc = crc64(part, crc)
                    size += len(part)
                    file.write(part)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Content(name, size, digest.hexdigest().upper(), crc)

    async def _parts(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message, self._begun = self._begun or await self._receive(), None
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            if part := message.get("body", b""):
                yield part
            more = message.get("more_body", False)
