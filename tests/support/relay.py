"""A relay between the broker and its etcd that breaks on request.

It understands just enough of HTTP/2 (RFC 9113, section 4.1: frames) to let a call take effect and
lose its answer: the frames with the answer are thrown away, and then the connection is reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
DATA = 0x0
RST_STREAM = 0x3


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield type, stream and content of each frame that is complete now."""
        self._rest += data
        if self._skip:
            if len(self._rest) < self._skip:
                return
            self._rest, self._skip = self._rest[self._skip :], 0
        while len(self._rest) >= 9:
            length = int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < 9 + length:
                return
            stream = int.from_bytes(self._rest[5:9], "big") & 0x7FFFFFFF
            yield self._rest[3], stream, self._rest[9 : 9 + length]
            self._rest = self._rest[9 + length :]


@dataclass(eq=False)
class Line:
    """One connection of the broker, and the one to etcd that belongs to it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    losing: set[int] = field(default_factory=set)
    """Streams whose answers are to be lost."""
    ways: list[asyncio.Task[None]] = field(default_factory=list)
    """What passes on in either direction; the line ends with the first of them."""
    dead: bool = False
    """Whether it stays open and passes nothing on, ever."""

    def reset(self) -> None:
        """Cut both connections; the near one with a RST."""
        with contextlib.suppress(OSError):
            near: socket.socket = self.near.get_extra_info("socket")
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for writer in (self.near, self.far):
            writer.transport.abort()

    def end(self) -> None:
        """Cut both connections, whatever waits."""
        self.reset()
        for way in self.ways:
            way.cancel()


class Relay:
    """Listens on a loopback port, and passes on to etcd's unix socket what it is let to.

    All faults may be combined, from any thread.
    """

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("unix:")
        self.port = 0
        self.lost = 0
        """Answers that were lost after their calls took effect."""
        self.delay = 0.0
        """Seconds by which each piece is late, in both directions."""
        self._to_lose = 0
        self._needle = b""
        self._lines: set[Line] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._flows.set()
        self.accept()

    @property
    def endpoint(self) -> str:
        """What the broker is to be given as endpoint of its etcd."""
        return f"http://127.0.0.1:{self.port}"

    # -- faults ---------------------------------------------------------------------------------

    def lose_answers(self, count: int, needle: bytes = b"") -> None:
        """Let so many calls (whose bytes contain the needle) take effect, and lose the answers."""
        self._needle = needle
        self._to_lose = count

    def stall(self) -> None:
        """Pass nothing on, as a network does that swallows packets."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Pass everything on again, also what has waited."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def drop_silently(self) -> None:
        """Pass nothing on over the connections there are, but everything over new ones."""

        async def kill() -> None:
            for line in self._lines:
                line.dead = True
            self._flows.set()

        self._run(kill())

    def reset(self) -> None:
        """Reset all connections."""

        async def cut() -> None:
            for line in list(self._lines):
                line.reset()

        self._run(cut())

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""

        async def close() -> None:
            if self._listener is not None:
                self._loop.remove_reader(self._listener)
                self._listener.close()
                self._listener = None

        self._run(close())
        self.reset()

    def accept(self) -> None:
        """Take connections again, on the same port."""

        async def listen() -> None:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
                self._listener.setblocking(False)
                self.port = self._listener.getsockname()[1]
                self._loop.add_reader(self._listener, self._take, self._listener)

        self._run(listen())

    def heal(self) -> None:
        """Be a relay without faults."""
        self.delay = 0.0
        self._to_lose = 0
        self.flow()
        self.accept()

    def stop(self) -> None:
        """Close everything."""
        self.refuse()

        async def end() -> None:
            while self._serving:
                for line in self._lines:
                    line.end()
                # Those that are still connecting have no line yet.
                await asyncio.wait(self._serving, timeout=0.1)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, work: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(timeout=10)

    # -- passing on -----------------------------------------------------------------------------

    # Not asyncio's own server: what it has accepted when it is closed, and what is cancelled before
    # it first runs, stays open for ever. Here each connection has a task that is never cancelled.

    def _take(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            near, _ = listener.accept()
            serving = self._loop.create_task(self._serve(near))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        reader, near = await asyncio.open_connection(sock=accepted)
        try:
            answers, far = await asyncio.open_unix_connection(self.target)
        except OSError:
            await _abort(near)
            return
        line = Line(near, far)
        line.ways = [
            self._loop.create_task(self._requests(line, reader)),
            self._loop.create_task(self._answers(line, answers)),
        ]
        self._lines.add(line)
        await asyncio.wait(line.ways, return_when=asyncio.FIRST_COMPLETED)
        self._lines.discard(line)
        line.end()
        await asyncio.gather(*line.ways, _abort(near), _abort(far), return_exceptions=True)

    async def _requests(self, line: Line, reader: asyncio.StreamReader) -> None:
        frames = Frames(PREFACE)
        while data := await reader.read(65536):
            await self._pass()
            for kind, stream, content in frames.feed(data):
                if self._to_lose and kind == DATA and content and self._needle in content:
                    self._to_lose -= 1
                    line.losing.add(stream)
                elif kind == RST_STREAM and stream in line.losing:
                    # Given up before its answer came: nothing would ever end this line.
                    return
            if not line.dead:
                line.far.write(data)
                await line.far.drain()

    async def _answers(self, line: Line, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        while data := await reader.read(65536):
            await self._pass()
            # Once an answer is to be lost nothing more goes back: it may be in this very piece.
            answered = {stream for kind, stream, _ in frames.feed(data) if kind == DATA}
            if line.dead:
                continue
            if not line.losing:
                line.near.write(data)
                await line.near.drain()
            elif not line.losing.isdisjoint(answered):
                self.lost += len(line.losing & answered)
                return

    async def _pass(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flows.wait()


async def _abort(writer: asyncio.StreamWriter) -> None:
    """Abort a connection, and return when its socket is closed."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
