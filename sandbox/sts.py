"""STS 2015-04-01: short-lived credentials of roles."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from alibroker.sandbox import identity, policy
from alibroker.sandbox.cloud import new_secret, timestamp
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.ram.documents import Role, Session
from alibroker.sandbox.rpc import Action, Product

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.parameters import Parameters
    from alibroker.sandbox.rpc import Answer, Call

_SESSION_NAME = re.compile(r"[A-Za-z0-9.@_-]{2,64}")
_INLINE_POLICY_LIMIT = 2048
_MIN_SECONDS = 900


def assume_role(call: Call) -> Answer:
    """Issue credentials for a role to a caller that may assume it."""
    if call.caller is not None and call.caller.kind == "Account":
        raise ApiError(403, "NoPermission", "Roles may not be assumed by the account's root user.")
    return _answer(call, _role(call), _session_name(call.parameters))


def assume_role_with_oidc(call: Call) -> Answer:
    """Issue credentials for a role to the holder of an OIDC token; the call is not signed.

    The token's form, audience and expiry are checked; its signature cannot be, for want of the
    issuer's keys.
    """
    provider = call.parameters.text("OIDCProviderArn")
    if not provider.startswith(f"acs:ram::{call.cloud.owner.id}:oidc-provider/"):
        raise ApiError(404, "EntityNotExist.OIDCProvider", "The OIDC provider does not exist.")
    claims = _claims(call.parameters.text("OIDCToken"), call.now)
    answer = _answer(call, _role(call), _session_name(call.parameters))
    answer["OIDCTokenInfo"] = {
        "Subject": str(claims.get("sub", "")),
        "Issuer": str(claims.get("iss", "")),
        "ClientIds": "sts.aliyuncs.com",
        "ExpirationTime": timestamp(float(claims["exp"])),
        "IssuanceTime": timestamp(float(claims.get("iat", 0))),
        "VerificationInfo": "Success",
    }
    return answer


def get_caller_identity(call: Call) -> Answer:
    """Tell who signed the call."""
    caller = call.caller
    if caller is None:
        raise ApiError(403, "NoPermission", "The call is not signed.")
    account = call.cloud.owner.id
    answer = {
        "AccountId": account,
        "Arn": identity.arn(call.cloud, caller),
        "IdentityType": caller.kind,
        "PrincipalId": account,
    }
    if caller.kind == "Account":
        answer["UserId"] = account
    elif caller.kind == "RAMUser":
        answer["UserId"] = answer["PrincipalId"] = call.cloud.users[caller.name].id
    else:
        session = call.cloud.sessions[caller.key_id]
        role = call.cloud.roles.get(session.role)
        answer["RoleId"] = role.id if role else ""
        answer["PrincipalId"] = f"{answer['RoleId']}:{session.name}"
    return answer


def issue(
    cloud: Cloud, role: Role, name: str, now: float, seconds: float, inline: str = ""
) -> tuple[Session, str]:
    """Create a session within the current transaction; return it with its secret."""
    for key in [key for key, found in cloud.sessions.items() if found.expires + 3600 < now]:
        cloud.sessions.remove(key)
    secret = new_secret()
    session = Session(
        key_id=f"STS.N{secrets.token_hex(12)}",
        sealed_secret=cloud.vault.seal(secret),
        token=f"CAIS{secrets.token_urlsafe(300)}",
        role=role.name,
        name=name,
        expires=now + seconds,
        policy=inline,
    )
    cloud.sessions.put(session.key_id, session)
    return session, secret


def _answer(call: Call, role: Role, name: str) -> Answer:
    seconds = call.parameters.integer(
        "DurationSeconds",
        3600,
        _MIN_SECONDS,
        role.max_session_seconds,
        "InvalidParameter.DurationSeconds",
    )
    inline = call.parameters.get("Policy")
    if inline:
        if len(inline) > _INLINE_POLICY_LIMIT:
            raise ApiError(
                400,
                "InvalidParameter.PolicySize",
                f"Policy must have at most {_INLINE_POLICY_LIMIT} characters.",
            )
        try:
            policy.parse(inline)
        except policy.PolicyError as error:
            raise ApiError(400, "InvalidParameter.PolicyGrammar", str(error)) from None
    session, secret = issue(call.cloud, role, name, call.now, seconds, inline)
    return {
        "Credentials": {
            "AccessKeyId": session.key_id,
            "AccessKeySecret": secret,
            "SecurityToken": session.token,
            "Expiration": timestamp(session.expires),
        },
        "AssumedRoleUser": {
            "Arn": f"acs:ram::{call.cloud.owner.id}:role/{role.name.lower()}/{name}",
            "AssumedRoleId": f"{role.id}:{name}",
        },
    }


def _role(call: Call) -> Role:
    arn = call.parameters.text("RoleArn")
    prefix = f"acs:ram::{call.cloud.owner.id}:role/"
    name = arn.removeprefix(prefix).lower()
    if arn.startswith(prefix):
        for role in call.cloud.roles.values():
            if role.name.lower() == name:
                return role
    raise ApiError(404, "EntityNotExist.Role", "The role does not exist.")


def _session_name(parameters: Parameters) -> str:
    name = parameters.text("RoleSessionName")
    if not _SESSION_NAME.fullmatch(name):
        raise ApiError(
            400,
            "InvalidParameter.RoleSessionName",
            "RoleSessionName must have 2 to 64 letters, digits and characters of .@-_.",
        )
    return name


def _claims(token: str, now: float) -> dict[str, Any]:
    parts = token.split(".")
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=dict[str, Any])
        expires = float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        raise ApiError(
            400, "AuthenticationFail.OIDCToken.Invalid", "The OIDC token is not a JWT."
        ) from None
    audience = claims.get("aud")
    if "sts.aliyuncs.com" not in (audience if isinstance(audience, list) else [audience]):
        raise ApiError(
            400, "AuthenticationFail.OIDCToken.InvalidAudience", "The audience does not match."
        )
    if expires <= now:
        raise ApiError(400, "AuthenticationFail.OIDCToken.Expired", "The OIDC token is expired.")
    return claims


def _resource(cloud: Cloud, parameters: Parameters) -> str:
    return parameters.get("RoleArn", f"acs:ram::{cloud.owner.id}:role/*")


STS = Product(
    name="sts",
    host="sts.aliyuncs.com",
    refusal="NoPermission",
    actions={
        "AssumeRole": Action(assume_role, _resource),
        "AssumeRoleWithOIDC": Action(assume_role_with_oidc, _resource, signed=False),
        "GetCallerIdentity": Action(get_caller_identity, _resource),
    },
)
