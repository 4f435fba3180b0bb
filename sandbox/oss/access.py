"""Who signed an OSS request, and whether they may do what it asks."""

from __future__ import annotations

import calendar
import email.utils
import re
import time
from typing import TYPE_CHECKING

from alibroker.sandbox import identity, policy, signature
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.ram.users import PROPAGATION_SECONDS

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.identity import Credential
    from alibroker.sandbox.oss.call import Operation
    from alibroker.sandbox.wire import Request

SKEW_SECONDS = 15 * 60
_V1 = re.compile(r"OSS ([^:]+):(.+)")
_V4 = re.compile(
    r"OSS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8}/[^/,]+/oss/aliyun_v4_request), ?"
    r"(?:AdditionalHeaders=([a-z0-9;-]*), ?)?Signature=([0-9a-f]{64})"
    r"(?:, ?AdditionalHeaders=([a-z0-9;-]*))?"
)
_PUBLIC_READ = frozenset({"GetObject", "HeadObject", "GetObjectMeta"})
_PUBLIC_WRITE = frozenset({"PutObject", "DeleteObject"})


def authenticate(cloud: Cloud, request: Request, now: float) -> Credential | None:
    """Return whose key signed the request; None when it is not signed.

    Raises:
        ApiError: InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed and others.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    if found := _V4.fullmatch(header):
        return _version_4(cloud, request, found, now)
    if found := _V1.fullmatch(header):
        return _version_1(cloud, request, found, now)
    raise ApiError(400, "InvalidArgument", "Authorization header is invalid.", ec="0002-00000001")


def authorise(
    cloud: Cloud,
    caller: Credential | None,
    operation: Operation,
    bucket_name: str,
    key: str,
    now: float,
) -> None:
    """Check that the caller may do what the request asks.

    Raises:
        ApiError: AccessDenied.
    """
    bucket = cloud.buckets.get(bucket_name)
    foreign = bucket is not None and bucket.owner != cloud.owner.id
    if foreign and operation.name != "PutBucket":
        raise _denied("The bucket you access does not belong to you.", "0003-00000001")
    action = f"oss:{operation.action}"
    place = f"{bucket_name}/{key}" if key else bucket_name or "*"
    resource = f"acs:oss:oss-{cloud.region}:{cloud.owner.id}:{place}"
    context = {"acs:sourceip": "127.0.0.1", "acs:securetransport": "false"}
    if bucket is not None and not foreign and "policy" in bucket.configurations:
        names = {"*"} if caller is None else identity.principal_ids(cloud, caller)
        statements = policy.parse(bucket.configurations["policy"], with_principal=True)
        mine = tuple(one for one in statements if one.principals & names)
        by_bucket = policy.decide(mine, action, resource, context)
    else:
        by_bucket = None
    if by_bucket is False:
        raise _denied("You have no right to access this object because of bucket policy.")
    if caller is None:
        public = bucket is not None and not foreign and not bucket.block_public_access
        acl = bucket.acl if bucket else "private"
        if public and (
            by_bucket
            or (acl.startswith("public-read") and operation.name in _PUBLIC_READ)
            or (acl == "public-read-write" and operation.name in _PUBLIC_WRITE)
        ):
            return
        raise _denied("You have no right to access this object because of bucket acl.")
    horizon = now - PROPAGATION_SECONDS * cloud.settings.time_scale
    by_caller = identity.decide(cloud, caller, action, resource, context, horizon)
    if by_caller is False or not (by_caller or by_bucket):
        raise _denied("You do not have permission to perform this operation.")


def _version_4(
    cloud: Cloud, request: Request, found: re.Match[str], now: float
) -> Credential | None:
    key_id, scope, before, given, behind = found.groups()
    headers = request.headers
    stamp = headers.get("x-oss-date", "")
    try:
        sent = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise ApiError(
            400, "InvalidArgument", "x-oss-date must have the form YYYYMMDDThhmmssZ."
        ) from None
    date, region, _, _ = scope.split("/")
    if date != stamp[:8] or region != cloud.region:
        raise ApiError(
            400,
            "InvalidArgument",
            f"The credential's scope must be {stamp[:8]}/{cloud.region}/oss/aliyun_v4_request.",
            ec="0002-00000225",
        )
    if headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
        raise ApiError(400, "InvalidArgument", "x-oss-content-sha256 must be UNSIGNED-PAYLOAD.")
    credential = _credential(cloud, key_id, now)
    _check_time(sent, now)
    additional = [name for name in (before or behind or "").split(";") if name]
    text = signature.oss_v4_string_to_sign(
        request.method, request.path, request.query_pairs, headers, scope, additional
    )
    if not signature.matches(signature.oss_v4_signature(credential.secret, scope, text), given):
        raise _mismatch(key_id, text, given)
    _check_token(credential, headers.get("x-oss-security-token", ""), now)
    return credential


def _version_1(
    cloud: Cloud, request: Request, found: re.Match[str], now: float
) -> Credential | None:
    if not cloud.settings.signature_v1:
        raise ApiError(
            403,
            "AccessDenied",
            "Signature version 1 is not available for this account; use version 4.",
            ec="0002-00000080",
        )
    key_id, given = found.groups()
    headers = request.headers
    credential = _credential(cloud, key_id, now)
    sent = email.utils.parsedate_to_datetime(_date(headers))
    _check_time(sent.timestamp(), now)
    text = signature.oss_v1_string_to_sign(
        request.method, request.path, request.query_pairs, headers
    )
    if not signature.matches(signature.oss_v1_signature(credential.secret, text), given):
        raise _mismatch(key_id, text, given)
    _check_token(credential, headers.get("x-oss-security-token", ""), now)
    return credential


def _date(headers: dict[str, str]) -> str:
    date = headers.get("x-oss-date") or headers.get("date", "")
    if email.utils.parsedate_tz(date) is None:
        raise ApiError(
            403, "AccessDenied", "OSS authentication requires a valid Date.", ec="0002-00000504"
        )
    return date


def _credential(cloud: Cloud, key_id: str, now: float) -> Credential:
    credential = identity.find_credential(cloud, key_id)
    if credential is None or now < credential.oss_from or not credential.active:
        raise ApiError(
            403,
            "InvalidAccessKeyId",
            "The OSS Access Key Id you provided does not exist in our records.",
            ec="0002-00000902",
            details={"OSSAccessKeyId": key_id},
        )
    return credential


def _check_time(sent: float, now: float) -> None:
    if abs(now - sent) > SKEW_SECONDS:
        raise ApiError(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            ec="0002-00000504",
        )


def _check_token(credential: Credential, token: str, now: float) -> None:
    if token != credential.token:
        raise ApiError(
            403,
            "InvalidSecurityToken" if token else "InvalidAccessKeyId",
            "The security token you provided is invalid.",
            ec="0002-00000231",
        )
    if identity.is_expired(credential, now):
        raise ApiError(
            403,
            "SecurityTokenExpired",
            "The security token you provided has expired.",
            ec="0002-00000069",
        )


def _mismatch(key_id: str, text: str, given: str) -> ApiError:
    return ApiError(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        ec="0002-00000040",
        details={"OSSAccessKeyId": key_id, "SignatureProvided": given, "StringToSign": text},
    )


def _denied(message: str, ec: str = "0003-00000002") -> ApiError:
    return ApiError(403, "AccessDenied", message, ec=ec)
