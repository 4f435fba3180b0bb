"""RAM groups and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import digits, timestamp
from alibroker.sandbox.ram.documents import Group
from alibroker.sandbox.ram.lookup import (
    absent,
    conflict,
    exists,
    find_group,
    find_user,
    limited,
    name_of,
    over_limit,
    page,
)

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.ram.documents import User
    from alibroker.sandbox.rpc import Answer, Call

GROUPS_PER_USER = 10


def create_group(call: Call) -> Answer:
    """Create a group."""
    name = name_of(call.parameters, "GroupName")
    if name in call.cloud.groups:
        raise exists("Group", "group", name)
    quota = call.cloud.settings.group_quota
    if len(call.cloud.groups) >= quota:
        raise over_limit("Group", quota)
    comments = limited(call.parameters, "Comments", 128)
    group = Group(
        name=name,
        id=f"g-{digits(16)}",
        created=call.now,
        updated=call.now,
        comments=comments,
    )
    call.cloud.groups.put(name, group)
    return {"Group": {**_brief(group), "CreateDate": timestamp(group.created)}}


def get_group(call: Call) -> Answer:
    """Describe a group."""
    return {"Group": describe(find_group(call.cloud, call.parameters))}


def list_groups(call: Call) -> Answer:
    """List the groups."""
    groups, paging = page(call.parameters, list(call.cloud.groups.values()))
    return {"Groups": {"Group": [describe(group) for group in groups]}, **paging}


def delete_group(call: Call) -> Answer:
    """Delete a group without members and policies."""
    group = find_group(call.cloud, call.parameters)
    if members(call.cloud, group.name):
        raise conflict("Group.User", "the group's memberships")
    if group.policies:
        raise conflict("Group.Policy", "the group's policies (detach them)")
    call.cloud.groups.remove(group.name)
    return {}


def add_user_to_group(call: Call) -> Answer:
    """Add a user to a group."""
    user = find_user(call.cloud, call.parameters)
    group = find_group(call.cloud, call.parameters)
    if group.name in user.groups:
        raise exists("User.Group", "membership", f"{user.name} in {group.name}")
    if len(user.groups) >= GROUPS_PER_USER:
        raise over_limit("User.Group", GROUPS_PER_USER)
    joined = msgspec.structs.replace(user, groups={**user.groups, group.name: call.now})
    call.cloud.users.put(user.name, joined)
    return {}


def remove_user_from_group(call: Call) -> Answer:
    """Remove a user from a group."""
    user = find_user(call.cloud, call.parameters)
    group = find_group(call.cloud, call.parameters)
    if group.name not in user.groups:
        raise absent("User.Group", "membership", f"{user.name} in {group.name}")
    groups = {name: since for name, since in user.groups.items() if name != group.name}
    call.cloud.users.put(user.name, msgspec.structs.replace(user, groups=groups))
    return {}


def list_groups_for_user(call: Call) -> Answer:
    """List a user's groups."""
    user = find_user(call.cloud, call.parameters)
    found = [
        {**_brief(call.cloud.groups[name]), "JoinDate": timestamp(since)}
        for name, since in user.groups.items()
    ]
    return {"Groups": {"Group": found}}


def list_users_for_group(call: Call) -> Answer:
    """List a group's members."""
    group = find_group(call.cloud, call.parameters)
    users, paging = page(call.parameters, members(call.cloud, group.name))
    found = [
        {
            "UserName": user.name,
            "DisplayName": user.display_name,
            "JoinDate": timestamp(user.groups[group.name]),
        }
        for user in users
    ]
    return {"Users": {"User": found}, **paging}


def members(cloud: Cloud, group: str) -> list[User]:
    """Return the users in a group."""
    return [user for user in cloud.users.values() if group in user.groups]


def describe(group: Group) -> Answer:
    """Render a group."""
    return {
        **_brief(group),
        "CreateDate": timestamp(group.created),
        "UpdateDate": timestamp(group.updated),
    }


def _brief(group: Group) -> Answer:
    return {"GroupId": group.id, "GroupName": group.name, "Comments": group.comments}
