"""TLS handshakes: those that do not end make room for others.

asyncio shakes hands before anybody hears of a connection, with as many as come, and TLS takes 50 to
100 kB for each.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, ClassVar, Final

MAX_HANDSHAKES: Final = 256
"""Handshakes at once. They take milliseconds, so it is the oldest that goes when there are more."""
SHUTDOWN_TIMEOUT: Final = 2.0
"""Seconds for which the other side is waited for at the end."""


class Handshake(asyncio.Protocol):
    """A connection until it can be used."""

    open: ClassVar[dict[Handshake, None]] = {}
    """Those of this process, the oldest first."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        timeout: float,
        use: Callable[[], asyncio.Protocol],
        ended: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            loop: runs it.
            context: has the certificate.
            timeout: seconds that it may take.
            use: makes what then uses the connection.
            ended: is told if it comes to nothing.
        """
        self._loop = loop
        self._context = context
        self._timeout = timeout
        self._use = use
        self._ended = ended
        self._early: list[bytes] = []
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called once, with what is not encrypted yet."""
        if len(self.open) >= MAX_HANDSHAKES:
            next(iter(self.open)).abort()
        self.open[self] = None
        self._transport: Any = transport
        self._task: asyncio.Task[None] | None = self._loop.create_task(self._shake())

    def data_received(self, data: bytes) -> None:
        """Keep what comes before TLS is there, and what comes with the end of the handshake."""
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that it is of no use any more."""
        self._is_lost = True

    def abort(self) -> None:
        """End at once."""
        self.open.pop(self, None)
        self._transport.abort()

    def _give_early(self) -> None:
        early, self._early = b"".join(self._early), []
        if early and not self._transport.is_closing():
            tls = self._transport.get_protocol()
            tls.get_buffer(len(early))[: len(early)] = early
            tls.buffer_updated(len(early))

    async def _shake(self) -> None:
        # Next, when `start_tls` has put TLS in the place of this.
        self._loop.call_soon(self._give_early)
        try:
            transport: Any = await self._loop.start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except OSError:  # it took too long, broke off, or is no TLS
            self._is_lost = True
        finally:
            self.open.pop(self, None)
            # Or they would hold each other.
            self._task = None
        if self._is_lost or self._transport.is_closing():
            self._ended()
            return
        protocol = self._use()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._early:
            protocol.data_received(b"".join(self._early))
