"""Connections: what a client sends is bounded, and nothing of it stays. I9."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import pytest
from gunicorn.asgi import protocol
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import gasgi

from alibroker.http import connections, memory
from alibroker.http.connections import MAX_HEAD, BoundedProtocol, bound_connections
from alibroker.http.memory import Freed
from alibroker.http.parsing import Parser
from alibroker.http.receiving import BoundedApp

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
PART = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 250_000
WHAT_CLIENTS_SEND = {
    "nothing": b"",
    "half a request line": b"GET / HT",
    "half a head": HEAD,
    "a request": HEAD + b"\r\n",
    "two requests": (HEAD + b"\r\n") * 2,
    "a last request": HEAD + b"Connection: close\r\n\r\n",
    "no HTTP": b"GET / HTTx\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a huge header": HEAD + b"X-A: " + b"a" * 250_000,
    "a huge head": HEAD + b"X-A: " + b"\r\nX-B: ".join([b"a" * 7_000] * 20),
    "part of a body": PART,
}


@pytest.fixture(autouse=True, params=[Parser, PythonProtocol])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds hold with whatever parser."""
    monkeypatch.setattr(protocol, "PythonProtocol", request.param)


class Root:
    """What is served: its own slowness."""

    async def on_get(self, _req: Any, resp: falcon.asgi.Response) -> None:
        resp.media = {}

    async def on_put(self, req: Any, resp: falcon.asgi.Response) -> None:
        await asyncio.sleep(60 if req.params.get("slow") else 0)
        resp.media = {}


class Server:
    """gunicorn's connections, without gunicorn's processes."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[BoundedProtocol]] = []
        config = Config()
        config.set("asgi_disconnect_grace_period", 0)
        app: Any = BoundedApp()
        app.add_route("/", Root())
        loop = asyncio.get_running_loop()
        self.worker = SimpleNamespace(cfg=config, log=Logger(config), asgi=app, loop=loop, state={})
        vars(self.worker).update(nr_conns=0, nr=0, max_requests=10**9, alive=True)
        self.port = 0

    def _make(self) -> BoundedProtocol:
        made = BoundedProtocol(self.worker)
        self.made.append(weakref.ref(made))
        return made

    async def listen(self) -> asyncio.Server:
        server = await self.worker.loop.create_server(self._make, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def connect(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it waits for is gunicorn's
            await asyncio.sleep(0.01)


def serving(test: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server()
        async with await server.listen():
            await test(server)

    asyncio.run(run())


def test_a_parser_in_c_is_found_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gunicorn would note it in the class of these connections, and look for it in its own."""
    monkeypatch.setattr(gasgi, "ASGIProtocol", ASGIProtocol)
    monkeypatch.setattr(protocol, "PythonProtocol", PythonProtocol)
    monkeypatch.setattr(ASGIProtocol, "_h1c_available", None)
    loop = SimpleNamespace(add_signal_handler=print, create_server=print)
    worker = SimpleNamespace(loop=loop, cfg=Config(), asgi=SimpleNamespace(), seat=None)
    worker.max_requests = 0
    bound_connections(worker)
    assert vars(ASGIProtocol)["_h1c_available"] in (True, False)
    assert gasgi.ASGIProtocol is BoundedProtocol
    assert protocol.PythonProtocol is Parser


@pytest.mark.parametrize("sent", WHAT_CLIENTS_SEND)
def test_nothing_of_a_connection_waits_for_the_garbage_collector(sent: str) -> None:
    async def test(server: Server) -> None:
        _, writer = await server.connect(WHAT_CLIENTS_SEND[sent])
        await until(lambda: server.worker.nr_conns)
        await writer.drain()
        writer.close()
        await until(lambda: not server.worker.nr_conns)
        await until(lambda: not any(made() for made in server.made))

    gc.collect()
    gc.disable()
    try:
        serving(test)
    finally:
        gc.enable()


def test_who_sends_too_large_a_head_slowly_can_read_why_it_is_refused() -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect(HEAD)
        for number in range(12):
            writer.write(b"X-%d: %s\r\n" % (number, b"a" * 7_000))
            await writer.drain()
            await asyncio.sleep(0)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert str(MAX_HEAD) in json.loads(body)["description"]
        writer.close()

    serving(test)


def test_a_defect_that_escapes_shows_nothing_of_itself() -> None:
    async def defective(*_: Any) -> None:
        raise KeyError("hush")

    async def test(server: Server) -> None:
        server.worker.asgi = defective
        reader, writer = await server.connect(HEAD + b"\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert json.loads(body)["description"] == "An internal error of the broker."
        writer.close()

    serving(test)


def test_not_too_many_of_those_who_were_refused_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_LINGERING", 3)

    async def test(server: Server) -> None:
        refused = [await server.connect(WHAT_CLIENTS_SEND["no host"]) for _ in range(10)]
        for reader, _ in refused:
            assert (await reader.readline()) == b"HTTP/1.1 400 Bad Request\r\n"
        assert len(BoundedProtocol.lingering) <= 3
        # Nor do these do so for long.
        await until(lambda: not server.worker.nr_conns)
        assert not BoundedProtocol.lingering
        for _, writer in refused:
            writer.close()

    serving(test)


def test_freed_memory_is_given_back_when_many_connections_have_ended() -> None:
    async def test(server: Server) -> None:
        given_back: list[int] = []
        freed = Freed()
        freed._trim = given_back.append
        monkeypatch.setattr(BoundedProtocol, "freed", freed)
        for _ in range(3):
            _, writer = await server.connect(HEAD)
            writer.close()
        await until(lambda: given_back)
        assert given_back == [0]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(memory, "MANY", 3)
        monkeypatch.setattr(memory, "PAUSE", 0.1)
        serving(test)


def test_who_sent_most_ahead_loses_its_connection_when_all_have_sent_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_HELD", 100_000)

    async def test(server: Server) -> None:
        small, small_writer = await server.connect(HEAD + b"X-A: " + b"a" * 4_000)
        await until(lambda: BoundedProtocol.sent_ahead.together > 4_000)
        greedy = [await server.connect(HEAD + b"X-A: " + b"a" * 8_000) for _ in range(30)]
        await until(lambda: server.worker.nr_conns < 20)
        assert BoundedProtocol.sent_ahead.together <= 100_000
        small_writer.write(b"\r\n\r\n")
        assert (await small.readline()) == b"HTTP/1.1 200 OK\r\n"
        for _, writer in [*greedy, (small, small_writer)]:
            writer.close()
        await until(lambda: not server.worker.nr_conns)
        assert BoundedProtocol.sent_ahead.together == 0

    serving(test)


def test_what_waits_behind_a_request_in_progress_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_HELD", 300_000)

    async def test(server: Server) -> None:
        slow = b"PUT /?slow=1 HTTP/1.1\r\nHost: a\r\n\r\n" + b"b" * 200_000
        sent = [await server.connect(slow) for _ in range(10)]
        await until(lambda: len(server.made) == 10 and server.worker.nr_conns <= 5)
        for _, writer in sent:
            writer.close()
        await until(lambda: not server.worker.nr_conns)

    serving(test)
