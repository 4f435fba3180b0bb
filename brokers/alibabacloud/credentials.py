"""The broker's own key to the cloud: found once at start, renewed before it expires."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

_MARGIN: Final = 600.0  # seconds before the expiry at which a renewal is tried
_MARGIN_SHARE: Final = 0.2  # or this share of the lifetime, if that is shorter
_RETRY_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class CredentialsError(RuntimeError):
    """No key to the cloud was found, or it could not be renewed; the text says what to set."""


@dataclass(frozen=True)
class Credentials:
    """A key to the cloud. Its `repr` shows no secret."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    expires_at: float | None = None
    """Unix time in seconds; None if it does not expire."""


class Source(Protocol):
    """A place that credentials come from."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    def fetch(self) -> Credentials:
        """Get credentials that are valid from now on; raise `CredentialsError` if that fails."""
        ...


class CredentialsProvider:
    """Hands out credentials that have not expired. Thread-safe."""

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.time) -> None:
        """Fetch the first credentials from `source`.

        Raises:
            CredentialsError: That failed.
        """
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._current = source.fetch()
        self._renew_at = self._renewal_time(self._current)

    @property
    def source(self) -> str:
        """Where they come from, for people."""
        return self._source.name

    def __repr__(self) -> str:
        """Name the source; show no secret."""
        return f"CredentialsProvider({self._source.name}, {self._current!r})"

    def get(self) -> Credentials:
        """Return the current credentials, renewed if their end is near.

        One thread renews, the others go on with what is still valid.

        Raises:
            CredentialsError: They have expired and cannot be renewed.
        """
        current, now = self._current, self._clock()
        if self._renew_at is None or now < self._renew_at:
            return current
        valid = current.expires_at is not None and now < current.expires_at
        if not self._lock.acquire(blocking=not valid):
            return current
        try:
            if self._current is current:
                self._renew(valid=valid)
            return self._current
        finally:
            self._lock.release()

    def refused(self, credentials: Credentials) -> None:
        """Take note that the cloud called `credentials` expired: the next `get` renews them."""
        with self._lock:
            if self._current is credentials and credentials.expires_at is not None:
                self._renew_at = 0.0

    def _renew(self, *, valid: bool) -> None:
        try:
            self._current = self._source.fetch()
        except CredentialsError as error:
            if not valid:
                raise
            _log.warning("credentials were not renewed, the old ones are still valid: %s", error)
            self._renew_at = self._clock() + _RETRY_SECONDS
            return
        self._renew_at = self._renewal_time(self._current)

    def _renewal_time(self, credentials: Credentials) -> float | None:
        if credentials.expires_at is None:
            return None
        lifetime = credentials.expires_at - self._clock()
        return credentials.expires_at - min(_MARGIN, lifetime * _MARGIN_SHARE)


def refuse_sdk_variables(environment: Mapping[str, str]) -> None:
    """Refuse to start where the cloud's SDK would use another key than ours.

    The SDK takes ALIYUN_ACCESS_KEY_ID and ALIYUN_ACCESS_KEY_SECRET from the process environment,
    even if it is given credentials.

    Raises:
        CredentialsError: One of the two is set, or the SDK was told to print what it sends.
    """
    for name in ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"):
        if name in environment or name in os.environ:
            raise CredentialsError(
                f"unset {name}: the cloud's SDK would use it instead of the broker's credentials; "
                f"the name to use is {name.replace('ALIYUN', 'ALIBABA_CLOUD')}"
            )
    if os.environ.get("DEBUG", "").lower() == "sdk":
        raise CredentialsError("unset DEBUG: with the value sdk, the cloud's SDK prints secrets")
