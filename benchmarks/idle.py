"""What connections cost that nobody uses: memory of each, and the time of a request beside them."""

from __future__ import annotations

import asyncio
import sys
import time

import psutil
from load import request
from run import HEADERS, port_of
from servers import broker_and_cloud

from alibroker.cli.processes import Broker

AT_ONCE = 200
REQUESTS = 100
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def worker_of(broker: Broker) -> psutil.Process:
    """Return the process that serves: of all it has the most memory."""
    some = psutil.Process(broker.process.pid).children(recursive=True)
    return max((one for one in some if one.name() != "etcd"), key=lambda one: one.memory_info().rss)


async def used(port: int, data: bytes) -> Connection:
    """Open a connection and use it once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await answered(reader, writer, data)
    return reader, writer


async def answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
) -> float:
    """Return the seconds until the answer's head is here."""
    started = time.perf_counter()
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404"), head
    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
    return time.perf_counter() - started


async def measure(broker: Broker, count: int) -> None:
    """Open so many, then use one more, and print."""
    worker, port = worker_of(broker), port_of(broker)
    data = request("GET", "/v2/service_instances/none/last_operation", HEADERS)
    before = worker.memory_info().rss
    kept: list[Connection] = []
    while len(kept) < count:
        kept += await asyncio.gather(*(used(port, data) for _ in range(AT_ONCE)))
    grown = (worker.memory_info().rss - before) / count / 1024
    reader, writer = await used(port, data)
    seconds = sorted([await answered(reader, writer, data) for _ in range(REQUESTS)])
    idle = sum(not other.at_eof() for other, _ in kept)
    print(
        f"{idle:,} idle connections: {grown:.1f} kB of memory each; a request beside them takes "
        f"{1000 * seconds[REQUESTS // 2]:.1f} ms, {1000 * seconds[-2]:.1f} at worst but one"
    )
    for _, other in [*kept, (reader, writer)]:
        other.close()


if __name__ == "__main__":
    with broker_and_cloud(time_scale=1.0) as (served, _):
        for number in map(int, sys.argv[1:] or ["200", "1000", "3000"]):
            asyncio.run(measure(served, number))
            time.sleep(2)
