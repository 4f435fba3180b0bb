"""A load generator: keep-alive connections that send prepared requests one after the other."""

from __future__ import annotations

import asyncio
import collections
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What came of a load."""

    requests: int
    seconds: float
    statuses: dict[int, int]
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def run(port: int, requests: Callable[[], Iterator[bytes]], connections: int) -> Load:
    """Send all requests over so many connections and wait for all answers."""
    import uvloop  # noqa: PLC0415 - only where the load is made

    return uvloop.run(_run(port, requests(), connections))


async def _run(port: int, requests: Iterator[bytes], connections: int) -> Load:
    latencies: list[float] = []
    statuses: collections.Counter[int] = collections.Counter()
    started = time.perf_counter()
    await asyncio.gather(
        *(_connection(port, requests, latencies, statuses) for _ in range(connections))
    )
    seconds = time.perf_counter() - started
    cuts = statistics.quantiles(latencies, n=100)
    return Load(len(latencies), seconds, dict(statuses), cuts[49] * 1000, cuts[98] * 1000)


async def _connection(
    port: int,
    requests: Iterator[bytes],
    latencies: list[float],
    statuses: collections.Counter[int],
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for data in requests:
        started = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        length = 0
        at = lower.find(b"content-length:")
        if at >= 0:
            length = int(lower[at + 15 : lower.index(b"\r\n", at)])
        if length:
            await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        statuses[int(head[9:12])] += 1
    writer.close()
    await writer.wait_closed()
