"""The calls to RAM that the steps are made of: users, their keys, and the policies they share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.infrastructure import RAM

_PAGE: Final = 1000
_IN_USE: Final = "DeleteConflict.Policy."
_EDITED: Final = "DeleteConflict.Policy.Version"
_TOO_MANY_KEYS: Final = "LimitExceeded.User.AccessKey"


class User(msgspec.Struct, frozen=True):
    """A user as a list shows it; `created_at` is Unix time in seconds."""

    name: str
    comments: str
    created_at: float


class Policy(msgspec.Struct, frozen=True):
    """A custom policy as a list shows it; `created_at` is Unix time in seconds."""

    name: str
    tags: Mapping[str, str]
    created_at: float


class Attachment(msgspec.Struct, frozen=True):
    """What a policy is attached to; `kind` is RAM user, RAM group or RAM role."""

    kind: str
    name: str


class RamCalls:
    """RAM 2015-05-01. Every method raises `CloudError`."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def create_user(self, name: str, comments: str) -> bool:
        """Create a user; return False if it is there already."""
        return self._unless(Kind.EXISTS, "CreateUser", UserName=name, Comments=comments)

    def users(self) -> Iterator[User]:
        """Yield all users of the account (ListUsers)."""
        for answer in self._pages("ListUsers"):
            for one in _items(answer, "Users", "User"):
                yield User(one["UserName"], one.get("Comments") or "", _time(one))

    def create_policy(self, name: str, document: str, tags: Mapping[str, str]) -> bool:
        """Create a policy; return False if it is there already."""
        parameters = {"PolicyName": name, "PolicyDocument": document, **_tags(tags)}
        return self._unless(Kind.EXISTS, "CreatePolicy", **parameters)

    def attach(self, policy: str, user: str) -> None:
        """Attach a policy to a user, unless it is."""
        self._unless(
            Kind.EXISTS,
            "AttachPolicyToUser",
            PolicyType="Custom",
            PolicyName=policy,
            UserName=user,
        )

    def access_keys(self, user: str) -> list[str]:
        """Return the ids of a user's access keys, the oldest first; none if there is no user."""
        try:
            answer = self._call("ListAccessKeys", UserName=user)
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return []
            raise
        keys = sorted(_items(answer, "AccessKeys", "AccessKey"), key=_time)
        return [key["AccessKeyId"] for key in keys]

    def create_access_key(self, user: str) -> tuple[str, str] | None:
        """Create an access key and return its id and its secret, which is shown only here.

        Returns None if the user has two keys, the most that RAM allows, or is not known yet
        everywhere in RAM.
        """
        try:
            key = self._call("CreateAccessKey", UserName=user)["AccessKey"]
        except CloudError as error:
            if error.code == _TOO_MANY_KEYS or error.kind is Kind.NOT_FOUND:
                return None
            raise
        return key["AccessKeyId"], key["AccessKeySecret"]

    def delete_access_key(self, user: str, key_id: str) -> None:
        """Delete an access key, if it is there."""
        # AccessKeyId would be the signer's own.
        self._unless(Kind.NOT_FOUND, "DeleteAccessKey", UserAccessKeyId=key_id, UserName=user)

    def detach(self, policy: str, user: str, kind: str = "Custom") -> None:
        """Detach a policy, Custom or System, from a user, if it is attached."""
        self._unless(
            Kind.NOT_FOUND,
            "DetachPolicyFromUser",
            PolicyType=kind,
            PolicyName=policy,
            UserName=user,
        )

    def policies_of(self, user: str) -> list[tuple[str, str]]:
        """Return the names and types of the policies attached to a user (ListPoliciesForUser)."""
        listed = _items(self._call("ListPoliciesForUser", UserName=user), "Policies", "Policy")
        return [(one["PolicyName"], one["PolicyType"]) for one in listed]

    def groups_of(self, user: str) -> list[str]:
        """Return the names of the groups that a user is in (ListGroupsForUser)."""
        listed = _items(self._call("ListGroupsForUser", UserName=user), "Groups", "Group")
        return [one["GroupName"] for one in listed]

    def leave(self, group: str, user: str) -> None:
        """Take a user out of a group, if it is in it."""
        self._unless(Kind.NOT_FOUND, "RemoveUserFromGroup", GroupName=group, UserName=user)

    def delete_login_profile(self, user: str) -> None:
        """Take a user's password for the console away, if it has one."""
        self._unless(Kind.NOT_FOUND, "DeleteLoginProfile", UserName=user)

    def unbind_mfa_device(self, user: str) -> None:
        """Take a user's second factor away, if it has one."""
        self._unless(Kind.NOT_FOUND, "UnbindMFADevice", UserName=user)

    def delete_user(self, name: str) -> None:
        """Delete a user that nothing hangs on, if it is there."""
        self._unless(Kind.NOT_FOUND, "DeleteUser", UserName=name)

    def delete_policy(self, name: str) -> bool:
        """Delete a policy, if it is there; return False if something still uses it.

        RAM itself counts who does, so two that let go of it at once cannot both think that the
        other one still needs it.
        """
        more: dict[str, str] = {}
        while True:
            try:
                self._unless(Kind.NOT_FOUND, "DeletePolicy", PolicyName=name, **more)
            except CloudError as error:
                if error.code == _EDITED and not more:
                    # Somebody gave it more versions, which only go if that is said.
                    more = {"CascadingDelete": "true"}
                    continue
                if error.code.startswith(_IN_USE):
                    return False
                raise
            return True

    def attachments(self, policy: str) -> list[Attachment]:
        """Return what a policy is attached to; nothing if there is no policy."""
        try:
            answer = self._call("ListEntitiesForPolicy", PolicyName=policy, PolicyType="Custom")
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return []
            raise
        return [
            Attachment(f"RAM {what.lower()}", one[f"{what}Name"])
            for what in ("User", "Group", "Role")
            for one in _items(answer, f"{what}s", what)
        ]

    def users_of(self, policy: str) -> list[str]:
        """Return the names of what a policy is attached to; none if there is no policy."""
        return [one.name for one in self.attachments(policy)]

    def policies_with(self, tags: Mapping[str, str]) -> list[Policy]:
        """Return the policies with all these tags (ListPolicies)."""
        return [
            Policy(one["PolicyName"], _tags_of(one), _time(one))
            for answer in self._pages("ListPolicies", PolicyType="Custom", **_tags(tags))
            for one in _items(answer, "Policies", "Policy")
            if tags.items() <= _tags_of(one).items()
        ]

    def policy_document(self, name: str) -> str:
        """Return the text of a policy that is in force; empty if there is no policy (GetPolicy)."""
        try:
            answer = self._call("GetPolicy", PolicyName=name, PolicyType="Custom")
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return ""
            raise
        return str(answer["DefaultPolicyVersion"]["PolicyDocument"])

    def _pages(self, action: str, **parameters: str) -> Iterator[dict[str, Any]]:
        marker: dict[str, str] = {}
        while True:
            answer = self._call(action, MaxItems=str(_PAGE), **parameters, **marker)
            yield answer
            marker = {"Marker": str(answer.get("Marker") or "")}
            if not answer.get("IsTruncated") or not marker["Marker"]:
                return

    def _call(self, action: str, **parameters: str) -> dict[str, Any]:
        return self._cloud.ask(RAM, action, **parameters)

    def _unless(self, kind: Kind, action: str, **parameters: str) -> bool:
        try:
            self._call(action, **parameters)
        except CloudError as error:
            if error.kind is not kind:
                raise
            return False
        return True


def _items(answer: Mapping[str, Any], plural: str, singular: str) -> list[dict[str, Any]]:
    return (answer.get(plural) or {}).get(singular) or []


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the one parameter in which RAM takes tags: a list as JSON text, unlike RDS."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"Tag": json.dumps(listed, separators=(",", ":"))}


def _tags_of(policy: Mapping[str, Any]) -> dict[str, str]:
    return {one["TagKey"]: one["TagValue"] for one in _items(policy, "Tags", "Tag")}


def _time(item: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(item["CreateDate"]).timestamp()
