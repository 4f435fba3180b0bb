"""Who sent an RPC call: RPC signature 1.0 in parameters, or ACS3-HMAC-SHA256 in headers.

Both are checked in the cloud's order: key, time, signature, nonce, token. The vendor describes them
on "Request structure" and "V3 request body & signature mechanism"; which of the two a client uses
shows in its header Authorization.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alibroker.sandbox import identity, signature
from alibroker.sandbox.errors import ApiError, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.nonces import Nonces
    from alibroker.sandbox.wire import Request

SKEW_SECONDS = 15 * 60
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ACS3 = re.compile(
    r"ACS3-HMAC-SHA256 Credential=(?P<key>[^,]+),\s*SignedHeaders=(?P<headers>[^,]+),"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class _Claim:
    """What a call says about its sender; `covers` is the text that the signature has to cover."""

    key_id: str
    stamp: str
    nonce: str
    token: str
    signature: str
    covers: str
    sign: Callable[[str, str], str]


def authenticate(cloud: Cloud, request: Request, nonces: Nonces, now: float) -> identity.Credential:
    """Return the credential that signed the call.

    Raises:
        ApiError: It is missing, unknown, disabled, out of time, wrong, or was used before.
    """
    headers = request.headers
    claim = _acs3(request) if headers.get("authorization", "").startswith("ACS3") else _v1(request)
    credential = identity.find_credential(cloud, claim.key_id)
    if credential is None:
        raise ApiError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if not credential.active:
        raise ApiError(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
    _check_time(claim.stamp, now)
    if not signature.matches(claim.sign(credential.secret, claim.covers), claim.signature):
        raise ApiError(
            400,
            "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation. "
            f"server string to sign is:{claim.covers}",
        )
    if not nonces.use(f"{credential.key_id}:{claim.nonce}", now):
        raise ApiError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
    _check_token(credential, claim.token, now)
    return credential


def _v1(request: Request) -> _Claim:
    pairs = request.parameters
    values = dict(pairs)
    for mandatory in ("AccessKeyId", "Signature", "SignatureNonce", "Timestamp"):
        if not values.get(mandatory):
            raise missing(mandatory)
    if values.get("SignatureMethod") != "HMAC-SHA1" or values.get("SignatureVersion") != "1.0":
        raise _incomplete("SignatureMethod must be HMAC-SHA1 and SignatureVersion 1.0.")
    return _Claim(
        key_id=values["AccessKeyId"],
        stamp=values["Timestamp"],
        nonce=values["SignatureNonce"],
        token=values.get("SecurityToken", ""),
        signature=values["Signature"],
        covers=signature.rpc_string_to_sign(request.method, pairs),
        sign=signature.rpc_signature,
    )


def _acs3(request: Request) -> _Claim:
    headers = request.headers
    found = _ACS3.fullmatch(headers["authorization"])
    if found is None:
        raise _incomplete(
            "Authorization must be ACS3-HMAC-SHA256 Credential=...,SignedHeaders=...,Signature=..."
        )
    for mandatory in ("x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"):
        if not headers.get(mandatory):
            raise missing(mandatory)
    signed = found["headers"].split(";")
    unsigned = {name for name in headers if name == "host" or name.startswith("x-acs-")}
    unsigned -= set(signed)
    if unsigned or not headers.keys() >= set(signed):
        raise _incomplete("SignedHeaders must name host and all x-acs-*, and only what is sent.")
    return _Claim(
        key_id=found["key"],
        stamp=headers["x-acs-date"],
        nonce=headers["x-acs-signature-nonce"],
        token=headers.get("x-acs-security-token", ""),
        signature=found["signature"],
        covers=signature.acs3_string_to_sign(
            request.method,
            request.path,
            request.query_pairs,
            headers,
            signed,
            # The body's own, so that a body that was changed on the way shows.
            hashlib.sha256(request.body).hexdigest(),
        ),
        sign=signature.acs3_signature,
    )


def _incomplete(why: str) -> ApiError:
    text = f"The request signature does not conform to Aliyun standards: {why}"
    return ApiError(400, "IncompleteSignature", text)


def _check_token(credential: identity.Credential, token: str, now: float) -> None:
    """Check a session's security token.

    Raises:
        ApiError: InvalidSecurityToken.*.
    """
    if not credential.token and not token:
        return
    if not token or not credential.token:
        raise ApiError(
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
            "Specified SecurityToken mismatch with the AccessKey.",
        )
    if token != credential.token:
        raise ApiError(
            400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."
        )
    if identity.is_expired(credential, now):
        raise ApiError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def _check_time(text: str, now: float) -> None:
    if not _TIMESTAMP.fullmatch(text):
        raise ApiError(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        )
    try:
        sent = calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise ApiError(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        ) from None
    if abs(now - sent) > SKEW_SECONDS:
        raise ApiError(
            400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."
        )
