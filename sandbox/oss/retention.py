"""Retention: for so many days nobody deletes what a bucket holds, its owner included."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import versions, xml
from alibroker.sandbox.oss.call import document
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

_DAY = 86_400
_LONGEST = 25_550


def initiate(call: Call) -> Response:
    """Set a retention policy, which is in force at once and can be taken back."""
    bucket = call.find_bucket()
    days = xml.parse(call.body).findtext("RetentionPeriodInDays") or ""
    if not days.isdecimal() or not 1 <= int(days) <= _LONGEST:
        raise ApiError(
            400, "InvalidArgument", f"RetentionPeriodInDays must be from 1 to {_LONGEST}."
        )
    if bucket.retention_days:
        raise ApiError(409, "WORMConfigurationAlreadyExists", "The bucket has a retention policy.")
    policy = secrets.token_hex(16).upper()
    _save(call, days=int(days), policy=policy)
    return Response(200, headers=[("x-oss-worm-id", policy)])


def describe(call: Call) -> Response:
    """Show the retention policy."""
    bucket = call.find_bucket()
    if not bucket.retention_days:
        raise _absent()
    return document(
        "WormConfiguration",
        {
            "WormId": bucket.retention_policy,
            "State": "InProgress",
            "RetentionPeriodInDays": bucket.retention_days,
            "CreationDate": xml.timestamp(call.now),
        },
    )


def abort(call: Call) -> Response:
    """Take the retention policy back."""
    if not call.find_bucket().retention_days:
        raise _absent()
    _save(call, days=0, policy="")
    return Response(204)


def protects(call: Call, key: str, version: str) -> bool:
    """Tell whether a deletion would remove something for good that is to be retained."""
    bucket = call.find_bucket()
    if not bucket.retention_days or (bucket.versioning and not version):
        return False
    try:
        found = versions.find(call, key, version)
    except ApiError:
        return False
    scale = call.cloud.settings.time_scale
    return call.now < found.modified + bucket.retention_days * _DAY * scale


def _save(call: Call, *, days: int, policy: str) -> None:
    bucket = call.find_bucket()
    changed = msgspec.structs.replace(bucket, retention_days=days, retention_policy=policy)
    call.cloud.buckets.put(bucket.name, changed)


def _absent() -> ApiError:
    return ApiError(404, "NoSuchWORMConfiguration", "The bucket has no retention policy.")
