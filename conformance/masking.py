"""What may be shown of a request and its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from alibroker.conformance.exchange import Exchange

MASK = "***"
MAX_SHOWN = 2000
"""Characters of a body that are shown."""
SHORTEST = 6
"""Characters from which on a value out of credentials is searched for elsewhere."""

# Members whose values give access: all of what is in them is masked.
_SECRET_MEMBERS = frozenset(
    {"credentials", "dashboard_client", "route_service_url", "syslog_drain_url", "volume_mounts"}
)
_SECRET_NAMES = re.compile(r"passw|secret|token|credential|private_?key|access_?key", re.IGNORECASE)
_SECRET_HEADERS = frozenset({"authorization", "set-cookie", "cookie"})


class Masker:
    """Knows what is secret, learns it from answers, and hides it wherever it stands."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = {secret for secret in secrets if secret}

    def learn(self, exchange: Exchange) -> None:
        """Take note of the credentials in an answer."""
        for name in _SECRET_MEMBERS:
            self._secrets.update(
                text for text in _texts(exchange.members.get(name)) if len(text) >= SHORTEST
            )

    def shown(self, exchange: Exchange) -> dict[str, Any]:
        """Return the exchange for a report, as JSON."""
        request, answer = exchange.request, exchange.answer
        return {
            "request": {
                "method": request.method,
                "target": self.text(request.target),
                "headers": self._headers(request.headers),
                "body": self._body(request.body),
            },
            "answer": answer
            and {
                "status": answer.status,
                "headers": self._headers(answer.headers),
                "body": self._body(answer.body),
            },
            "trouble": self.text(exchange.trouble),
            "seconds": round(exchange.seconds, 3),
        }

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            name: _authorization(value) if name.lower() in _SECRET_HEADERS else self.text(value)
            for name, value in headers.items()
        }

    def _body(self, body: bytes | None) -> str | None:
        if body is None:
            return None
        try:
            shown = json.dumps(_masked(json.loads(body)), ensure_ascii=False)
        except (ValueError, RecursionError):
            shown = body.decode(errors="replace")
            if _SECRET_NAMES.search(shown):
                return f"({len(body)} bytes that are not JSON and may hold secrets)"
        shown = self.text(shown)
        if len(shown) > MAX_SHOWN:
            return f"{shown[:MAX_SHOWN]} ... ({len(body)} bytes)"
        return shown


def _authorization(value: str) -> str:
    scheme, space, rest = value.partition(" ")
    return f"{scheme} {MASK}" if space and rest else MASK if value else ""


def _masked(value: Any, *, secret: bool = False) -> Any:
    if isinstance(value, dict):
        return {
            name: _masked(inner, secret=secret or _is_secret(name)) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_masked(inner, secret=secret) for inner in value]
    return MASK if secret and not isinstance(value, bool) and value is not None else value


def _is_secret(name: str) -> bool:
    return name in _SECRET_MEMBERS or bool(_SECRET_NAMES.search(name))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
