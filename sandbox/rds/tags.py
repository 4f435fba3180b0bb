"""Tags of instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError, invalid, missing
from alibroker.sandbox.rds import rules
from alibroker.sandbox.rds.lookup import live, not_found, settled

if TYPE_CHECKING:
    from alibroker.sandbox.rds.documents import Instance
    from alibroker.sandbox.rpc import Answer, Call

RESOURCE_LIMIT = 50
PAGE_SIZE = 50


def tag_resources(call: Call) -> Answer:
    """Add tags to up to 50 instances."""
    instances = _resources(call)
    tags = rules.check_tags(call.parameters.pairs())
    if not tags:
        raise missing("Tag.1.Key")
    _add(call, instances, tags)
    return {}


def untag_resources(call: Call) -> Answer:
    """Remove tags from up to 50 instances."""
    instances = _resources(call)
    keys = call.parameters.numbered("TagKey")
    everything = call.parameters.flag("All")
    if not keys and not everything:
        raise missing("TagKey.1")
    for instance in instances:
        tags = {
            key: value
            for key, value in instance.tags.items()
            if not (key in keys if keys else everything)
        }
        call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, tags=tags))
    return {}


def list_tag_resources(call: Call) -> Answer:
    """List tags by instance or by tag."""
    _check_type(call)
    names = call.parameters.numbered("ResourceId")
    wanted = call.parameters.pairs()
    if not names and not wanted:
        raise missing("ResourceId.1")
    rows = [
        {
            "ResourceId": instance.id,
            "ResourceType": "INSTANCE",
            "TagKey": key,
            "TagValue": value,
        }
        for instance in live(call.cloud, call.now)
        if (not names or instance.id in names)
        and all(instance.tags.get(key, None) == value for key, value in wanted)
        for key, value in instance.tags.items()
    ]
    start = call.parameters.integer("NextToken", 0, 0, 10**9, "InvalidNextToken")
    more = start + PAGE_SIZE < len(rows)
    return {
        "TagResources": {"TagResource": rows[start : start + PAGE_SIZE]},
        "NextToken": str(start + PAGE_SIZE) if more else "",
    }


def add_tags_to_resource(call: Call) -> Answer:
    """Add tags, the older action: ids separated by commas, tags as JSON or Tag.N.key."""
    names = call.parameters.text("DBInstanceId").split(",")
    pairs = call.parameters.pairs("key", "value")
    tags = rules.check_tags([*rules.read_tags_json(call.parameters).items(), *pairs])
    if not tags:
        raise missing("Tags")
    if len(names) > 30 or len(tags) > 5:  # noqa: PLR2004 - documented limits
        raise ApiError(400, "NumberExceed.Tags", "At most 30 instances and 5 tags in one call.")
    _add(call, [_find(call, name) for name in names], tags)
    return {}


def _add(call: Call, instances: list[Instance], tags: dict[str, str]) -> None:
    for instance in instances:
        merged = {**instance.tags, **tags}
        rules.check_tag_count(merged)
        call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, tags=merged))


def _resources(call: Call) -> list[Instance]:
    _check_type(call)
    names = call.parameters.numbered("ResourceId")
    if not names:
        raise missing("ResourceId.1")
    if len(names) > RESOURCE_LIMIT:
        raise ApiError(
            400, "NumberExceed.ResourceIds", f"At most {RESOURCE_LIMIT} resources in one call."
        )
    return [_find(call, name) for name in names]


def _check_type(call: Call) -> None:
    if call.parameters.text("ResourceType").upper() != "INSTANCE":
        raise invalid("ResourceType", "must be INSTANCE")


def _find(call: Call, name: str) -> Instance:
    instance = call.cloud.instances.get(name)
    if instance is None or (instance.gone_at and instance.gone_at <= call.now):
        raise not_found(call.cloud)
    return settled(instance, call.now)
