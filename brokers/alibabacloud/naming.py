"""Names and tags of what we create, so that it is found again and told from what is not ours."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from alibroker.brokers.api import Work

OWNER_TAG: Final = "alibroker"
"""Its value says which broker created a thing."""
INSTANCE_TAG: Final = "alibroker-instance"
"""Its value says for which service instance."""

_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_RESERVED: Final = ("aliyun", "acs:")


def digest(*parts: str, length: int) -> str:
    """Return `length` (up to 52) of a-z and 2-7 that stand for `parts`; 5 bits each."""
    text = "/".join(f"{len(part)}:{part}" for part in parts)
    encoded = base64.b32encode(hashlib.sha256(text.encode()).digest())
    return encoded.decode().lower()[:length]


def tag_value(text: str) -> str:
    """Return `text` if it may be the value of a tag in every product, or else its digest."""
    if _VALUE.fullmatch(text) and not text.lower().startswith(_RESERVED):
        return text
    return f"digest-{digest(text, length=52)}"


def tags(work: Work, owner: str) -> dict[str, str]:
    """Return the tags for what is created for a service instance."""
    values = {
        OWNER_TAG: owner,
        INSTANCE_TAG: work.instance_id,
        "service_catalog": "true",
        "alibroker-platform": str(work.context.get("platform") or ""),
        "alibroker-organization": work.organization_guid,
        "alibroker-space": work.space_guid or str(work.context.get("namespace") or ""),
    }
    return {key: tag_value(value) for key, value in values.items() if value}
