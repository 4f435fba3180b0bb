"""Who signed an OSS request: in a header or in the URL, with signature version 1 or 4."""

from __future__ import annotations

import calendar
import email.utils
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alibroker.sandbox import identity, signature
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss.regions import is_region

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.identity import Credential
    from alibroker.sandbox.wire import Request

SKEW_SECONDS = 15 * 60
PRESIGNED_SECONDS = 7 * 24 * 3600
_V1 = re.compile(r"OSS ([^:]+):(.+)")
_V4 = re.compile(
    r"OSS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8}/[^/,]+/oss/aliyun_v4_request), ?"
    r"(?:AdditionalHeaders=([a-z0-9;-]*), ?)?Signature=([0-9a-f]{64})"
    r"(?:, ?AdditionalHeaders=([a-z0-9;-]*))?"
)
_V4_IN_URL = re.compile(r"([^/,]+)/(\d{8}/[^/,]+/oss/aliyun_v4_request)")


@dataclass(frozen=True)
class _Claim:
    """What a request with signature version 4 says about its signer."""

    key_id: str
    scope: str
    stamp: str
    additional: tuple[str, ...]
    given: str
    token: str
    # Seconds for which a signed URL is good; None for a signed header.
    lifetime: int | None = None


def authenticate(cloud: Cloud, request: Request, now: float) -> Credential | None:
    """Return whose key signed the request; None when it is not signed.

    Raises:
        ApiError: InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed and others.
    """
    headers, arguments = request.headers, request.arguments
    header = headers.get("authorization")
    if header is None:
        if "x-oss-signature" in arguments:
            return _version_4(cloud, request, _claim_in_url(request), now)
        if "Signature" in arguments and "OSSAccessKeyId" in arguments:
            return _url_version_1(cloud, request, now)
        return None
    if found := _V4.fullmatch(header):
        key_id, scope, before, given, behind = found.groups()
        if headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
            raise ApiError(400, "InvalidArgument", "x-oss-content-sha256 must be UNSIGNED-PAYLOAD.")
        stamp, token = headers.get("x-oss-date", ""), headers.get("x-oss-security-token", "")
        additional = _names(before or behind or "")
        claim = _Claim(key_id, scope, stamp, additional, given, token)
        return _version_4(cloud, request, claim, now)
    if found := _V1.fullmatch(header):
        return _version_1(cloud, request, found, now)
    raise ApiError(400, "InvalidArgument", "Authorization header is invalid.", ec="0002-00000001")


def signed_region(request: Request) -> str:
    """Return the region that a signature of version 4 names; empty if there is none."""
    header = _V4.fullmatch(request.headers.get("authorization", ""))
    scope = header[2] if header else ""
    if found := _V4_IN_URL.fullmatch(request.arguments.get("x-oss-credential", "")):
        scope = scope or found[2]
    return scope.split("/")[1] if scope else ""


def authenticate_form(cloud: Cloud, fields: Mapping[str, str], now: float) -> Credential | None:
    """Return whose key signed the policy of a form (PostObject); None when it has no policy.

    Raises:
        ApiError: InvalidArgument, InvalidAccessKeyId, SignatureDoesNotMatch and others.
    """
    policy = fields.get("policy")
    if policy is None:
        return None
    if "x-oss-signature" in fields:
        found = _V4_IN_URL.fullmatch(fields.get("x-oss-credential", ""))
        if found is None or not is_region(cloud, found[2].split("/")[1]):
            raise ApiError(400, "InvalidArgument", "x-oss-credential is not valid.")
        credential = _credential(cloud, found[1], now)
        given = fields["x-oss-signature"]
        expected = signature.oss_v4_signature(credential.secret, found[2], policy)
    else:
        _check_version_1(cloud)
        credential = _credential(cloud, fields.get("ossaccesskeyid", ""), now)
        given = fields.get("signature", "")
        expected = signature.oss_v1_signature(credential.secret, policy)
    if not signature.matches(expected, given):
        raise _mismatch(credential.key_id, policy, given)
    _check_token(credential, fields.get("x-oss-security-token", ""), now)
    return credential


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(";") if name)


def _claim_in_url(request: Request) -> _Claim:
    arguments = request.arguments
    found = _V4_IN_URL.fullmatch(arguments.get("x-oss-credential", ""))
    lifetime = arguments.get("x-oss-expires", "")
    if found is None or not lifetime.isdecimal() or not 1 <= int(lifetime) <= PRESIGNED_SECONDS:
        raise ApiError(
            400, "AuthorizationQueryParametersError", "The signed URL is not complete or not valid."
        )
    return _Claim(
        found[1],
        found[2],
        arguments.get("x-oss-date", ""),
        _names(arguments.get("x-oss-additional-headers", "")),
        arguments["x-oss-signature"],
        arguments.get("x-oss-security-token", ""),
        int(lifetime),
    )


def _version_4(cloud: Cloud, request: Request, claim: _Claim, now: float) -> Credential:
    try:
        sent = calendar.timegm(time.strptime(claim.stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise ApiError(
            400, "InvalidArgument", "x-oss-date must have the form YYYYMMDDThhmmssZ."
        ) from None
    date, region, _, _ = claim.scope.split("/")
    if date != claim.stamp[:8] or not is_region(cloud, region):
        raise ApiError(
            400,
            "InvalidArgument",
            f"The credential's scope must be {claim.stamp[:8]}/REGION/oss/aliyun_v4_request.",
            ec="0002-00000225",
        )
    credential = _credential(cloud, claim.key_id, now)
    if claim.lifetime is None:
        _check_time(sent, now)
    elif now > sent + claim.lifetime:
        raise _expired()
    query = [pair for pair in request.query_pairs if pair[0] != "x-oss-signature"]
    text = signature.oss_v4_string_to_sign(
        request.method,
        request.path,
        query,
        request.headers,
        claim.scope,
        claim.additional,
        stamp=claim.stamp,
    )
    expected = signature.oss_v4_signature(credential.secret, claim.scope, text)
    if not signature.matches(expected, claim.given):
        raise _mismatch(claim.key_id, text, claim.given)
    _check_token(credential, claim.token, now)
    return credential


def _version_1(cloud: Cloud, request: Request, found: re.Match[str], now: float) -> Credential:
    _check_version_1(cloud)
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


def _url_version_1(cloud: Cloud, request: Request, now: float) -> Credential:
    _check_version_1(cloud)
    arguments = request.arguments
    expires, given = arguments.get("Expires", ""), arguments["Signature"]
    if not expires.isdecimal():
        raise ApiError(403, "AccessDenied", "Query-string authentication requires Expires.")
    credential = _credential(cloud, arguments["OSSAccessKeyId"], now)
    if now > int(expires):
        raise _expired()
    # The time at which it expires takes the place of the date.
    headers = {**request.headers, "date": expires}
    headers.pop("x-oss-date", None)
    text = signature.oss_v1_string_to_sign(
        request.method, request.path, request.query_pairs, headers
    )
    if not signature.matches(signature.oss_v1_signature(credential.secret, text), given):
        raise _mismatch(credential.key_id, text, given)
    _check_token(credential, arguments.get("security-token", ""), now)
    return credential


def _check_version_1(cloud: Cloud) -> None:
    if not cloud.settings.signature_v1:
        raise ApiError(
            403,
            "AccessDenied",
            "Signature version 1 is not available for this account; use version 4.",
            ec="0002-00000080",
        )


def _expired() -> ApiError:
    return ApiError(403, "AccessDenied", "Request has expired.", ec="0002-00000069")


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
