"""What the broker in memory keeps, and how it says no."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
"""Ids of an instance and a binding; of an instance alone with the second empty."""

ASYNC = "This service plan requires client support for asynchronous service operations."
BUSY = "The Service Broker does not support concurrent requests that mutate the same resource."


@dataclass
class Thing:
    """An instance or a binding."""

    wanted: Any
    ids: tuple[str, str]
    operation: str = ""
    kind: str = "create"
    polls: int = 0
    """Polls that will still say that its operation is in progress: no clock, so no luck."""
    secret: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def running(self) -> bool:
        return self.polls > 0

    @property
    def doing(self) -> str:
        return self.kind if self.running else ""


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: int, error: str = "", description: str = "No.") -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error or "Refused", "description": description}
