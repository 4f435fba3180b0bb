"""A few calls to an embedded etcd's JSON gateway over its unix socket, with nothing but sockets.

The process that starts etcd forks later and must not load gRPC, and the keeper must start fast.
"""

import json
import socket
from pathlib import Path
from typing import Any


class GatewayError(Exception):
    """etcd does not answer, or answers with an error."""


def call(path: Path, method: str, body: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """Call a method such as "kv/range" and return its reply.

    Args:
        path: the client socket of etcd.
        method: the end of the URL, below /v3/.
        body: the request, as documented with etcd's gRPC gateway (bytes in base64).
        timeout: seconds for each step on the socket.

    Raises:
        GatewayError: there is no good answer.
    """
    payload = json.dumps(body).encode()
    head = (
        f"POST /v3/{method} HTTP/1.0\r\nHost: etcd\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    reply = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(head.encode() + payload)
            while received := connection.recv(65536):
                reply += received
    except OSError as error:
        raise GatewayError(f"{method}: {error}") from error
    status, _, rest = reply.partition(b"\r\n")
    answer = rest.partition(b"\r\n\r\n")[2]
    if b" 200 " not in status + b" ":
        raise GatewayError(f"{method}: {answer[:300].decode(errors='replace')}")
    try:
        document = json.loads(answer)
    except ValueError as error:
        raise GatewayError(f"{method}: the answer is not JSON") from error
    if not isinstance(document, dict):
        raise GatewayError(f"{method}: the answer is not an object")
    return document


def answers(path: Path, *, timeout: float) -> bool:
    """Tell whether a linearizable read is answered, which it is even when the store is full."""
    try:
        call(path, "kv/range", {"key": "AA=="}, timeout=timeout)
    except GatewayError:
        return False
    return True
