"""RAM roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import digits, timestamp
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.ram.documents import Role
from alibroker.sandbox.ram.lookup import (
    conflict,
    exists,
    find_role,
    limited,
    name_of,
    over_limit,
    page,
)

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.rpc import Answer, Call

ROLE_QUOTA = 1000


def create_role(call: Call) -> Answer:
    """Create a role."""
    name = name_of(call.parameters, "RoleName")
    trust = call.parameters.text("AssumeRolePolicyDocument")
    try:
        tree = msgspec.json.decode(trust, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise ApiError(400, "MalformedPolicyDocument", str(error)) from None
    if not isinstance(tree.get("Statement"), list):
        raise ApiError(400, "MalformedPolicyDocument", 'The trust policy needs a "Statement".')
    if name in call.cloud.roles:
        raise exists("Role", "role", name)
    if len(call.cloud.roles) >= ROLE_QUOTA:
        raise over_limit("Role", ROLE_QUOTA)
    role = Role(
        name=name,
        id=digits(18),
        created=call.now,
        trust=trust,
        description=limited(call.parameters, "Description", 1024),
        max_session_seconds=call.parameters.integer("MaxSessionDuration", 3600, 3600, 43200),
    )
    call.cloud.roles.put(name, role)
    return {"Role": describe(call.cloud, role)}


def get_role(call: Call) -> Answer:
    """Describe a role."""
    role = find_role(call.cloud, call.parameters.text("RoleName"))
    return {"Role": describe(call.cloud, role)}


def list_roles(call: Call) -> Answer:
    """List the roles, without their trust policies."""
    roles, paging = page(call.parameters, list(call.cloud.roles.values()))
    listed = [describe(call.cloud, role) for role in roles]
    for one in listed:
        del one["AssumeRolePolicyDocument"]
    return {"Roles": {"Role": listed}, **paging}


def delete_role(call: Call) -> Answer:
    """Delete a role without policies."""
    role = find_role(call.cloud, call.parameters.text("RoleName"))
    if role.policies:
        raise conflict("Role.Policy", "the role's policies (detach them)")
    call.cloud.roles.remove(role.name)
    return {}


def describe(cloud: Cloud, role: Role) -> Answer:
    """Render a role."""
    return {
        "RoleId": role.id,
        "RoleName": role.name,
        "Arn": f"acs:ram::{cloud.owner.id}:role/{role.name.lower()}",
        "Description": role.description,
        "AssumeRolePolicyDocument": role.trust,
        "MaxSessionDuration": role.max_session_seconds,
        "CreateDate": timestamp(role.created),
    }
