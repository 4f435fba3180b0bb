"""RAM users and their AccessKeys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import digits, new_key_id, new_secret, timestamp
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.ram.documents import AccessKey, User
from alibroker.sandbox.ram.lookup import (
    absent,
    conflict,
    exists,
    find_user,
    limited,
    name_of,
    over_limit,
    page,
)

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call

KEYS_PER_USER = 2
# How long OSS takes to learn of new keys and attachments, in real seconds before scaling.
PROPAGATION_SECONDS = 3.0


def create_user(call: Call) -> Answer:
    """Create a user."""
    name = name_of(call.parameters, "UserName")
    display_name = limited(call.parameters, "DisplayName", 128)
    comments = limited(call.parameters, "Comments", 128)
    if name in call.cloud.users:
        raise exists("User", "user", name)
    quota = call.cloud.settings.user_quota
    if len(call.cloud.users) >= quota:
        raise over_limit("User", quota)
    user = User(
        name=name,
        id=digits(18),
        created=call.now,
        updated=call.now,
        display_name=display_name or name,
        comments=comments,
        email=call.parameters.get("Email"),
        mobile_phone=call.parameters.get("MobilePhone"),
    )
    call.cloud.users.put(name, user)
    return {"User": _describe_new(user)}


def get_user(call: Call) -> Answer:
    """Describe a user."""
    user = find_user(call.cloud, call.parameters)
    return {"User": {**describe(user), "LastLoginDate": ""}}


def update_user(call: Call) -> Answer:
    """Rename or describe a user anew."""
    user = find_user(call.cloud, call.parameters)
    parameters = call.parameters
    name = user.name
    if "NewUserName" in parameters:
        name = name_of(parameters, "NewUserName", rule="UserName")
        if name != user.name and name in call.cloud.users:
            raise exists("User", "user", name)
    renamed = msgspec.structs.replace(
        user,
        name=name,
        updated=call.now,
        display_name=limited(parameters, "NewDisplayName", 128) or user.display_name,
        comments=limited(parameters, "NewComments", 128) or user.comments,
        email=parameters.get("NewEmail", user.email),
        mobile_phone=parameters.get("NewMobilePhone", user.mobile_phone),
    )
    if name != user.name:
        call.cloud.users.remove(user.name)
        for key_id in user.keys:
            key = call.cloud.keys[key_id]
            call.cloud.keys.put(key_id, msgspec.structs.replace(key, user=name))
    call.cloud.users.put(name, renamed)
    return {"User": describe(renamed)}


def delete_user(call: Call) -> Answer:
    """Delete a user that has nothing left: no policies, groups and keys."""
    user = find_user(call.cloud, call.parameters)
    if user.policies:
        raise conflict("User.Policy", "the user's policies (detach them)")
    if user.groups:
        raise conflict("User.Group", "the user's group memberships")
    if user.keys:
        raise conflict("User.AccessKey", "the user's AccessKeys")
    if user.login_since:
        raise conflict("User.LoginProfile", "the user's login profile")
    if user.mfa_device:
        raise conflict("User.MFADevice", "the binding of the user's MFA device")
    call.cloud.users.remove(user.name)
    return {}


def list_users(call: Call) -> Answer:
    """List the users."""
    users, paging = page(call.parameters, list(call.cloud.users.values()))
    return {"Users": {"User": [describe(user) for user in users]}, **paging}


def create_access_key(call: Call) -> Answer:
    """Create an AccessKey; its secret is shown in this answer and never again."""
    user = find_user(call.cloud, call.parameters)
    if len(user.keys) >= KEYS_PER_USER:
        raise over_limit("User.AccessKey", KEYS_PER_USER)
    secret = new_secret()
    key = AccessKey(
        id=new_key_id(),
        user=user.name,
        sealed_secret=call.cloud.vault.seal(secret),
        created=call.now,
        oss_from=call.cloud.later(call.now, PROPAGATION_SECONDS),
    )
    call.cloud.keys.put(key.id, key)
    call.cloud.users.put(user.name, msgspec.structs.replace(user, keys=(*user.keys, key.id)))
    return {"AccessKey": {**_describe_key(key), "AccessKeySecret": secret}}


def list_access_keys(call: Call) -> Answer:
    """List a user's AccessKeys, without secrets."""
    user = find_user(call.cloud, call.parameters)
    keys = [_describe_key(call.cloud.keys[key_id]) for key_id in user.keys]
    return {"AccessKeys": {"AccessKey": keys}}


def update_access_key(call: Call) -> Answer:
    """Enable or disable an AccessKey."""
    user, key = _find_key(call)
    del user
    status = call.parameters.text("Status")
    if status not in ("Active", "Inactive"):
        raise ApiError(400, "InvalidParameter.Status", "Status must be Active or Inactive.")
    call.cloud.keys.put(key.id, msgspec.structs.replace(key, active=status == "Active"))
    return {}


def delete_access_key(call: Call) -> Answer:
    """Delete an AccessKey, at once for every product."""
    user, key = _find_key(call)
    keys = tuple(other for other in user.keys if other != key.id)
    call.cloud.users.put(user.name, msgspec.structs.replace(user, keys=keys))
    call.cloud.keys.remove(key.id)
    return {}


def describe(user: User) -> Answer:
    """Render a user."""
    return {**_describe_new(user), "UpdateDate": timestamp(user.updated)}


def _describe_new(user: User) -> Answer:
    """Render a user as its creation is answered."""
    return {
        "UserId": user.id,
        "UserName": user.name,
        "DisplayName": user.display_name,
        "Comments": user.comments,
        "Email": user.email,
        "MobilePhone": user.mobile_phone,
        "CreateDate": timestamp(user.created),
    }


def _describe_key(key: AccessKey) -> Answer:
    return {
        "AccessKeyId": key.id,
        "Status": "Active" if key.active else "Inactive",
        "CreateDate": timestamp(key.created),
    }


def _find_key(call: Call) -> tuple[User, AccessKey]:
    user = find_user(call.cloud, call.parameters)
    key_id = call.parameters.text("UserAccessKeyId")
    if key_id not in user.keys:
        raise absent("User.AccessKey", "AccessKey", key_id)
    return user, call.cloud.keys[key_id]
