"""What tells for which service instance an RDS instance was bought: its tags, and its description.

Tags are given with the order, but the cloud may have bought without putting them on (TagResult of
CreateDBInstance). Then the description, which is part of the order, still says it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from alibroker.brokers.alibabacloud.naming import INSTANCE_TAG, tag_value
from alibroker.brokers.digests import digest
from alibroker.brokers.rds.calls import TAGGED_AT_ONCE, Item, RdsCalls

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

    What is returned may be deleted, so no filter of the cloud's is trusted: each has either the
    description or, where somebody has changed that, the tag.

    Raises:
        CloudError: The cloud could not be asked.
    """
    ours, tag = description(instance_id), (INSTANCE_TAG, tag_value(instance_id))
    if tagged := calls.instances(tag):
        changed = [one for one in tagged if one.get("DBInstanceDescription") != ours]
        others = {str(one["DBInstanceId"]) for one in changed} - _with_tag(calls, changed, tag)
        return [Bought(one, is_tagged=True) for one in tagged if one["DBInstanceId"] not in others]
    return [Bought(item, is_tagged=False) for item in calls.described(ours)]


def _with_tag(calls: RdsCalls, items: list[Item], tag: tuple[str, str]) -> set[str]:
    """Return the ids of those that really have a tag."""
    ids = [str(one["DBInstanceId"]) for one in items]
    found: set[str] = set()
    for start in range(0, len(ids), TAGGED_AT_ONCE):
        tags = calls.tags_of(ids[start:][:TAGGED_AT_ONCE])
        found |= {name for name, those in tags.items() if those.get(tag[0]) == tag[1]}
    return found


def seconds(text: object) -> float:
    """Read a time as the API writes it, e.g. 2026-01-02T03:04:05Z; 0 if it is written otherwise."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
