"""Bounds on connections that gunicorn's asgi worker does not keep by itself.

They hold with whatever parser it uses: they look at what goes in and at what is called back.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from ssl import SSLContext
from typing import Any, ClassVar, Final
from urllib.parse import unquote_to_bytes

import msgspec
from gunicorn.asgi import protocol
from gunicorn.asgi.parser import LimitRequestHeaders, ParseError
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from alibroker.http.descriptors import most_connections
from alibroker.http.door import Door, Entrance
from alibroker.http.errors import error_name, phrase
from alibroker.http.handshakes import Handshake
from alibroker.http.logs import Seldom
from alibroker.http.memory import Freed
from alibroker.http.parsing import Parser

log = logging.getLogger(__name__)

HEADER_TIMEOUT: Final = 20.0
"""Seconds within which the first request's headers have to be here; later ones: `keepalive`.

A TLS handshake has as many before them.
"""
MAX_HEAD: Final = 65_536
"""Bytes that a request line and headers may have together."""
MAX_HELD: Final = 16 * 2**20
"""Bytes that all connections together may have sent ahead of what the application has taken."""
IDLE_INTERVAL: Final = 0.2
"""Seconds between looks for idle connections while the worker stops."""
LAST_CHANCE: Final = 0.5
"""Seconds that a connection gets for a request after the worker has stopped to accept others."""
LINGER: Final = 1.0
"""Seconds for which one who was refused is listened to: a reset could overtake the answer."""
MAX_LINGERING: Final = 64
"""Connections that linger at once; with TLS each has buffers for all that was sent."""

_ABSOLUTE = re.compile(rb"https?://[^/?#@]+(/.*)?", re.IGNORECASE)
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class MissingHostError(ParseError):  # type: ignore[misc] # gunicorn publishes no types
    """HTTP/1.1 wants it in each request (RFC 9112, section 3.2)."""


class SentAhead:
    """What connections have sent and the application has not taken, in bytes."""

    def __init__(self) -> None:
        self.together = 0
        self._of: dict[BoundedProtocol, int] = {}
        self._endings = Seldom()

    def count(self, connection: BoundedProtocol, size: int) -> None:
        """Note how much it is of one connection."""
        before = self._of.get(connection, 0)
        if size == before:
            return
        self.together += size - before
        if size:
            self._of[connection] = size
        else:
            del self._of[connection]

    def keep_bound(self) -> None:
        """End connections while it is too much, first that which has sent most."""
        while self.together > MAX_HELD:
            greediest = max(self._of, key=self._of.__getitem__)
            if times := self._endings.count():
                log.warning(
                    "Connections had sent more than %d bytes that nobody was ready for: those with "
                    "most of them were ended, %d of late, the last from %s",
                    MAX_HELD,
                    times,
                    greediest.peer,
                )
            self.count(greediest, 0)
            greediest.abort()


class BoundedProtocol(ASGIProtocol):  # type: ignore[misc] # gunicorn publishes no types
    """gunicorn's connection, for clients that are slow, many or greedy (as of gunicorn 27.0)."""

    sent_ahead: ClassVar[SentAhead] = SentAhead()
    """Of all connections of this process."""
    open: ClassVar[set[BoundedProtocol]] = set()
    """All connections of this process."""
    lingering: ClassVar[set[BoundedProtocol]] = set()
    """Those that were refused and may still read why."""
    freed: ClassVar[Freed] = Freed()

    _awaiting_request: bool
    _callback_parser: Any
    _current_request: Any
    _closed: bool
    _head = 0
    """Bytes of a head that is not complete yet."""
    _idle_since = 0.0
    """When a stop first found it idle, by the clock of the event loop."""
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin, unless there are as many as `worker_connections` already."""
        super().connection_made(transport)
        self.open.add(self)
        if self.worker.nr_conns > self.cfg.worker_connections:
            transport.abort()
            return
        # gunicorn ends this timer with the headers of a request, but starts it after the first.
        self._keepalive_handle = self.worker.loop.call_later(
            HEADER_TIMEOUT, self._keepalive_timeout
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and leave nothing that only the garbage collector would find."""
        super().connection_lost(exc)
        self.open.discard(self)
        self.lingering.discard(self)
        self.sent_ahead.count(self, 0)
        self.freed.one_ended(self.worker.loop)
        if self._task is None or self._task.done():
            self._let_go()
        else:
            self._task.add_done_callback(self._let_go)

    def _let_go(self, _task: object = None) -> None:
        # Connection, parser, receiver and task hold each other, and all that was received. It is
        # long until a collection: with many records each takes long.
        self._callback_parser = self._body_receiver = self._current_request = self._task = None

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Parse; a head has a bound, and what all connections have sent ahead."""
        try:
            goes_on = bool(super()._feed_callback_parser(data))
        except ValueError:  # a length of thousands of digits
            self._refuse(HTTPStatus.BAD_REQUEST)
            goes_on = False
        if goes_on:
            # gunicorn bounds each line and their number, which together are megabytes.
            self._head = self._head + len(data) if self._current_request is None else 0
            if self._head > MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                goes_on = False
        self._count_sent_ahead()
        return goes_on

    def _on_headers_complete(self) -> Any:
        """Refuse a head that is too large, or does not say where it goes."""
        parser = self._callback_parser
        size = len(parser.path)
        host = False
        for name, value in parser.headers:
            size += len(name) + len(value)
            host = host or name.lower() == b"host"
        if size > MAX_HEAD:
            raise LimitRequestHeaders
        if not host and parser.http_version >= (1, 1):
            raise MissingHostError
        skip_body = super()._on_headers_complete()
        request = self._current_request
        # All have to take the form that is meant for proxies (RFC 9112, section 3.2.2).
        if not request.raw_path.startswith(b"/") and (
            absolute := _ABSOLUTE.fullmatch(request.raw_path)
        ):
            request.raw_path = absolute[1] or b"/"
            request.path = unquote_to_bytes(request.raw_path).decode(errors="replace")
        return skip_body

    async def _serve_http_request(self, request: Any, sockname: Any, peername: Any) -> bool:
        """Answer; in a task of its own, as gunicorn does it, an application could go on after that.

        Ours has nothing more to do then, and a task for each request costs a tenth of an answer.
        """
        return bool(await self._handle_http_request(request, sockname, peername))

    def _refuse(self, status: int) -> None:
        self._send_error_response(status, "")
        self._close_transport()

    def _send_error_response(
        self, status: int, message: str, extra_headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Answer in the form that all other errors have (OSB, Broker Errors)."""
        error = sys.exception()
        if error is not None:
            # gunicorn's frames hold the error that they make, and the error the frames, with all
            # that they have received.
            traceback.clear_frames(error.__traceback__)
        description = _description(status, error, message)
        body = msgspec.json.encode({"error": error_name(status), "description": description})
        lines = [
            f"HTTP/1.1 {status} {phrase(status)}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in extra_headers),
            "Connection: close",
        ]
        self._safe_write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self._refused = True

    def _close_transport(self) -> None:
        """Close; one who was refused may first read why."""
        if not self._refused or self._closed:
            super()._close_transport()
            return
        self._closed = True
        self._callback_parser = None
        self.sent_ahead.count(self, 0)
        if len(self.lingering) >= MAX_LINGERING:
            # To close TLS is to wait for the other side.
            (self.transport.abort if self._is_ssl else self.transport.close)()
            return
        self.lingering.add(self)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.worker.loop.call_later(LINGER, self.transport.abort)

    def _http1_buffered(self) -> int:
        """Count what waits behind a request, whatever parser holds it."""
        held: int = super()._http1_buffered()
        parser = self._callback_parser
        if (
            parser is not None
            and parser.is_complete
            and parser.__class__ is not protocol.PythonProtocol
        ):
            held += len(parser.remaining())
        return held

    def _maybe_resume_reading(self) -> None:
        """Read on, if the application has taken enough."""
        super()._maybe_resume_reading()
        self._count_sent_ahead()

    def _resume_reading(self) -> None:
        """Read on, unless what was sent ahead is waiting: it would grow with each answer."""
        if not self._is_buffer_full():
            super()._resume_reading()

    def end_if_idle(self) -> None:
        """End, unless there is a request, or one may be on its way that began before the stop."""
        now = self.worker.loop.time()
        if not self._awaiting_request or self._current_request is not None or self._head:
            return
        self._idle_since = self._idle_since or now
        if now - self._idle_since >= LAST_CHANCE:
            self._keepalive_timeout()

    @property
    def peer(self) -> str:
        """Who is on the other side."""
        return str(self.transport.get_extra_info("peername"))

    def abort(self) -> None:
        """End at once."""
        self.transport.abort()

    def _count_sent_ahead(self) -> None:
        self.sent_ahead.count(self, 0 if self._closed else self._head + self._http1_buffered())
        self.sent_ahead.keep_bound()


