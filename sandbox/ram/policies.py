"""RAM policies and their versions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.ram.documents import Policy, PolicyVersion
from alibroker.sandbox.ram.lookup import (
    absent,
    check_document,
    conflict,
    exists,
    find_policy,
    limited,
    name_of,
    over_limit,
    page,
    policy_key,
    policy_type,
)
from alibroker.sandbox.ram.system_policies import SYSTEM_POLICIES

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.rpc import Answer, Call

VERSIONS_PER_POLICY = 5


def create_policy(call: Call) -> Answer:
    """Create a custom policy."""
    name = name_of(call.parameters, "PolicyName")
    document = check_document(call.parameters)
    description = limited(call.parameters, "Description", 1024)
    if name in call.cloud.policies or name in SYSTEM_POLICIES:
        raise exists("Policy", "policy", name)
    quota = call.cloud.settings.policy_quota
    if len(call.cloud.policies) >= quota:
        raise over_limit("Policy", quota)
    policy = Policy(
        name=name,
        created=call.now,
        updated=call.now,
        versions={"v1": PolicyVersion(document, call.now)},
        description=description,
        tags=dict(call.parameters.json_pairs()),
    )
    call.cloud.policies.put(name, policy)
    created = {"CreateDate": timestamp(call.now)}
    return {"Policy": {**describe_key(call.cloud, f"Custom/{name}"), **created}}


def get_policy(call: Call) -> Answer:
    """Describe a policy and its document in force."""
    kind, _, name = policy_key(call.cloud, call.parameters).partition("/")
    count = attachment_counts(call.cloud)[f"{kind}/{name}"]
    if kind == "System":
        version = {
            "VersionId": "v1",
            "PolicyDocument": SYSTEM_POLICIES[name],
            "IsDefaultVersion": True,
            "CreateDate": timestamp(call.cloud.owner.created),
        }
        return {
            "Policy": {**_describe(call.cloud, f"{kind}/{name}"), "AttachmentCount": count},
            "DefaultPolicyVersion": version,
        }
    policy = call.cloud.policies[name]
    return {
        "Policy": {**_describe(call.cloud, f"{kind}/{name}"), "AttachmentCount": count},
        "DefaultPolicyVersion": _describe_version(policy, policy.default),
    }


def list_policies(call: Call) -> Answer:
    """List policies, custom ones first."""
    cloud = call.cloud
    kind = policy_type(call.parameters, "") if "PolicyType" in call.parameters else ""
    wanted = set(call.parameters.json_pairs())
    counts = attachment_counts(cloud)
    found = []
    if kind != "System":
        found += [
            {
                **_describe(cloud, f"Custom/{policy.name}"),
                "Tags": {"Tag": [{"TagKey": k, "TagValue": v} for k, v in policy.tags.items()]},
            }
            for policy in cloud.policies.values()
            if wanted <= set(policy.tags.items())
        ]
    if kind != "Custom" and not wanted:
        found += [_describe(cloud, f"System/{name}") for name in SYSTEM_POLICIES]
    cut, paging = page(call.parameters, found)
    listed = [
        {**item, "AttachmentCount": counts[f"{item['PolicyType']}/{item['PolicyName']}"]}
        for item in cut
    ]
    return {"Policies": {"Policy": listed}, **paging}


def delete_policy(call: Call) -> Answer:
    """Delete a policy that is attached nowhere and has only its default version."""
    policy = find_policy(call.cloud, call.parameters)
    cascading = call.parameters.flag("CascadingDelete")
    key = f"Custom/{policy.name}"
    if any(key in user.policies for user in call.cloud.users.values()):
        raise conflict("Policy.User", "the attachments to users (detach them)")
    if any(key in group.policies for group in call.cloud.groups.values()):
        raise conflict("Policy.Group", "the attachments to groups (detach them)")
    if any(key in role.policies for role in call.cloud.roles.values()):
        raise conflict("Policy.Role", "the attachments to roles (detach them)")
    if len(policy.versions) > 1 and not cascading:
        raise conflict("Policy.Version", "the versions that are not the default one")
    call.cloud.policies.remove(policy.name)
    return {}


def create_policy_version(call: Call) -> Answer:
    """Add a version to a policy."""
    policy = find_policy(call.cloud, call.parameters)
    document = check_document(call.parameters)
    rotate = call.parameters.choice(
        "RotateStrategy", ("None", "DeleteOldestNonDefaultVersionWhenLimitExceeded"), "None"
    )
    versions = dict(policy.versions)
    if len(versions) >= VERSIONS_PER_POLICY:
        if rotate == "None":
            raise over_limit("Policy.Version", VERSIONS_PER_POLICY)
        del versions[next(version for version in versions if version != policy.default)]
    number = policy.last_version + 1
    versions[f"v{number}"] = PolicyVersion(document, call.now)
    policy = msgspec.structs.replace(
        policy,
        versions=versions,
        last_version=number,
        updated=call.now,
        default=f"v{number}" if call.parameters.flag("SetAsDefault") else policy.default,
    )
    call.cloud.policies.put(policy.name, policy)
    return {"PolicyVersion": _describe_version(policy, f"v{number}")}


def list_policy_versions(call: Call) -> Answer:
    """List a custom policy's versions."""
    policy = find_policy(call.cloud, call.parameters)
    found = [_describe_version(policy, version) for version in policy.versions]
    return {"PolicyVersions": {"PolicyVersion": found}}


