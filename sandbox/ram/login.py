"""How users log on to the console: profiles with a password, and second factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.ram.lookup import absent, exists, find_user

if TYPE_CHECKING:
    from alibroker.sandbox.ram.documents import User
    from alibroker.sandbox.rpc import Answer, Call


def create_login_profile(call: Call) -> Answer:
    """Let a user log on; the password is not kept, for nobody can log on here."""
    user = find_user(call.cloud, call.parameters)
    call.parameters.text("Password")
    if user.login_since:
        raise exists("User.LoginProfile", "login profile of the user", user.name)
    changed = msgspec.structs.replace(
        user,
        login_since=call.now,
        login_resets_password=call.parameters.flag("PasswordResetRequired"),
        login_binds_mfa=call.parameters.flag("MFABindRequired"),
    )
    call.cloud.users.put(user.name, changed)
    return {"LoginProfile": _describe(changed)}


def get_login_profile(call: Call) -> Answer:
    """Show whether a user can log on."""
    return {"LoginProfile": _describe(_find(call))}


def delete_login_profile(call: Call) -> Answer:
    """Let a user log on no longer."""
    user = _find(call)
    call.cloud.users.put(user.name, msgspec.structs.replace(user, login_since=0.0))
    return {}


def bind_mfa_device(call: Call) -> Answer:
    """Give a user a second factor; its codes are not checked."""
    user = find_user(call.cloud, call.parameters)
    for name in ("AuthenticationCode1", "AuthenticationCode2"):
        call.parameters.text(name)
    device = call.parameters.text("SerialNumber")
    call.cloud.users.put(user.name, msgspec.structs.replace(user, mfa_device=device))
    return {}


def unbind_mfa_device(call: Call) -> Answer:
    """Take a user's second factor away."""
    user = find_user(call.cloud, call.parameters)
    if not user.mfa_device:
        raise absent("User.MFADevice", "MFA device of the user", user.name)
    call.cloud.users.put(user.name, msgspec.structs.replace(user, mfa_device=""))
    return {"MFADevice": {"SerialNumber": user.mfa_device}}


def _find(call: Call) -> User:
    user = find_user(call.cloud, call.parameters)
    if not user.login_since:
        raise absent("User.LoginProfile", "login profile of the user", user.name)
    return user


def _describe(user: User) -> Answer:
    return {
        "UserName": user.name,
        "CreateDate": timestamp(user.login_since),
        "PasswordResetRequired": user.login_resets_password,
        "MFABindRequired": user.login_binds_mfa,
    }
