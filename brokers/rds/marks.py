"""What tells for which service instance an RDS instance was bought: its tags, and its description.

Tags are given with the order, but the cloud may have bought without putting them on (TagResult of
CreateDBInstance). Then the description, which is part of the order, still says it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from alibroker.brokers.alibabacloud.naming import INSTANCE_TAG, tag_value
from alibroker.brokers.digests import digest
from alibroker.brokers.rds.calls import Item, RdsCalls

_LONGEST: Final = 64  # ModifyDBInstanceDescription


def description(instance_id: str) -> str:
    """Return the description of an instance: a letter first, 64 characters at most."""
    text = f"alibroker-{instance_id}"
    plain = text.replace("-", "").replace("_", "")
    if len(text) <= _LONGEST and plain.isalnum() and text.isascii():
        return text
    return f"alibroker-{digest(instance_id, length=52)}"


class Bought(NamedTuple):
    """What was bought, as a list shows it, and whether its tags say so."""

    item: Item
    is_tagged: bool


def bought_for(calls: RdsCalls, instance_id: str) -> list[Bought]:
    """Return what was bought for a service instance, whatever became of it since.

    Raises:
        CloudError: The cloud could not be asked.
    """
    if tagged := calls.instances((INSTANCE_TAG, tag_value(instance_id))):
        return [Bought(item, is_tagged=True) for item in tagged]
    described = calls.described(description(instance_id))
    return [Bought(item, is_tagged=False) for item in described]


def seconds(text: object) -> float:
    """Read a time as the API writes it, e.g. 2026-01-02T03:04:05Z; 0 if it is written otherwise."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