def _description(status: int, error: BaseException | None, message: str) -> str:
    """Say what to change, and repeat nothing of the request: it may have been a secret."""
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return f"The headers are too many or too long; with the target they have {MAX_HEAD} bytes."
    if status == HTTPStatus.REQUEST_URI_TOO_LONG:
        return "The target of the request is too long."
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return "An internal error of the broker."
    if error is not None:
        # The class says it without repeating anything.
        what = _CAPITAL.sub(" ", type(error).__name__.removesuffix("Error")).lower()
        return f"This is no HTTP/1.1 request: {what}."
    return message or "This is no HTTP/1.1 request."


def _end_idle(worker: Any) -> None:
    """End connections that nobody uses, also those that are yet to come: a stop waits for all."""
    for connection in list(BoundedProtocol.open):
        connection.end_if_idle()
    worker.loop.call_later(IDLE_INTERVAL, _end_idle, worker)


def bound_connections(worker: Any, *, delay: float = 0.0) -> None:
    """Make an asgi worker keep the bounds; called when it has its loop, before it listens.

    Args:
        worker: gunicorn's, with the broker as its application.
        delay: seconds for which it is seen to be not ready before it stops.
    """
    gasgi.ASGIProtocol = BoundedProtocol
    # What a connection takes unless there is a parser in C.
    protocol.PythonProtocol = Parser
    worker.cfg.set("worker_connections", most_connections(worker.cfg.worker_connections))
    # Looks for its parser in C, and notes it in the class that is asked: else in ours, where it
    # does not look.
    ASGIProtocol._check_h1c_protocol_available()  # noqa: SLF001 - no public name reaches it
    # gunicorn knows the phrases of some statuses, and calls all others Unknown.
    phrases = {status.value: phrase(status) for status in HTTPStatus}
    protocol._REASON_PHRASES.update(phrases)  # noqa: SLF001 - no public name reaches it

    def on_shut() -> None:
        worker.handle_exit_signal()
        _end_idle(worker)

    door = Door(worker, worker.asgi, worker.seat, delay=delay, on_shut=on_shut)
    worker.asgi.others_can_answer = lambda: door.others_can_answer
    worker.loop.add_signal_handler(signal.SIGTERM, door.leave)
    worker.loop.create_server = partial(_create_server, worker, door, worker.loop.create_server)


async def _create_server(
    worker: Any,
    door: Door,
    create_server: Callable[..., Awaitable[asyncio.AbstractServer]],
    factory: Callable[[], asyncio.Protocol],
    *,
    sock: socket.socket,
    ssl: SSLContext | None = None,
    **options: Any,
) -> Entrance:
    """Listen; gunicorn would let 100 connections wait, and bound no handshakes."""
    if worker.cfg.is_ssl and ssl is None:
        # gunicorn has said why, and would go on without TLS.
        door.closed()
        worker.asgi.fail("the certificate or its key cannot be used")
    if ssl is not None:
        ended = partial(BoundedProtocol.freed.one_ended, worker.loop)
        factory = partial(Handshake, worker.loop, ssl, HEADER_TIMEOUT, factory, ended)

    def listen(sock: socket.socket) -> Awaitable[asyncio.AbstractServer]:
        return create_server(factory, sock=sock, backlog=worker.cfg.backlog, **options)

    return await door.listen(sock, listen)
