"""Names, limits and look-ups that RAM's actions share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from alibroker.sandbox import policy
from alibroker.sandbox.errors import ApiError, missing
from alibroker.sandbox.ram.system_policies import SYSTEM_POLICIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.parameters import Parameters
    from alibroker.sandbox.ram.documents import Group, Policy, Role, User

T = TypeVar("T")

POLICY_DOCUMENT_LIMIT = 6144
_NAMES = {
    "UserName": (64, re.compile(r"[A-Za-z0-9._-]+")),
    "GroupName": (64, re.compile(r"[A-Za-z0-9._-]+")),
    "RoleName": (64, re.compile(r"[A-Za-z0-9._-]+")),
    "PolicyName": (128, re.compile(r"[A-Za-z0-9-]+")),
}


def name_of(parameters: Parameters, parameter: str, *, rule: str = "") -> str:
    """Return a mandatory name that keeps its rules.

    Args:
        parameters: The call's parameters.
        parameter: Which one to read.
        rule: Whose rules to apply, when the parameter is called differently (NewUserName).

    Raises:
        ApiError: MissingParameter, or InvalidParameter.<name>.Length or .InvalidChars.
    """
    name = parameters.get(parameter)
    if not name:
        raise missing(parameter)
    limit, characters = _NAMES[rule or parameter]
    if len(name) > limit:
        raise ApiError(
            400,
            f"InvalidParameter.{parameter}.Length",
            f"The length of {parameter} must be from 1 to {limit} characters.",
        )
    if not characters.fullmatch(name):
        raise ApiError(
            400,
            f"InvalidParameter.{parameter}.InvalidChars",
            f"{parameter} may consist of {characters.pattern} only.",
        )
    return name


def limited(parameters: Parameters, parameter: str, limit: int) -> str:
    """Return an optional text of at most `limit` characters.

    Raises:
        ApiError: InvalidParameter.<name>.Length.
    """
    text = parameters.get(parameter)
    if len(text) > limit:
        raise ApiError(
            400,
            f"InvalidParameter.{parameter}.Length",
            f"The length of {parameter} must be at most {limit} characters.",
        )
    return text


def find_user(cloud: Cloud, parameters: Parameters) -> User:
    """Return the user that UserName names.

    Raises:
        ApiError: EntityNotExist.User.
    """
    name = name_of(parameters, "UserName")
    user = cloud.users.get(name)
    if user is None:
        raise absent("User", "user", name)
    return user


def find_group(cloud: Cloud, parameters: Parameters) -> Group:
    """Return the group that GroupName names.

    Raises:
        ApiError: EntityNotExist.Group.
    """
    name = name_of(parameters, "GroupName")
    group = cloud.groups.get(name)
    if group is None:
        raise absent("Group", "group", name)
    return group


def find_role(cloud: Cloud, name: str) -> Role:
    """Return a role.

    Raises:
        ApiError: EntityNotExist.Role.
    """
    role = cloud.roles.get(name)
    if role is None:
        raise absent("Role", "role", name)
    return role


def find_policy(cloud: Cloud, parameters: Parameters) -> Policy:
    """Return the custom policy that PolicyName names.

    Raises:
        ApiError: EntityNotExist.Policy.
    """
    name = name_of(parameters, "PolicyName")
    found = cloud.policies.get(name)
    if found is None:
        raise absent("Policy", "policy", name)
    return found


def policy_type(parameters: Parameters, default: str | None = None) -> str:
    """Return PolicyType.

    Raises:
        ApiError: MissingParameter, InvalidParameter.PolicyType.
    """
    kind = (
        parameters.text("PolicyType") if default is None else parameters.get("PolicyType", default)
    )
    if kind not in ("System", "Custom"):
        raise ApiError(400, "InvalidParameter.PolicyType", "PolicyType must be System or Custom.")
    return kind


def policy_key(cloud: Cloud, parameters: Parameters) -> str:
    """Return "Type/Name" of the policy that the call names.

    Raises:
        ApiError: EntityNotExist.Policy.
    """
    kind = policy_type(parameters)
    name = name_of(parameters, "PolicyName")
    if name not in (SYSTEM_POLICIES if kind == "System" else cloud.policies):
        raise absent("Policy", "policy", name)
    return f"{kind}/{name}"


def check_document(parameters: Parameters) -> str:
    """Return PolicyDocument if it can be parsed.

    Raises:
        ApiError: MissingParameter, InvalidParameter.PolicyDocument.Length, MalformedPolicyDocument.
    """
    document = parameters.text("PolicyDocument")
    if len(document) > POLICY_DOCUMENT_LIMIT:
        raise ApiError(
            400,
            "InvalidParameter.PolicyDocument.Length",
            f"The policy document is longer than {POLICY_DOCUMENT_LIMIT} characters.",
        )
    try:
        policy.parse(document)
    except policy.PolicyError as error:
        raise ApiError(400, "MalformedPolicyDocument", str(error)) from None
    return document


def absent(entity: str, word: str, name: str) -> ApiError:
    """Build EntityNotExist.<entity>."""
    return ApiError(404, f"EntityNotExist.{entity}", f"The {word} does not exist: {name}")


def exists(entity: str, word: str, name: str) -> ApiError:
    """Build EntityAlreadyExists.<entity>."""
    return ApiError(409, f"EntityAlreadyExists.{entity}", f"The {word} already exists: {name}")


def conflict(entity: str, what: str) -> ApiError:
    """Build DeleteConflict.<entity>."""
    return ApiError(409, f"DeleteConflict.{entity}", f"Delete {what} first.")


def over_limit(entity: str, limit: int) -> ApiError:
    """Build LimitExceeded.<entity>."""
    return ApiError(409, f"LimitExceeded.{entity}", f"The limit of {limit} is reached.")


def page(parameters: Parameters, items: Sequence[T]) -> tuple[Sequence[T], dict[str, object]]:
    """Cut a page out of a list by Marker and MaxItems.

    Raises:
        ApiError: InvalidParameter.Marker, InvalidParameter.MaxItems.
    """
    size = parameters.integer("MaxItems", 100, 1, 1000, "InvalidParameter.MaxItems")
    marker = parameters.get("Marker", "0")
    if not marker.isdecimal():
        raise ApiError(400, "InvalidParameter.Marker", "The marker is not one of ours.")
    start = int(marker)
    more = start + size < len(items)
    paging: dict[str, object] = {"IsTruncated": more}
    if more:
        paging["Marker"] = str(start + size)
    return items[start : start + size], paging
