"""The security groups of ECS that an instance lets in. Any id of the right form is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds.lookup import demand_running, find, find_listed

if TYPE_CHECKING:
    from alibroker.sandbox.rds.documents import Instance
    from alibroker.sandbox.rpc import Answer, Call

LIMIT = 10
_ENGINES = ("MySQL", "PostgreSQL", "SQLServer")
_ID = re.compile(r"sg-[a-z0-9]+")


def describe_security_group_configuration(call: Call) -> Answer:
    """List the security groups."""
    answer = _describe(find_listed(call))
    for relation in answer["Items"]["EcsSecurityGroupRelation"]:
        relation["SecurityGroupName"] = relation["SecurityGroupId"]
    return answer


def modify_security_group_configuration(call: Call) -> Answer:
    """Replace the security groups; an empty parameter removes all, and so does the word Empty."""
    instance = find(call)
    asked = call.parameters.get("SecurityGroupId")
    groups = tuple(filter(None, asked.split(","))) if asked != "Empty" else ()
    if not all(map(_ID.fullmatch, groups)) or len(set(groups)) != len(groups):
        raise ApiError(
            404, "InvalidSecurityGroupId.NotFound", "The specified security group does not exist."
        )
    if len(groups) > LIMIT:
        raise ApiError(
            400, "AssociatedEcsSecurityGroupIdQuotaExceed", "Security groups quota exceeded"
        )
    if instance.engine not in _ENGINES:
        raise ApiError(400, "EngineNotSupported", "The engine does not support this operation.")
    demand_running(instance, call.now)
    instance = msgspec.structs.replace(instance, security_groups=groups)
    call.cloud.instances.put(instance.id, instance)
    return _describe(instance)


def _describe(instance: Instance) -> Answer:
    relations = [
        {
            "SecurityGroupId": group,
            "NetworkType": "VPC",
            "RegionId": instance.region,
        }
        for group in instance.security_groups
    ]
    return {
        "DBInstanceName": instance.id,
        "Items": {"EcsSecurityGroupRelation": relations},
    }
