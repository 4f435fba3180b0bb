"""How long a new key is tried before it is taken to be refused for good."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.api import Failed
from alibroker.brokers.oss.storage import Opening

_SECONDS: Final = 120.0
"""RAM spreads a key and its policy within seconds."""


def given_up(opening: Opening, since: float, now: float) -> Failed | None:
    """Return the end of a bind whose key has been refused since then, if that is long enough."""
    if now - since <= _SECONDS:
        return None
    return Failed(
        reason=f"the new key does not open the bucket ({opening.refusal}): see whether the "
        "bucket's policy or a control policy of the account denies it, or somebody disabled the key"
    )
