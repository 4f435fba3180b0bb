"""Symbolic links: objects that stand for another object of the same bucket."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import versions
from alibroker.sandbox.oss.archive import asked_class
from alibroker.sandbox.oss.attributes import asked_acl
from alibroker.sandbox.oss.documents import Object
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

KIND = "Symlink"
_HEADER = "x-oss-symlink-target"


def put_symlink(call: Call) -> Response:
    """Create a link; that its target exists is not checked."""
    target = unquote(call.request.headers.get(_HEADER, ""))
    if not target:
        raise ApiError(400, "InvalidArgument", f"{_HEADER} must name an object.")
    forbidden = call.request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
    if forbidden and f"{call.bucket}/{call.key}" in call.cloud.objects:
        raise ApiError(409, "FileAlreadyExists", "The object you specified already exists.")
    headers = call.request.headers.items()
    made = versions.store(
        call,
        Object(
            bucket=call.bucket,
            key=call.key,
            segments=(),
            size=0,
            etag=hashlib.md5(target.encode(), usedforsecurity=False).hexdigest().upper(),
            modified=call.now,
            kind=KIND,
            headers={name: value for name, value in headers if name.startswith("x-oss-meta-")},
            acl=asked_acl(call),
            storage_class=asked_class(call),
            target=target,
        ),
    )
    return Response(200, headers=[("etag", f'"{made.etag}"'), *_version(call, made)])


def get_symlink(call: Call) -> Response:
    """Tell a link's target."""
    found = versions.find(call, call.key, call.argument("versionId"))
    if found.kind != KIND:
        raise ApiError(400, "NotSymlink", "The object is not a symbolic link.")
    headers = [("etag", f'"{found.etag}"'), (_HEADER, quote(found.target))]
    return Response(200, headers=[*headers, *found.headers.items(), *_version(call, found)])


def follow(call: Call, found: Object) -> Object:
    """Return what a link stands for, with the link's own headers; other objects as they are.

    Raises:
        ApiError: SymlinkTargetNotExist, InvalidTargetType.
    """
    if found.kind != KIND:
        return found
    target = call.cloud.objects.get(f"{found.bucket}/{found.target}")
    if target is None:
        raise ApiError(404, "SymlinkTargetNotExist", "The target of the link does not exist.")
    if target.kind == KIND:
        raise ApiError(400, "InvalidTargetType", "The target of the link is a link itself.")
    return msgspec.structs.replace(
        target,
        kind=KIND,
        headers=found.headers,
        version=found.version,
        modified=max(found.modified, target.modified),
    )


def _version(call: Call, found: Object) -> list[tuple[str, str]]:
    return [("x-oss-version-id", found.version)] if call.find_bucket().versioning else []