def delete_policy_version(call: Call) -> Answer:
    """Delete a version that is not the default one."""
    policy = find_policy(call.cloud, call.parameters)
    version = call.parameters.text("VersionId")
    if version not in policy.versions:
        raise absent("Policy.Version", "policy version", version)
    if version == policy.default:
        raise ApiError(
            409,
            "DeleteConflict.Policy.Version.Default",
            "The default version cannot be deleted.",
        )
    versions = {key: value for key, value in policy.versions.items() if key != version}
    call.cloud.policies.put(policy.name, msgspec.structs.replace(policy, versions=versions))
    return {}


def set_default_policy_version(call: Call) -> Answer:
    """Put another version in force."""
    policy = find_policy(call.cloud, call.parameters)
    version = call.parameters.text("VersionId")
    if version not in policy.versions:
        raise absent("Policy.Version", "policy version", version)
    call.cloud.policies.put(policy.name, msgspec.structs.replace(policy, default=version))
    return {}


def attachment_counts(cloud: Cloud) -> Counter[str]:
    """Count the attachments of every policy."""
    counts: Counter[str] = Counter()
    for table in (cloud.users, cloud.groups, cloud.roles):
        for entity in table.values():
            counts.update(entity.policies.keys())
    return counts


def describe_key(cloud: Cloud, key: str) -> Answer:
    """Render what all answers say of a policy, by its "Type/Name"."""
    kind, _, name = key.partition("/")
    if kind == "System":
        return _render(name, kind, "", "v1")
    policy = cloud.policies[name]
    return _render(name, kind, policy.description, policy.default)


def _render(name: str, kind: str, description: str, default: str) -> Answer:
    return {
        "PolicyName": name,
        "PolicyType": kind,
        "Description": description,
        "DefaultVersion": default,
    }


def _describe(cloud: Cloud, key: str) -> Answer:
    """Render a policy with its times."""
    kind, _, name = key.partition("/")
    created = updated = cloud.owner.created
    if kind == "Custom":
        created, updated = cloud.policies[name].created, cloud.policies[name].updated
    times = {"CreateDate": timestamp(created), "UpdateDate": timestamp(updated)}
    return {**describe_key(cloud, key), **times}


def _describe_version(policy: Policy, version: str) -> Answer:
    found = policy.versions[version]
    return {
        "VersionId": version,
        "PolicyDocument": found.document,
        "IsDefaultVersion": version == policy.default,
        "CreateDate": timestamp(found.created),
    }
