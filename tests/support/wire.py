"""HTTP/1.1 by hand: for requests that no client library would send."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass
from typing import Any, Self

from drawer_app import USER

AUTHORIZATION = b"Basic " + base64.b64encode(":".join(USER).encode())


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_an_error_object(self) -> bool:
        """Whether it is what the application answers if it says no."""
        body = self.json
        return (
            bool(body["error"] and body["description"]) and "json" in self.headers["content-type"]
        )


class Wire:
    """One connection."""

    def __init__(self, port: int, *, timeout: float = 15.0, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, method: bytes = b"GET") -> Response | None:
        """Read one answer; None if the server has closed the connection instead."""
        try:
            line = self._reader.readline()
            if not line:
                return None
            headers = {}
            while (header := self._reader.readline().strip()) != b"":
                name, _, value = header.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            status = int(line.split()[1])
            empty = method == b"HEAD" or status in (204, 304)
            length = 0 if empty else int(headers.get("content-length", 0))
            return Response(status, headers, self._reader.read(length))
        except ConnectionResetError:
            return None


def request(
    method: bytes = b"GET",
    target: bytes = b"/v2/catalog",
    *headers: bytes,
    body: bytes = b"",
    version: bytes = b"HTTP/1.1",
    usual: bool = True,
) -> bytes:
    """Return the bytes of a request, with what belongs into one unless `usual` is false."""
    lines = [b" ".join([method, target, version])]
    if usual:
        lines += [b"Host: localhost", b"Authorization: " + AUTHORIZATION]
        lines += [b"X-Broker-API-Version: 2.17"]
    lines += headers
    if body:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def ask(port: int, data: bytes) -> Response | None:
    """Send bytes on a connection of their own and return the first answer."""
    with Wire(port) as wire:
        wire.send(data)
        return wire.receive(data.partition(b" ")[0])
