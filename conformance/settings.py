"""What a run is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Version = tuple[int, int]

PLATFORM_TIMEOUT = 60.0
"""Seconds after which platforms give up a request (OSB, Orphan Mitigation)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the broker is, how it is talked to, and what it is asked for."""

    url: str
    user: str
    password: str
    version: Version = (2, 17)
    ca_file: str | None = None
    """Certificates to trust, instead of those of the system."""
    request_timeout: float = PLATFORM_TIMEOUT
    """Seconds to wait for an answer."""
    timeout: float = 3600.0
    """Seconds that an operation may take."""
    poll_interval: float | None = None
    """Seconds between polls; None: as the broker suggests, else `DEFAULT_POLL_INTERVAL`."""
    parameters: Mapping[str, Any] | None = None
    bind_parameters: Mapping[str, Any] | None = None
    failfast: bool = False

    @property
    def version_text(self) -> str:
        """The version as the header has it."""
        return f"{self.version[0]}.{self.version[1]}"
