"""Bounds on connections that gunicorn's asgi worker does not keep by itself."""

from __future__ import annotations

import asyncio
from typing import Final

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

HEADER_TIMEOUT: Final = 20.0
"""Seconds within which the first request's headers have to be here; later ones: `keepalive`."""


class BoundedProtocol(ASGIProtocol):  # type: ignore[misc] # gunicorn publishes no types
    """gunicorn's connection, for clients that are slow, many or greedy (as of gunicorn 27.0)."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin, unless there are as many as `worker_connections` already."""
        super().connection_made(transport)
        if self.worker.nr_conns > self.cfg.worker_connections:
            transport.abort()
            return
        # gunicorn ends this timer with the headers of a request, but starts it after the first.
        self._keepalive_handle = self.worker.loop.call_later(
            HEADER_TIMEOUT, self._keepalive_timeout
        )

    def _resume_reading(self) -> None:
        """Read on, unless what was sent ahead is waiting: it would grow with each answer."""
        if not self._is_buffer_full():
            super()._resume_reading()

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Parse; a length of thousands of digits is refused like any other that is none."""
        try:
            return bool(super()._feed_callback_parser(data))
        except ValueError:
            self._send_error_response(400, "Invalid Content-Length value")
            self._close_transport()
            return False


def bound_connections() -> None:
    """Make this process's asgi worker keep the bounds; called before it listens."""
    gasgi.ASGIProtocol = BoundedProtocol
