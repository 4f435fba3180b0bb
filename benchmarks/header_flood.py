"""How much the broker grows under floods of large requests, and how much of that it gives back.

Start with: .venv/bin/python benchmarks/header_flood.py
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, suppress

import psutil
from run import broker_and_cloud, port_of

CONNECTIONS = 1200
GREEDY = b"a" * 250_000
HEAD = b"GET /v2/catalog HTTP/1.1\r\nHost: a\r\n"
FLOODS = {
    "one header line of 250 kB": HEAD + b"X-A: " + GREEDY,
    "60 kB of headers that do not end": HEAD
    + b"X-A: "
    + b"a" * 30_000
    + b"\r\nX-B: "
    + b"a" * 30_000,
    "250 kB of a body, no credentials": b"PUT /v2/service_instances/a HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: 1000000\r\n\r\n" + GREEDY,
}
OPEN = 3.0
"""Seconds for which the client keeps all connections open after the last has sent."""
MEGABYTE = 1_000_000
GIVEN_BACK_WITHIN = 10.0
"""Seconds after the last connection has ended."""


def flood(port: int, data: bytes) -> None:
    """Send it on many connections, which stay open until the broker has seen to all."""
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            # The broker hangs up as soon as it has seen too much.
            with suppress(ConnectionError, TimeoutError):
                one.sendall(data)
        time.sleep(OPEN)


def measured(worker: psutil.Process, port: int, data: bytes) -> tuple[float, float]:
    """Return by how many MB the process grew at the most, and in the end."""
    before = most = worker.memory_info().rss
    flooding = threading.Thread(target=flood, args=(port, data))
    flooding.start()
    end = 0.0
    while not end or time.monotonic() < end:
        most = max(most, now := worker.memory_info().rss)
        if not end and not flooding.is_alive():
            end = time.monotonic() + GIVEN_BACK_WITHIN
        time.sleep(0.02)
    return (most - before) / MEGABYTE, (now - before) / MEGABYTE


def main() -> None:
    """Measure each flood against a broker of its own, and print."""
    for name, data in FLOODS.items():
        with broker_and_cloud(time_scale=1) as (broker, _):
            (worker,) = (
                child
                for child in psutil.Process(broker.process.pid).children()
                if "alibroker.etcd.keeper" not in child.cmdline()
            )
            size = worker.memory_info().rss / MEGABYTE
            most, left = measured(worker, port_of(broker), data)
        print(
            f"{CONNECTIONS} connections, {name}: {size:.0f} MB grow by {most:.0f} MB at the most, "
            f"and by {left:.0f} MB {GIVEN_BACK_WITHIN:.0f} s after the last"
        )


if __name__ == "__main__":
    main()
