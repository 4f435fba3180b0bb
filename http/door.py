"""Where a worker lets connections in: for as long as it can answer, or none of its siblings can.

A worker that is alone listens at once, so that probes are answered. One that is started beside
others leaves the connections to them until it is ready; one that is to end serves until another can
take its place, if another is to.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from alibroker.http.ending import is_ending
from alibroker.http.siblings import Seat

log = logging.getLogger(__name__)

LOOK_INTERVAL: Final = 0.05
"""Seconds between looks at who can answer."""
NEXT_ONE: Final = 3.0
"""Seconds in which gunicorn's master starts another worker in the place of one that has failed."""
TURNS: Final = 3
"""Turns of the event loop in which a connection that was accepted is handed over."""

Listen = Callable[[socket.socket], Awaitable[asyncio.AbstractServer]]


class Answering(Protocol):
    """What the door has to know of the application, and to tell it."""

    stopping: bool
    """Whether it answers for the last time: connections are not to be kept."""
    last: bool
    """Whether nobody is there to take its place: others should send nothing more."""

    def can_answer(self) -> bool:
        """Whether it can do what it is there for."""

    async def stop(self) -> None:
        """Stop, after the last answer."""


class Entrance:
    """One socket; to gunicorn it is the server that it has asked for."""

    def __init__(self, door: Door, sock: socket.socket, listen: Listen) -> None:
        self._door = door
        self._socket = sock
        self._listen = listen
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Accept connections."""
        # To stop accepting is to close, and it may be for a while only.
        self._server = await self._listen(self._socket.dup())

    async def shut(self) -> None:
        """Leave connections to others; those that are there stay."""
        server, self._server = self._server, None
        if isinstance(server, asyncio.Server):
            # It would drop, open, what it has accepted and not yet handed over.
            loop = asyncio.get_running_loop()
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
            for _ in range(TURNS):
                await asyncio.sleep(0)
        if server is not None:
            server.close()

    def close(self) -> None:
        """End; gunicorn calls this."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self._door.closed()

    async def wait_closed(self) -> None:
        """Wait for nothing: gunicorn itself waits for the connections."""


class Door:
    """For the event loop alone.

    Args:
        worker: gunicorn's.
        answering: the application.
        seat: the worker's place among its siblings; None: there are none.
        delay: seconds for which a worker that nobody replaces is seen to be not ready before it
            accepts no more.
        on_shut: called when that is so.
    """

    def __init__(
        self,
        worker: Any,
        answering: Answering,
        seat: Seat | None,
        *,
        delay: float,
        on_shut: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._answering = answering
        self._seat = seat
        self._delay = delay
        self._on_shut = on_shut
        # gunicorn would end the worker there and then, and the next one with it.
        self._max_requests, worker.max_requests = worker.max_requests, sys.maxsize
        self._entrances: list[Entrance] = []
        self._open = False
        self._closed = False
        self._changing = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def listen(self, sock: socket.socket, listen: Listen) -> Entrance:
        """Let connections in at a socket, now or as soon as it is time."""
        entrance = Entrance(self, sock, listen)
        self._entrances.append(entrance)
        if self._open:
            await entrance.open()
        await self._look()
        self._watching = self._watching or asyncio.ensure_future(self._watch())
        return entrance

    def leave(self) -> None:
        """Begin to end. Repeated, it has no effect."""
        self._leaving = self._leaving or asyncio.ensure_future(self._leave())

    def closed(self) -> None:
        """Take note that nothing is let in any more."""
        self._closed = True
        self._open = False
        if self._seat is not None:
            self._seat.be_ready(False)

    @property
    def others_can_answer(self) -> bool:
        """Whether a sibling can."""
        return self._seat is not None and self._seat.another_is_ready()

    async def _watch(self) -> None:
        while not self._closed:
            await self._look()
            if self._worker.nr >= self._max_requests and (
                self._worker.cfg.workers == 1 or self.others_can_answer
            ):
                self.leave()
            await asyncio.sleep(LOOK_INTERVAL)

    async def _look(self) -> None:
        async with self._changing:
            if self._closed:
                return
            ready = self._answering.can_answer()
            if self._seat is not None:
                self._seat.be_ready(ready)
            wanted = ready or not self.others_can_answer
            if wanted and not self._open:
                for entrance in self._entrances:
                    await entrance.open()
            elif self._open and not wanted:
                for entrance in self._entrances:
                    await entrance.shut()
            self._open = wanted

    # -- ending ---------------------------------------------------------------------------------

    async def _leave(self) -> None:
        self._answering.stopping = True
        await self._be_missed()
        async with self._changing:
            if self._open:
                for entrance in self._entrances:
                    await entrance.shut()
            self.closed()
        self._on_shut()
        # gunicorn comes to it within a second; operations that others can go on with should not
        # wait for that.
        patience = self._worker.loop.time() + self._worker.cfg.graceful_timeout
        while self._worker.nr_conns > 0 and self._worker.loop.time() < patience:  # noqa: ASYNC110 - gunicorn's count
            await asyncio.sleep(LOOK_INTERVAL)
        await self._answering.stop()

    async def _be_missed(self) -> None:
        """Serve until others do, or, if there are none, until it is known that this one ends."""
        loop = asyncio.get_running_loop()
        replaced = False
        alone_since = ends_at = 0.0
        if self._seat is not None:
            self._seat.leave()
        while self._answering.can_answer() and not self._closed and not is_ending():
            now = loop.time()
            if self._seat is not None and self._seat.others_stay():
                if self._seat.another_is_ready():
                    return
                replaced, alone_since, ends_at = True, 0.0, 0.0
            else:
                alone_since = alone_since or now
                # Whoever was to take its place has failed, and is replaced as well.
                if not replaced or now - alone_since > NEXT_ONE:
                    ends_at = ends_at or now + self._delay
                    if now >= ends_at:
                        return
            self._answering.last = ends_at > 0
            await asyncio.sleep(LOOK_INTERVAL)
