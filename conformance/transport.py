"""HTTP, without the conveniences that would hide what a broker does."""

from __future__ import annotations

import time

import requests
import requests.adapters

from alibroker.conformance.exchange import Answer, Exchange, Request

CONNECT_TIMEOUT = 10.0
THROWN_AWAY_AFTER = 0.01
"""Seconds after which an answer that nobody wants is not waited for any longer."""


class Transport:
    """Sends requests exactly as they are: no redirects, proxies, retries or encodings of its own.

    Each request has a connection of its own: one that the server closes while it is idle would
    otherwise look like a fault of the broker.
    """

    def __init__(self, url: str, *, ca_file: str | None, timeout: float) -> None:
        """Take the broker's URL, which may have a path, and seconds to wait for an answer."""
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.clear()
        self._session.verify = ca_file or True

    def send(self, request: Request, *, throw_away: bool = False) -> Exchange:
        """Send a request; an answer that does not come is part of the result, not an error."""
        headers = {**request.headers, "Connection": "close"}
        prepared = requests.Request(
            request.method, self._url, headers=headers, data=request.body
        ).prepare()
        prepared.url = self._url + request.target
        timeout = THROWN_AWAY_AFTER if throw_away else self._timeout
        started = time.monotonic()
        try:
            answer = self._session.send(
                prepared, timeout=(CONNECT_TIMEOUT, timeout), allow_redirects=False
            )
        except requests.ReadTimeout:
            why = "answer thrown away" if throw_away else f"no answer within {timeout:.0f} seconds"
            return Exchange(request, None, why, time.monotonic() - started)
        except requests.RequestException as ex:
            return Exchange(request, None, _reason(ex), time.monotonic() - started)
        names = {name.lower(): value for name, value in answer.headers.items()}
        received = Answer(answer.status_code, names, answer.content)
        return Exchange(request, received, "", time.monotonic() - started)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()


def _reason(error: BaseException) -> str:
    """Return the innermost cause: what wraps it repeats the URL and names objects."""
    seen = error
    while True:
        inner = seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    return f"no answer: {seen or type(seen).__name__}"
