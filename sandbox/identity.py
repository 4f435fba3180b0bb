"""Who calls, and what they may do."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alibroker.sandbox import policy
from alibroker.sandbox.ram.system_policies import SYSTEM_POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.policy import Context, Statement


@dataclass(frozen=True)
class Credential:
    """What the cloud knows about an AccessKey id.

    Attributes:
        secret: The AccessKey secret.
        kind: Whose key it is.
        name: User name, or the role's for a session.
        active: Whether the key is enabled.
        oss_from: From when on OSS knows the key.
        token: Security token that must accompany a session's key.
        expires: When a session ends; 0 for lasting keys.
    """

    key_id: str
    secret: str
    kind: Literal["Account", "RAMUser", "AssumedRoleUser"]
    name: str
    active: bool = True
    oss_from: float = 0.0
    token: str = ""
    expires: float = 0.0

    def may_do_anything(self) -> bool:
        """Tell whether no policy limits the caller."""
        return self.kind == "Account"


def find_credential(cloud: Cloud, key_id: str) -> Credential | None:
    """Look an AccessKey id up: the owner's, a RAM user's or a session's."""
    owner = cloud.owner
    if key_id == owner.key_id:
        return Credential(key_id, cloud.vault.unseal(owner.sealed_secret), "Account", "")
    key = cloud.keys.get(key_id)
    if key is not None:
        return Credential(
            key_id,
            cloud.vault.unseal(key.sealed_secret),
            "RAMUser",
            key.user,
            active=key.active,
            oss_from=key.oss_from,
        )
    session = cloud.sessions.get(key_id)
    if session is not None:
        return Credential(
            key_id,
            cloud.vault.unseal(session.sealed_secret),
            "AssumedRoleUser",
            session.role,
            token=session.token,
            expires=session.expires,
        )
    return None


def arn(cloud: Cloud, caller: Credential) -> str:
    """Return the caller's name as policies and GetCallerIdentity write it."""
    account = cloud.owner.id
    if caller.kind == "Account":
        return f"acs:ram::{account}:root"
    if caller.kind == "RAMUser":
        return f"acs:ram::{account}:user/{caller.name}"
    session = cloud.sessions[caller.key_id]
    return f"acs:ram::{account}:assumed-role/{session.role}/{session.name}"


def principal_ids(cloud: Cloud, caller: Credential) -> set[str]:
    """Return the names by which a bucket policy may mean the caller."""
    if caller.kind == "RAMUser" and (user := cloud.users.get(caller.name)):
        return {user.id, "*"}
    if caller.kind == "AssumedRoleUser":
        return {arn(cloud, caller).replace("acs:ram", "arn:sts", 1), "*"}
    return {cloud.owner.id, "*"}


def decide(
    cloud: Cloud,
    caller: Credential,
    action: str,
    resource: str,
    context: Context,
    horizon: float = math.inf,
) -> bool | None:
    """Evaluate the caller's policies: True allows, False denies, None is silent.

    Attachments made after the time `horizon` do not count yet.
    """
    if caller.may_do_anything():
        return True
    verdict = policy.decide(tuple(_statements(cloud, caller, horizon)), action, resource, context)
    if verdict and caller.kind == "AssumedRoleUser":
        inline = cloud.sessions[caller.key_id].policy
        if inline:
            return bool(policy.decide(policy.parse(inline), action, resource, context))
    return verdict


def is_expired(credential: Credential, now: float | None = None) -> bool:
    """Tell whether a session's time is over."""
    return bool(credential.expires) and (now or time.time()) >= credential.expires


def _statements(cloud: Cloud, caller: Credential, horizon: float) -> Iterator[Statement]:
    for attachments in _attachments(cloud, caller):
        for name, since in attachments.items():
            document = policy_document(cloud, name)
            if since <= horizon and document is not None:
                yield from policy.parse(document)


def _attachments(cloud: Cloud, caller: Credential) -> Iterator[Mapping[str, float]]:
    if caller.kind == "AssumedRoleUser":
        if role := cloud.roles.get(caller.name):
            yield role.policies
    elif user := cloud.users.get(caller.name):
        yield user.policies
        for name in user.groups:
            if group := cloud.groups.get(name):
                yield group.policies


def policy_document(cloud: Cloud, name: str) -> str | None:
    """Return the document in force of "Custom/name" or "System/name"."""
    kind, _, short = name.partition("/")
    if kind == "System":
        return SYSTEM_POLICIES.get(short)
    found = cloud.policies.get(short)
    return found.document if found else None
