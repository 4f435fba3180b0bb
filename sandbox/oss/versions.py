"""The versions of objects: which is current, what becomes of the others.

The current object of each key is in one table; all else, delete markers too, is in the history.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss.documents import Object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alibroker.sandbox.oss.call import Call

NULL = "null"
_LATEST = 2**63


@dataclass(frozen=True)
class Removed:
    """What a deletion did: to which version, and whether that is a delete marker."""

    version: str = ""
    marker: bool = False

    def headers(self) -> list[tuple[str, str]]:
        """Return what the answer says about versions."""
        found = [("x-oss-version-id", self.version)] if self.version else []
        return [*found, ("x-oss-delete-marker", "true")] if self.marker else found


def find(call: Call, key: str, version: str = "") -> Object:
    """Return a version of an object, the current one if none is named.

    Raises:
        ApiError: NoSuchKey, NoSuchVersion, MethodNotAllowed for a delete marker.
    """
    call.find_bucket()
    current = call.cloud.objects.get(f"{call.bucket}/{key}")
    if not version:
        if current is None:
            marked = next(_history(call, key), None) is not None
            raise ApiError(
                404,
                "NoSuchKey",
                "The specified key does not exist.",
                ec="0026-00000001",
                details={"Key": key},
                headers=[("x-oss-delete-marker", "true")] if marked else [],
            )
        return current
    found = current if current and current.version == version else _old(call, key, version)
    if found is None:
        raise ApiError(404, "NoSuchVersion", "The specified version does not exist.")
    if found.marker:
        raise ApiError(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against a delete marker.",
            headers=[("x-oss-delete-marker", "true"), ("x-oss-version-id", version)],
        )
    return found


def store(call: Call, made: Object) -> Object:
    """Make an object the current one of its key; return it with its version."""
    versioning = call.find_bucket().versioning
    path = f"{made.bucket}/{made.key}"
    _retire(call, made.key, versioning)
    kept = msgspec.structs.replace(made, version=_version(versioning), rank=_rank())
    call.cloud.objects.put(path, kept)
    return kept


def replace(call: Call, changed: Object) -> None:
    """Put a changed object where its version was."""
    path = f"{changed.bucket}/{changed.key}"
    current = call.cloud.objects.get(path)
    if current is not None and current.version == changed.version:
        call.cloud.objects.put(path, changed)
    else:
        call.cloud.history.put(_place(changed), changed)


def remove(call: Call, key: str, version: str = "") -> Removed:
    """Delete a version for good; without one, hide the key behind a delete marker if it has to."""
    if version:
        return _remove_version(call, key, version)
    versioning = call.find_bucket().versioning
    _retire(call, key, versioning)
    call.cloud.objects.remove(f"{call.bucket}/{key}")
    if not versioning:
        return Removed()
    marker = Object(
        bucket=call.bucket,
        key=key,
        segments=(),
        size=0,
        etag="",
        modified=call.now,
        version=_version(versioning),
        rank=_rank(),
        marker=True,
    )
    call.cloud.history.put(_place(marker), marker)
    return Removed(marker.version, marker=True)


def _remove_version(call: Call, key: str, version: str) -> Removed:
    path = f"{call.bucket}/{key}"
    current = call.cloud.objects.get(path)
    if current is not None and current.version == version:
        call.cloud.objects.remove(path)
        _discard(call, current)
        found: Object | None = current
    else:
        found = _old(call, key, version)
        if found is not None:
            call.cloud.history.remove(_place(found))
            _discard(call, found)
    if path not in call.cloud.objects:
        newest = next(_history(call, key), None)
        if newest is not None and not newest.marker:
            call.cloud.history.remove(_place(newest))
            call.cloud.objects.put(path, newest)
    return Removed(version, marker=found is not None and found.marker)


def _retire(call: Call, key: str, versioning: str) -> None:
    """Make room for something newer: keep the current object as an old version, or drop it."""
    current = call.cloud.objects.get(f"{call.bucket}/{key}")
    if versioning == "Suspended":
        old = _old(call, key, NULL)
        if old is not None:
            call.cloud.history.remove(_place(old))
            _discard(call, old)
    if current is None:
        return
    if versioning == "Enabled" or (versioning == "Suspended" and current.version != NULL):
        call.cloud.history.put(_place(current), current)
    else:
        _discard(call, current)


def _history(call: Call, key: str) -> Iterator[Object]:
    return call.cloud.history.within(f"{call.bucket}/{key}\0")


def _old(call: Call, key: str, version: str) -> Object | None:
    return next((one for one in _history(call, key) if one.version == version), None)


def _discard(call: Call, gone: Object) -> None:
    call.discarded.extend(segment.file for segment in gone.segments)


def _place(version: Object) -> str:
    return f"{version.bucket}/{version.key}\0{version.rank or f'{_LATEST:019d}'}"


def _version(versioning: str) -> str:
    return f"CAEQ{secrets.token_hex(24)}" if versioning == "Enabled" else NULL


def _rank() -> str:
    return f"{_LATEST - time.time_ns():019d}"
