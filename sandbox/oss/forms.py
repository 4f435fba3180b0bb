"""Uploads from web forms (PostObject): what is allowed is signed as a policy in the form."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import access, authentication
from alibroker.sandbox.oss.call import Call, Content, Operation, document
from alibroker.sandbox.oss.files import crc64
from alibroker.sandbox.oss.objects import put_object
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alibroker.sandbox.identity import Credential

FORM_LIMIT: Final = 100 * 1024 * 1024
"""Bytes of a whole form; the cloud takes 5 GB."""
_BOUNDARY: Final = re.compile(r'multipart/form-data;.*boundary="?([^";]+)"?', re.IGNORECASE)
_NAME: Final = re.compile(r'\bname="([^"]*)"')
_FILE_NAME: Final = re.compile(r'\bfilename="([^"]*)"')
# Fields that are not stored with the object.
_FREE: Final = frozenset(
    [
        "file",
        "policy",
        "ossaccesskeyid",
        "signature",
        "x-oss-signature",
        "x-oss-signature-version",
        "x-oss-credential",
        "x-oss-date",
        "x-oss-security-token",
        "submit",
        "success_action_status",
        "success_action_redirect",
    ]
)
_STATUSES: Final = (200, 201, 204)


@dataclass(frozen=True)
class _Form:
    """The fields by lower-case name, and the file, which has to come last."""

    fields: dict[str, str]
    file: bytes


def post_object(call: Call) -> Response:
    """Create or replace an object from a form; without a policy if anybody may write."""
    call.find_bucket()
    form = _parse(call)
    caller = authentication.authenticate_form(call.cloud, form.fields, call.now)
    key = form.fields.get("key", "")
    if not key:
        raise _invalid("The form has no field key.")
    if caller is not None:
        _check_policy(call, form)
    access.authorise(call.cloud, caller, _PUT, call.bucket, key, call.now)
    made = _store(call, form, key, caller)
    redirect = form.fields.get("success_action_redirect")
    etag = dict(made.headers)["etag"]
    if redirect:
        return Response(303, headers=[*made.headers, ("location", redirect)])
    text = form.fields.get("success_action_status", "204")
    status = int(text) if text.isdecimal() and int(text) in _STATUSES else 204
    if status == 201:  # noqa: PLR2004 - Created
        answer = {"Bucket": call.bucket, "Location": key, "Key": key, "ETag": etag}
        result = document("PostResponse", answer, status)
        return replace(result, headers=[*result.headers, *made.headers])
    return Response(status, headers=made.headers)


_PUT = Operation("PutObject", put_object, "PutObject")


def _store(call: Call, form: _Form, key: str, caller: Credential | None) -> Response:
    name = secrets.token_hex(16)
    digest = hashlib.md5(form.file, usedforsecurity=False).hexdigest().upper()
    content = Content(name, len(form.file), digest, crc64(form.file))
    path = call.cloud.files / name
    path.write_bytes(form.file)
    headers = {name: value for name, value in form.fields.items() if name not in _FREE}
    headers.setdefault("content-type", "application/octet-stream")
    request = replace(call.request, headers=headers)
    try:
        return put_object(replace(call, key=key, caller=caller, content=content, request=request))
    except BaseException:
        path.unlink()
        raise


def _parse(call: Call) -> _Form:
    found = _BOUNDARY.fullmatch(call.request.headers.get("content-type", ""))
    if found is None:
        raise _invalid("A form has the Content-Type multipart/form-data with a boundary.")
    first, *parts = (b"\r\n" + call.body).split(b"\r\n--" + found[1].encode())
    del first
    fields: dict[str, str] = {}
    for part in parts:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head.decode(errors="replace"))
        if not separator or name is None:
            break
        if name[1].lower() == "file":
            file_name = _FILE_NAME.search(head.decode(errors="replace"))
            if "key" in fields and file_name:
                fields["key"] = fields["key"].replace("${filename}", file_name[1])
            return _Form(fields, content)
        fields[name[1].lower()] = content.decode(errors="replace")
    raise _invalid("The form has no field file, which has to be the last.")


def _check_policy(call: Call, form: _Form) -> None:
    """Check what the signer allows.

    Raises:
        ApiError: InvalidPolicyDocument, or AccessDenied if a condition does not hold.
    """
    try:
        policy = json.loads(base64.b64decode(form.fields["policy"], validate=True))
        until = datetime.fromisoformat(policy["expiration"])
        conditions = list(policy["conditions"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise ApiError(400, "InvalidPolicyDocument", "The policy is not valid.") from None
    if call.now >= until.astimezone(UTC).timestamp():
        raise _denied("Policy expired.")
    values = {**form.fields, "bucket": call.bucket}
    for condition in conditions:
        if not _holds(condition, values, len(form.file)):
            raise _denied(f"Policy Condition failed: {json.dumps(condition)}")


def _holds(condition: Any, values: Mapping[str, str], size: int) -> bool:
    match condition:
        case dict():
            return all(values.get(name.lower()) == value for name, value in condition.items())
        case ["content-length-range", int(low), int(high)]:
            return low <= size <= high
        case [str(operator), str(name), wanted]:
            value = values.get(name.removeprefix("$").lower(), "")
            match operator.lower():
                case "eq":
                    return bool(value == wanted)
                case "starts-with":
                    return value.startswith(str(wanted))
                case "in":
                    return value in wanted
                case "not-in":
                    return value not in wanted
    raise ApiError(400, "InvalidPolicyDocument", "The policy has an unknown condition.")


def _invalid(why: str) -> ApiError:
    return ApiError(400, "InvalidArgument", why)


def _denied(why: str) -> ApiError:
    return ApiError(403, "AccessDenied", f"Invalid according to Policy: {why}")
