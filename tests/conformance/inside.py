"""A WSGI application that is reached without a server: what is asked and answered is the same."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import requests
from requests.adapters import BaseAdapter

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Inside(BaseAdapter):
    """Answers requests in the thread that sends them (PEP 3333)."""

    def __init__(self, app: Application) -> None:
        super().__init__()
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - this signature is requests' own
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        del stream, timeout, verify, cert, proxies  # there is no connection
        answer = requests.Response()
        answer.request, answer.url = request, request.url or ""

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            answer.status_code = int(status.partition(" ")[0])
            answer.headers.update(headers)

        answer._content = b"".join(self._app(_environment(request), start))
        return answer

    def close(self) -> None:
        """There is nothing to let go of."""


def _environment(request: requests.PreparedRequest) -> dict[str, Any]:
    parts = urlsplit(request.url or "")
    body = request.body or b""
    data = body.encode() if isinstance(body, str) else bytes(body)
    fields = {
        "HTTP_" + name.upper().replace("-", "_"): _text(value)
        for name, value in request.headers.items()
    }
    return {
        **fields,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "CONTENT_TYPE": _text(request.headers.get("Content-Type", "")),
        "CONTENT_LENGTH": str(len(data)),
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": str(parts.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _text(value: str | bytes) -> str:
    """Return what a server makes of a header's bytes."""
    return value if isinstance(value, str) else value.decode("latin-1")
