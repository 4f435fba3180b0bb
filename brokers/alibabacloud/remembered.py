"""Which account a lasting key belongs to, remembered over restarts: that never changes.

While it is not known no step is taken, so a broker that restarts while the cloud does not say would
stand still with all that it has begun.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Final

import msgspec

log = logging.getLogger(__name__)

FILE: Final = "accounts.json"


class Remembered:
    """Accounts by what their keys' ids hash to, in a file; without a directory nothing is kept."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / FILE if directory is not None else None

    def account_of(self, key_id: str) -> str:
        """Return the account of a key, empty if it is not known."""
        return self._load().get(_name(key_id), "")

    def remember(self, key_id: str, account: str) -> None:
        """Note the account of a key; that this fails costs a call at the next start."""
        if self._path is None:
            return
        known = {**self._load(), _name(key_id): account}
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(known))
            fresh.replace(self._path)
        except OSError as error:
            log.info("%s cannot be written: %s", self._path, error)

    def _load(self) -> dict[str, str]:
        if self._path is None:
            return {}
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            log.info("%s cannot be read: %s", self._path, error)
            return {}


def _name(key_id: str) -> str:
    return hashlib.sha256(key_id.encode()).hexdigest()[:32]
