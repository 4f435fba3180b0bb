"""Storage classes: which objects can be read at once, and which have to be restored first."""

from __future__ import annotations

import email.utils
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import versions, xml
from alibroker.sandbox.oss.buckets import STORAGE_CLASSES
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call
    from alibroker.sandbox.oss.documents import Object

_DAY_SECONDS = 86_400.0
# Seconds that a restoration takes, by class and tier, before scaling.
_SECONDS = {
    "Archive": {"Standard": 60.0},
    "ColdArchive": {"Expedited": 3600.0, "Standard": 10_800.0, "Bulk": 28_800.0},
    "DeepColdArchive": {"Expedited": 43_200.0, "Standard": 172_800.0},
}
_MOST_DAYS = {"Archive": 7, "ColdArchive": 365, "DeepColdArchive": 365}


def asked_class(call: Call) -> str:
    """Return the class for a new object: that of x-oss-storage-class, or its bucket's.

    Raises:
        ApiError: InvalidArgument.
    """
    asked = call.request.headers.get("x-oss-storage-class", "")
    if asked and asked not in STORAGE_CLASSES:
        raise ApiError(400, "InvalidArgument", "no such storage class exists")
    return asked or call.find_bucket().storage_class


def check_readable(call: Call, found: Object) -> None:
    """Refuse what lies in an archive and is not restored.

    Raises:
        ApiError: InvalidObjectState.
    """
    if found.storage_class in _SECONDS and not found.restored_at <= call.now < found.restored_until:
        raise ApiError(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's state: restore it first.",
            ec="0016-00000401",
        )


def state(call: Call, found: Object) -> list[tuple[str, str]]:
    """Return the headers that tell an object's class, and whether it is restored."""
    headers = [("x-oss-storage-class", found.storage_class)]
    if call.now < found.restored_at:
        headers.append(("x-oss-restore", 'ongoing-request="true"'))
    elif call.now < found.restored_until:
        until = email.utils.formatdate(found.restored_until, usegmt=True)
        headers.append(("x-oss-restore", f'ongoing-request="false", expiry-date="{until}"'))
    return headers


def restore_object(call: Call) -> Response:
    """Begin to make an archived object readable for some days, or let it stay so longer."""
    found = versions.find(call, call.key, call.argument("versionId"))
    if found.storage_class not in _SECONDS:
        raise ApiError(
            400, "OperationNotSupported", "The operation is not supported for this resource."
        )
    days, tier = _asked(call, found.storage_class)
    if call.now < found.restored_at:
        raise ApiError(409, "RestoreAlreadyInProgress", "The restore operation is in progress.")
    restored = call.now < found.restored_until
    ready = call.now
    if not restored:
        ready = call.cloud.later(call.now, _SECONDS[found.storage_class][tier])
    # As long as other lifetimes, in real days: scaled, it might end before anybody reads.
    until = ready + days * _DAY_SECONDS
    changed = msgspec.structs.replace(found, restored_at=ready, restored_until=until)
    versions.replace(call, changed)
    return Response(200 if restored else 202)


def _asked(call: Call, storage_class: str) -> tuple[int, str]:
    if not call.body.strip():
        return 1, "Standard"
    root = xml.parse(call.body)
    days = root.findtext("Days") or "1"
    tier = root.findtext("JobParameters/Tier") or "Standard"
    most = _MOST_DAYS[storage_class]
    if root.tag != "RestoreRequest" or not days.isdecimal() or not 1 <= int(days) <= most:
        raise xml.malformed(f"RestoreRequest needs Days from 1 to {most}")
    if tier not in _SECONDS[storage_class]:
        raise xml.malformed(f"Tier is none of {', '.join(_SECONDS[storage_class])}")
    return int(days), tier
