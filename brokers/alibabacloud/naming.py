"""Names and tags of what we create, so that it is found again and told from what is not ours."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from alibroker.brokers.api import Found, Work
from alibroker.brokers.digests import digest

OWNER_TAG: Final = "alibroker"
"""Its value says which broker created a thing."""
INSTANCE_TAG: Final = "alibroker-instance"
"""Its value says for which service instance."""

SERVICE_TAG: Final = "alibroker-service"
PLAN_TAG: Final = "alibroker-plan"
ORGANIZATION_TAG: Final = "alibroker-organization"
SPACE_TAG: Final = "alibroker-space"
KEPT_TAG: Final = "alibroker-kept"
KEPT: Final = "true"
"""The value that says that what carries it is to stay although no record knows it any more."""

_CODED: Final = "b32-"
_DIGEST: Final = "digest-"
_LONGEST: Final = 128
_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RESERVED: Final = ("aliyun", "acs:")


def tag_value(text: str) -> str:
    """Return `text` if it may be the value of a tag in every product, or else a code of it.

    `tag_text` makes the text of it again, unless it has more than 77 bytes.
    """
    return _coded(text, _VALUE)


def word_value(text: str) -> str:
    """Return as `tag_value`, for places that take letters, digits, _ and - only."""
    return _coded(text, _WORD)


def _coded(text: str, allowed: re.Pattern[str]) -> str:
    if allowed.fullmatch(text) and not text.lower().startswith((*_RESERVED, _CODED, _DIGEST)):
        return text
    coded = _CODED + base64.b32encode(text.encode()).decode().rstrip("=").lower()
    return coded if len(coded) <= _LONGEST else f"{_DIGEST}{digest(text)}"


def tag_text(value: str) -> str:
    """Return the text of a `tag_value` or `word_value`; empty if that cannot be told."""
    if value.startswith(_DIGEST):
        return ""
    if not value.startswith(_CODED):
        return value
    letters = value.removeprefix(_CODED).upper()
    try:
        return base64.b32decode(letters + "=" * (-len(letters) % 8)).decode()
    except ValueError:
        return ""


def tags(work: Work, owner: str) -> dict[str, str]:
    """Return the tags for what is created for a service instance."""
    values = {
        OWNER_TAG: owner,
        INSTANCE_TAG: work.instance_id,
        SERVICE_TAG: work.service_id,
        PLAN_TAG: work.plan_id,
        "service_catalog": "true",
        "alibroker-platform": str(work.context.get("platform") or ""),
        "alibroker-user": work.requested_by.partition(" ")[2],
        ORGANIZATION_TAG: work.organization_guid,
        SPACE_TAG: work.space_guid or str(work.context.get("namespace") or ""),
    }
    return {key: tag_value(value) for key, value in values.items() if value}


def marked(kind: str, name: str, tagged: Mapping[str, str]) -> Found:
    """Return what the tags of a thing say about it: the inverse of `tags`, as far as they go."""

    def text(tag: str) -> str:
        return tag_text(tagged.get(tag, ""))

    instance = tagged.get(INSTANCE_TAG, "")
    return Found(
        kind=kind,
        name=name,
        instance_id=tag_text(instance),
        instance_digest=instance.removeprefix(_DIGEST) if instance.startswith(_DIGEST) else "",
        service_id=text(SERVICE_TAG),
        plan_id=text(PLAN_TAG),
        organization_guid=text(ORGANIZATION_TAG),
        space_guid=text(SPACE_TAG),
        kept=tagged.get(KEPT_TAG) == KEPT,
    )
