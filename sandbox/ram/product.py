"""The table of RAM's actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alibroker.sandbox.ram import attachments, groups, login, policies, roles, users
from alibroker.sandbox.rpc import Action, Product

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.parameters import Parameters
    from alibroker.sandbox.rpc import Resource, Run


def _resource(kind: str, parameter: str) -> Resource:
    def resource(cloud: Cloud, parameters: Parameters) -> str:
        return f"acs:ram::{cloud.owner.id}:{kind}/{parameters.get(parameter, '*')}"

    return resource


_KINDS = {
    ("user", "UserName"): (
        users.create_user,
        users.get_user,
        users.update_user,
        users.delete_user,
        users.list_users,
        users.create_access_key,
        users.list_access_keys,
        users.update_access_key,
        users.delete_access_key,
        login.create_login_profile,
        login.get_login_profile,
        login.delete_login_profile,
        login.bind_mfa_device,
        login.unbind_mfa_device,
        groups.add_user_to_group,
        groups.remove_user_from_group,
        groups.list_groups_for_user,
        attachments.attach_policy_to_user,
        attachments.detach_policy_from_user,
        attachments.list_policies_for_user,
    ),
    ("group", "GroupName"): (
        groups.create_group,
        groups.get_group,
        groups.list_groups,
        groups.delete_group,
        groups.list_users_for_group,
        attachments.attach_policy_to_group,
        attachments.detach_policy_from_group,
        attachments.list_policies_for_group,
    ),
    ("policy", "PolicyName"): (
        policies.create_policy,
        policies.get_policy,
        policies.list_policies,
        policies.delete_policy,
        policies.create_policy_version,
        policies.list_policy_versions,
        policies.delete_policy_version,
        policies.set_default_policy_version,
        attachments.list_entities_for_policy,
    ),
    ("role", "RoleName"): (
        roles.create_role,
        roles.get_role,
        roles.list_roles,
        roles.delete_role,
        attachments.attach_policy_to_role,
        attachments.detach_policy_from_role,
        attachments.list_policies_for_role,
    ),
}


def action_name(run: Run) -> str:
    """Return the API's name of an action's function: create_user is CreateUser."""
    words = run.__name__.split("_")
    return "".join("MFA" if word == "mfa" else word.capitalize() for word in words)


RAM = Product(
    name="ram",
    host="ram.aliyuncs.com",
    refusal="NoPermission",
    actions={
        action_name(run): Action(run, _resource(*kind))
        for kind, runs in _KINDS.items()
        for run in runs
    },
)
