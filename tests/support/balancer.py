"""A plain TCP balancer: each connection goes to the next replica that says that it is ready."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

T = TypeVar("T")

PROBE_EVERY = 0.1
PATIENCE = 1.0
"""Seconds in which a replica has to answer the probe."""


@dataclass(eq=False)
class _Backend:
    port: int
    ready: bool = False
    connections: set[asyncio.StreamWriter] = field(default_factory=set)


class Balancer:
    """Listens on a loopback port for as long as it lives.

    A replica that answers the probe with no gets no new connections; of one that does not answer
    it, those that there are end as well, as with most balancers. Connections are plain bytes here:
    whoever wants each request to go elsewhere has to open one for each.

    Args:
        ports: where the replicas listen on the loopback interface.
    """

    def __init__(self, ports: list[int]) -> None:
        self.served: collections.Counter[int] = collections.Counter()
        """Connections by the port that they went to."""
        self._backends = collections.deque(_Backend(port) for port in ports)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer", daemon=True)
        self._thread.start()
        self._server = self._run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """What platforms are told."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready(self) -> set[int]:
        """The ports of the replicas that are ready."""
        return {one.port for one in list(self._backends) if one.ready}

    def stop(self) -> None:
        """Close everything."""

        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self) -> asyncio.Server:
        self._probes = [asyncio.ensure_future(self._watch(one)) for one in self._backends]
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        connected = await self._connect()
        if connected is None:
            near.transport.abort()
            return
        backend, answers, far = connected
        self.served[backend.port] += 1
        backend.connections.add(near)
        ways = [
            asyncio.ensure_future(_pass_on(reader, far)),
            asyncio.ensure_future(_pass_on(answers, near)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            backend.connections.discard(near)
            far.close()
            near.close()

    async def _connect(
        self,
    ) -> tuple[_Backend, asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._backends)):
            backend = self._backends[0]
            self._backends.rotate(-1)
            if backend.ready:
                with contextlib.suppress(OSError):
                    return backend, *await asyncio.open_connection("127.0.0.1", backend.port)
                backend.ready = False
        return None

    # -- probing --------------------------------------------------------------------------------

    async def _watch(self, backend: _Backend) -> None:
        while True:
            status = 0
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                async with asyncio.timeout(PATIENCE):
                    status = await _probe(backend.port)
            backend.ready = status == 200
            if not status:
                for near in backend.connections:
                    near.transport.abort()
            await asyncio.sleep(PROBE_EVERY)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def _probe(port: int) -> int:
    """Return the status of a replica's readiness."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n")
        await writer.drain()
        line = await reader.readline()
        return int(line.split()[1]) if line else 0
    finally:
        writer.close()
