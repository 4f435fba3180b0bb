"""One request and what became of it."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final

MAX_EXPLANATION: Final = 160
"""Characters of a description that are repeated where it explains something else."""

_INSTANCE = "/v2/service_instances/{instance}"
_BINDING = _INSTANCE + "/service_bindings/{binding}"


class Kind(enum.Enum):
    """The endpoints of the OSB API: method and path."""

    CATALOG = ("GET", "/v2/catalog")
    PROVISION = ("PUT", _INSTANCE)
    FETCH_INSTANCE = ("GET", _INSTANCE)
    UPDATE = ("PATCH", _INSTANCE)
    DEPROVISION = ("DELETE", _INSTANCE)
    POLL_INSTANCE = ("GET", _INSTANCE + "/last_operation")
    BIND = ("PUT", _BINDING)
    FETCH_BINDING = ("GET", _BINDING)
    UNBIND = ("DELETE", _BINDING)
    POLL_BINDING = ("GET", _BINDING + "/last_operation")
    OTHER = ("", "")

    @property
    def method(self) -> str:
        """HTTP method."""
        return self.value[0]

    @property
    def path(self) -> str:
        """Path with the places of the ids."""
        return self.value[1]


@dataclass(frozen=True)
class Request:
    """A request as it was sent."""

    kind: Kind
    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: Mapping[str, str]
    body: bytes | None = None

    @property
    def incomplete(self) -> bool:
        """Whether it allows an asynchronous answer (OSB, Synchronous and Asynchronous)."""
        _, _, query = self.target.partition("?")
        return "accepts_incomplete=true" in query.split("&")


@dataclass(frozen=True)
class Answer:
    """An answer as it arrived; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, or why there was none."""

    request: Request
    answer: Answer | None = None
    trouble: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def status(self) -> int:
        """HTTP status, 0 if there was no answer."""
        return self.answer.status if self.answer else 0

    def has(self, *statuses: int) -> bool:
        """Tell whether the status is one of these."""
        return self.status in statuses

    @property
    def outcome(self) -> str:
        """What came of it, for messages."""
        if self.answer is None:
            return self.trouble
        error = self.text("error")
        return f"{self.status} {error}" if error else str(self.status)

    @property
    def explained(self) -> str:
        """What came of it, with what the broker has to say about it."""
        description = " ".join(self.text("description").split())
        if len(description) > MAX_EXPLANATION:
            description = f"{description[:MAX_EXPLANATION]}..."
        return f"{self.outcome} ({description})" if description else self.outcome

    @cached_property
    def document(self) -> Any:
        """The JSON in the answer, None if there is none."""
        try:
            return json.loads(self.answer.body) if self.answer else None
        except (ValueError, RecursionError):
            return None

    @property
    def members(self) -> dict[str, Any]:
        """The JSON object in the answer, empty if there is none."""
        return self.document if isinstance(self.document, dict) else {}

    def text(self, name: str) -> str:
        """Return a member that is a string, else an empty one."""
        value = self.members.get(name)
        return value if isinstance(value, str) else ""

    def header(self, name: str) -> str | None:
        """Return a header of the answer."""
        return self.answer.headers.get(name.lower()) if self.answer else None

    @property
    def accepted(self) -> bool:
        """Whether the broker said that it did, or is doing, what it was asked for."""
        return self.has(200, 201, 202)

    @property
    def refused(self) -> bool:
        """Whether the broker said that the request was wrong."""
        return HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def broken(self) -> bool:
        """Whether there is no answer, or one that admits a fault of the broker."""
        return not self.status or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def refused_for_now(self) -> bool:
        """Whether another operation was in the way (OSB, Blocking Operations)."""
        return self.has(422) and self.text("error") == "ConcurrencyError"

    @property
    def needs_asynchrony(self) -> bool:
        """Whether the broker can do it asynchronously only."""
        return self.has(422) and self.text("error") == "AsyncRequired"
