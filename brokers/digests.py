"""Short texts that stand for ids: the same whenever they are made, and of hardly any other id."""

from __future__ import annotations

import base64
import hashlib


def digest(*parts: str, length: int = 52) -> str:
    """Return `length` (up to 52) of a-z and 2-7 that stand for `parts`; 5 bits each."""
    text = "/".join(f"{len(part)}:{part}" for part in parts)
    encoded = base64.b32encode(hashlib.sha256(text.encode()).digest())
    return encoded.decode().lower()[:length]
