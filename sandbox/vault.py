"""Secrets at rest: sealed in the database with a key that lies beside it.

This keeps them out of listings, dumps and accidents; whoever can read the data directory can
unseal them. Database passwords are kept recoverable so that real servers can be started with them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from pathlib import Path

_CACHE_LIMIT = 20_000


class Vault:
    """Seals and unseals texts with the key of a data directory."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            write_private(path, Fernet.generate_key())
        self._fernet = Fernet(path.read_bytes())
        self._plain: dict[str, str] = {}

    def seal(self, secret: str) -> str:
        """Return the text that may be stored."""
        sealed = self._fernet.encrypt(secret.encode()).decode()
        self._remember(sealed, secret)
        return sealed

    def unseal(self, sealed: str) -> str:
        """Return the secret.

        Raises:
            cryptography.fernet.InvalidToken: It was sealed with another key.
        """
        secret = self._plain.get(sealed)
        if secret is None:
            secret = self._fernet.decrypt(sealed.encode()).decode()
            self._remember(sealed, secret)
        return secret

    def _remember(self, sealed: str, secret: str) -> None:
        if len(self._plain) >= _CACHE_LIMIT:
            self._plain.clear()
        self._plain[sealed] = secret


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
