"""Objects made of other objects: copies and appended content."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import access, versions, xml
from alibroker.sandbox.oss.archive import asked_class, check_readable
from alibroker.sandbox.oss.attributes import asked_acl
from alibroker.sandbox.oss.call import Operation, document
from alibroker.sandbox.oss.documents import Object, Segment
from alibroker.sandbox.oss.files import crc64_of, share
from alibroker.sandbox.oss.objects import (
    asked_tags,
    check_key,
    check_overwrite,
    get_object,
    identity,
    kept_headers,
    received,
)
from alibroker.sandbox.oss.symlinks import follow
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

_READ = Operation("GetObject", get_object, "GetObject")
_SOURCE = re.compile(r"/?([^/]+)/([^?]+)(?:\?(.*))?")


def find_source(call: Call) -> Object:
    """Return the object that x-oss-copy-source names, if the caller may read it.

    Raises:
        ApiError: InvalidArgument, AccessDenied, NoSuchBucket, NoSuchKey and others.
    """
    named = _SOURCE.fullmatch(call.request.headers["x-oss-copy-source"])
    if named is None:
        raise ApiError(400, "InvalidArgument", "x-oss-copy-source must be /bucket/key.")
    bucket, key = unquote(named[1]), unquote(named[2])
    version = parse_qs(named[3] or "").get("versionId", [""])[0]
    arguments = {"versionId": version} if version else {}
    access.authorise(call.cloud, call.caller, _READ, bucket, key, call.now, arguments)
    there = replace(call, bucket=bucket)
    source = follow(there, versions.find(there, key, version))
    check_readable(call, source)
    return source


def copy_object(call: Call) -> Response:
    """Copy an object, with its headers and tags or with new ones."""
    call.find_bucket()
    check_key(call.key)
    check_overwrite(call)
    source = find_source(call)
    headers = call.request.headers
    anew = headers.get("x-oss-metadata-directive", "COPY").upper() == "REPLACE"
    retagged = headers.get("x-oss-tagging-directive", "Copy").upper() == "REPLACE"
    made = versions.store(
        call,
        msgspec.structs.replace(
            source,
            bucket=call.bucket,
            key=call.key,
            segments=share(call.cloud, source.segments),
            modified=call.now,
            content_type=(
                headers.get("content-type", "application/octet-stream")
                if anew
                else source.content_type
            ),
            kind="Normal",
            headers=kept_headers(call) if anew else source.headers,
            tags=asked_tags(call) if retagged else source.tags,
            acl=asked_acl(call),
            storage_class=asked_class(call),
            restored_at=0.0,
            restored_until=0.0,
        ),
    )
    answer = {"ETag": f'"{made.etag}"', "LastModified": xml.timestamp(made.modified)}
    result = document("CopyObjectResult", answer)
    more = identity(call, made)
    if call.cloud.buckets[source.bucket].versioning:
        more.append(("x-oss-copy-source-version-id", source.version))
    return Response(200, result.body, [*result.headers, *more])


def append_object(call: Call) -> Response:
    """Add content to the end of an object that was made this way."""
    call.find_bucket()
    content = received(call)
    check_key(call.key)
    position = call.argument("position")
    if not position.isdecimal():
        raise ApiError(400, "InvalidArgument", "position must be a number of bytes.")
    before = call.cloud.objects.get(f"{call.bucket}/{call.key}")
    size = before.size if before else 0
    if before is not None and before.kind != "Appendable":
        raise ApiError(409, "ObjectNotAppendable", "The object is not appendable.")
    if int(position) != size:
        raise ApiError(
            409,
            "PositionNotEqualToLength",
            "Position is not equal to file length.",
            headers=[("x-oss-next-append-position", str(size))],
        )
    added = (Segment(content.file, content.size),)
    crc = str(crc64_of(call.cloud, added, int(before.crc or 0) if before else 0))
    if before is None:
        made = versions.store(
            call,
            Object(
                bucket=call.bucket,
                key=call.key,
                segments=added,
                size=content.size,
                etag=_etag(crc),
                modified=call.now,
                content_type=call.request.headers.get("content-type", "application/octet-stream"),
                kind="Appendable",
                headers=kept_headers(call),
                crc=crc,
                storage_class=asked_class(call),
            ),
        )
    else:
        made = msgspec.structs.replace(
            before,
            segments=before.segments + added,
            size=size + content.size,
            etag=_etag(crc),
            modified=call.now,
            crc=crc,
        )
        versions.replace(call, made)
    headers = [("x-oss-next-append-position", str(made.size)), ("etag", f'"{made.etag}"')]
    return Response(200, headers=[*headers, *identity(call, made)])


def _etag(crc: str) -> str:
    # The cloud's is no MD5 of the content either.
    return hashlib.md5(crc.encode(), usedforsecurity=False).hexdigest().upper()
