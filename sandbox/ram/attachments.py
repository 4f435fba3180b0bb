"""Which policies are attached to which users, groups and roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.ram.documents import Group, Role, User
from alibroker.sandbox.ram.lookup import (
    absent,
    exists,
    find_group,
    find_role,
    find_user,
    over_limit,
    policy_key,
)
from alibroker.sandbox.ram.policies import describe_key

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call
    from alibroker.sandbox.store import Table

SYSTEM_PER_ENTITY = 20
CUSTOM_PER_ENTITY = 10
E = TypeVar("E", User, Group, Role)


def attach_policy_to_user(call: Call) -> Answer:
    """Attach a policy to a user."""
    return _attach(call, "User", find_user(call.cloud, call.parameters), call.cloud.users)


def detach_policy_from_user(call: Call) -> Answer:
    """Detach a policy from a user."""
    return _detach(call, "User", find_user(call.cloud, call.parameters), call.cloud.users)


def attach_policy_to_group(call: Call) -> Answer:
    """Attach a policy to a group."""
    return _attach(call, "Group", find_group(call.cloud, call.parameters), call.cloud.groups)


def detach_policy_from_group(call: Call) -> Answer:
    """Detach a policy from a group."""
    return _detach(call, "Group", find_group(call.cloud, call.parameters), call.cloud.groups)


def attach_policy_to_role(call: Call) -> Answer:
    """Attach a policy to a role."""
    role = find_role(call.cloud, call.parameters.text("RoleName"))
    return _attach(call, "Role", role, call.cloud.roles)


def detach_policy_from_role(call: Call) -> Answer:
    """Detach a policy from a role."""
    role = find_role(call.cloud, call.parameters.text("RoleName"))
    return _detach(call, "Role", role, call.cloud.roles)


def list_policies_for_user(call: Call) -> Answer:
    """List a user's own policies."""
    return _list(call, find_user(call.cloud, call.parameters).policies)


def list_policies_for_group(call: Call) -> Answer:
    """List a group's policies."""
    return _list(call, find_group(call.cloud, call.parameters).policies)


def list_policies_for_role(call: Call) -> Answer:
    """List a role's policies."""
    return _list(call, find_role(call.cloud, call.parameters.text("RoleName")).policies)


def list_entities_for_policy(call: Call) -> Answer:
    """List the users, groups and roles that a policy is attached to."""
    key = policy_key(call.cloud, call.parameters)
    users = [
        {
            "UserId": user.id,
            "UserName": user.name,
            "DisplayName": user.display_name,
            "AttachDate": timestamp(user.policies[key]),
        }
        for user in call.cloud.users.values()
        if key in user.policies
    ]
    groups = [
        {
            "GroupName": group.name,
            "Comments": group.comments,
            "AttachDate": timestamp(group.policies[key]),
        }
        for group in call.cloud.groups.values()
        if key in group.policies
    ]
    roles = [
        {
            "RoleId": role.id,
            "RoleName": role.name,
            "Arn": f"acs:ram::{call.cloud.owner.id}:role/{role.name.lower()}",
            "Description": role.description,
            "AttachDate": timestamp(role.policies[key]),
        }
        for role in call.cloud.roles.values()
        if key in role.policies
    ]
    return {"Users": {"User": users}, "Groups": {"Group": groups}, "Roles": {"Role": roles}}


def _attach(call: Call, entity: str, holder: E, table: Table[E]) -> Answer:
    key = policy_key(call.cloud, call.parameters)
    if key in holder.policies:
        raise exists(f"{entity}.Policy", "attachment", f"{key} to {holder.name}")
    kind = key.partition("/")[0]
    limit = CUSTOM_PER_ENTITY if kind == "Custom" else SYSTEM_PER_ENTITY
    if sum(name.startswith(f"{kind}/") for name in holder.policies) >= limit:
        raise over_limit(f"{entity}.Policy", limit)
    policies = {**holder.policies, key: call.now}
    table.put(holder.name, msgspec.structs.replace(holder, policies=policies))
    return {}


def _detach(call: Call, entity: str, holder: E, table: Table[E]) -> Answer:
    key = policy_key(call.cloud, call.parameters)
    if key not in holder.policies:
        raise absent(f"{entity}.Policy", "attachment", f"{key} to {holder.name}")
    policies = {name: since for name, since in holder.policies.items() if name != key}
    table.put(holder.name, msgspec.structs.replace(holder, policies=policies))
    return {}


def _list(call: Call, policies: dict[str, float]) -> Answer:
    found = [
        {**describe_key(call.cloud, key), "AttachDate": timestamp(since)}
        for key, since in policies.items()
    ]
    return {"Policies": {"Policy": found}}
