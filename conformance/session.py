"""A platform's conversation with the broker: every request and answer is kept."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

from alibroker.conformance.exchange import Exchange, Kind, Request
from alibroker.conformance.ledger import Ledger
from alibroker.conformance.masking import Masker
from alibroker.conformance.offers import Offer
from alibroker.conformance.settings import Settings
from alibroker.conformance.subject import Subject
from alibroker.conformance.transport import Transport

VERSION = "X-Broker-API-Version"
REQUEST_IDENTITY = "X-Broker-API-Request-Identity"
ORIGINATING_IDENTITY = "X-Broker-API-Originating-Identity"
RECENT = 5
"""Exchanges among which the latest poll is looked for."""

Query = Sequence[tuple[str, str]]


class Session:
    """Sends requests as a platform does, unless a check wants them otherwise."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.authorization = basic(settings.user, settings.password)
        encoded = self.authorization.partition(" ")[2]
        self.masker = Masker(settings.password, encoded)
        self.ledger = Ledger()
        self.exchanges: list[Exchange] = []
        self.catalog: Exchange | None = None
        """The catalog as it was fetched first."""
        self.offers: tuple[Offer, ...] = ()
        self.subjects: tuple[Subject, ...] = ()
        """The walks through the plans that were chosen."""
        self._subject: Subject | None = None
        self._transport = Transport(
            settings.url, ca_file=settings.ca_file, timeout=settings.request_timeout
        )
        self._lock = threading.Lock()

    @property
    def subject(self) -> Subject:
        """The walk that is under way; between walks, the first of them."""
        return self._subject or self.subjects[0]

    @subject.setter
    def subject(self, subject: Subject | None) -> None:
        self._subject = subject

    def speaks(self, major: int, minor: int) -> bool:
        """Tell whether the version spoken is at least this one."""
        return self.settings.version >= (major, minor)

    def call(  # noqa: PLR0913 - what a request consists of
        self,
        kind: Kind,
        instance: str = "",
        binding: str = "",
        *,
        query: Query = (),
        body: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
        method: str = "",
        path: str = "",
        ids: Mapping[str, str] | None = None,
        throw_away: bool = False,
    ) -> Exchange:
        """Send a request and keep what becomes of it.

        Args:
            kind: the endpoint.
            instance: id, which is percent-encoded here.
            binding: id, likewise.
            query: names and values, repeated ones as they are.
            body: is sent as JSON.
            raw: is sent as it is, as JSON by its content type.
            headers: to add, to replace, or with None to leave out.
            method: instead of the endpoint's.
            path: instead of the endpoint's, percent-encoded.
            ids: service and plan to name if what is created has to be deleted.
            throw_away: do not wait for the answer.
        """
        data = raw if body is None else json.dumps(body).encode()
        path = path or kind.path.format(
            instance=quote(instance, safe=""), binding=quote(binding, safe="")
        )
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        request = Request(
            kind, method or kind.method, target, self._headers(data, headers or {}), data
        )
        self.ledger.before(kind, instance, binding, ids or self._ids())
        try:
            exchange = self._transport.send(request, throw_away=throw_away)
        except BaseException:  # also Ctrl-C: what was asked for may well come to be
            self.ledger.after(kind, instance, binding, Exchange(request))
            raise
        self.ledger.after(kind, instance, binding, exchange)
        with self._lock:
            self.masker.learn(exchange)
            self.exchanges.append(exchange)
        return exchange

    def together(self, calls: Sequence[Callable[[], Exchange]]) -> list[Exchange]:
        """Make several calls at once and return what became of each."""
        start = threading.Barrier(len(calls))

        def one(call: Callable[[], Exchange]) -> Exchange:
            start.wait(10)
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, calls))

    def latest(self) -> str:
        """Return what a poll a moment ago has said, without secrets; empty if there was none."""
        with self._lock:
            for exchange in reversed(self.exchanges[-RECENT:]):
                if state := exchange.text("state"):
                    words = ": ".join(filter(None, (state, exchange.text("description"))))
                    return self.masker.text(words)
        return ""

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def _ids(self) -> dict[str, str]:
        if self._subject is None and not self.subjects:
            return {"service_id": "", "plan_id": ""}
        return self.subject.offer.ids

    def _headers(self, data: bytes | None, more: Mapping[str, str | None]) -> dict[str, str]:
        headers: dict[str, str | None] = {
            "Authorization": self.authorization,
            VERSION: self.settings.version_text,
            REQUEST_IDENTITY: str(uuid.uuid4()) if self.speaks(2, 15) else None,
            "Accept": "application/json",
            "Content-Type": "application/json" if data is not None else None,
            "User-Agent": "alibroker-conformance",
            **more,
        }
        return {name: value for name, value in headers.items() if value is not None}


def basic(user: str, password: str) -> str:
    """Return the header for basic authentication."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
