"""A request and a response, as the protocols see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Request:
    """A request whose target has not been decoded.

    Attributes:
        method: HTTP method.
        path: Path as sent, percent-escapes included: signatures cover it and OSS keys need it.
        query: Query string as sent.
        headers: Header values by lower-case name.
        body: Whole body.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""

    @cached_property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The query's names and values in the order sent, empty values included."""
        return parse_qsl(self.query, keep_blank_values=True)

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The query's values by name."""
        return dict(self.query_pairs)

    @cached_property
    def parameters(self) -> list[tuple[str, str]]:
        """The names and values of query and form together, as RPC actions take them."""
        if self.body and self.headers.get("content-type", "").startswith(FORM):
            text = self.body.decode(errors="replace")
            return [*self.query_pairs, *parse_qsl(text, keep_blank_values=True)]
        return list(self.query_pairs)


@dataclass(frozen=True)
class Response:
    """A whole response."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    # Error code for the counters and the log; empty for success.
    code: str = ""
    # Objects are sent from files instead of the body: path, offset, length in bytes.
    files: tuple[tuple[Path, int, int], ...] = ()
