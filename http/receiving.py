"""How request bodies are received: after authentication, within a time, whole, and to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import falcon.asgi

from alibroker.http.errors import OsbError, bad_request

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_TIMEOUT: Final = 20.0
"""Seconds within which a body has to be here; gunicorn would wait minutes for each piece."""
REST_TIMEOUT: Final = 2.0
"""Seconds for which the rest of a body is taken in that the answer did not wait for."""
REST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of such a rest that are taken in."""

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class BoundedApp(falcon.asgi.App[Any, Any]):
    """A Falcon application that neither waits for slow clients for ever, nor takes half bodies.

    Falcon itself reads the first piece of a body before it looks at anything else, and takes a
    client that goes away for the end of the body.
    """

    async def __call__(  # type: ignore[override] # Falcon's own types of these are private
        self, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Answer a request, or run the lifespan."""
        if scope["type"] == "websocket":
            await receive()
            # There are none here. Servers answer 403 when one is closed before it was accepted.
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and _has_body(scope):
            body = Body(receive, BODY_TIMEOUT, REST_TIMEOUT)
            await super().__call__(scope, body.receive, send)
            await body.take_in_the_rest()
        else:
            await super().__call__(scope, receive, send)


class Body:
    """The body of one request as the server hands it out."""

    def __init__(self, receive: Receive, timeout: float, rest_timeout: float) -> None:
        """Take the server's function, and times in seconds."""
        self._receive = receive
        self._deadline = time.monotonic() + timeout
        self._rest_timeout = rest_timeout
        self._begun = False
        self._ended = False

    async def receive(self) -> Message:
        """Return the next piece; the first is empty, so that nobody waits before authentication.

        Raises:
            OsbError: 408, it takes too long; 400, the client has left before the end.
        """
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b"", "more_body": True}
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            self._ended = True
            raise OsbError(
                408, "RequestTimeout", "The body took too long.", headers={"Connection": "close"}
            ) from None
        self._ended = not message.get("more_body")
        if message["type"] == "http.disconnect":
            raise bad_request("The connection ended before the body did.")
        return message

    async def take_in_the_rest(self) -> None:
        """Take in, and drop, what was not asked for, within bounds.

        A connection that is closed with unread bytes in it is reset, and the client may lose the
        answer that it has not yet read.
        """
        if self._ended:
            return
        left = REST_BYTES
        try:
            async with asyncio.timeout(self._rest_timeout):
                while not self._ended and left > 0:
                    left -= await self._drop()
        except TimeoutError:
            return

    async def _drop(self) -> int:
        # A function, so that nothing holds one piece while the next is waited for.
        message = await self._receive()
        self._ended = not message.get("more_body")
        return len(message.get("body", b""))


def _has_body(scope: Message) -> bool:
    headers = scope["headers"]
    if type(headers) is not list:
        # ASGI promises iterables of iterables, which may be such that can be gone through only
        # once; gunicorn makes a list of tuples.
        headers = scope["headers"] = [tuple(header) for header in headers]
    return any(name in _FRAMING for name, _ in headers)
