"""Objects: their contents are files, written before the document that names them."""

from __future__ import annotations

import base64
import binascii
import email.utils
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import access, xml
from alibroker.sandbox.oss.call import Operation, document
from alibroker.sandbox.oss.documents import Object, Segment
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from pathlib import Path

    from alibroker.sandbox.oss.call import Call, Content

DELETE_LIMIT = 1000
_KEY_LIMIT = 1023
_KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def put_object(call: Call) -> Response:
    """Create or replace an object."""
    call.find_bucket()
    content = received(call)
    check_key(call.key)
    if "x-oss-copy-source" in call.request.headers:
        raise ApiError(501, "NotImplemented", "The sandbox does not copy objects.")
    path = f"{call.bucket}/{call.key}"
    before = call.cloud.objects.get(path)
    if before is not None:
        if call.request.headers.get("x-oss-forbid-overwrite", "").lower() == "true":
            raise ApiError(
                409,
                "FileAlreadyExists",
                "The object you specified already exists.",
                ec="0026-00000009",
            )
        call.discarded.extend(segment.file for segment in before.segments)
    call.cloud.objects.put(
        path,
        Object(
            bucket=call.bucket,
            key=call.key,
            segments=(Segment(content.file, content.size),),
            size=content.size,
            etag=content.etag,
            modified=call.now,
            content_type=call.request.headers.get("content-type", "application/octet-stream"),
            headers=kept_headers(call),
        ),
    )
    return Response(200, headers=[("etag", f'"{content.etag}"')])


def get_object(call: Call) -> Response:
    """Send an object, or a range of it."""
    found = _find(call)
    headers = _describe(found)
    wanted = _range(call.request.headers.get("range", ""), found.size)
    if wanted is None:
        return Response(200, headers=headers, files=_files(call.cloud.files, found, 0, found.size))
    start, length = wanted
    headers.append(("content-range", f"bytes {start}-{start + length - 1}/{found.size}"))
    return Response(206, headers=headers, files=_files(call.cloud.files, found, start, length))


def head_object(call: Call) -> Response:
    """Describe an object in headers."""
    found = _find(call)
    return Response(200, headers=[*_describe(found), ("content-length", str(found.size))])


def delete_object(call: Call) -> Response:
    """Delete an object; one that does not exist is deleted as well."""
    call.find_bucket()
    _remove(call, call.key)
    return Response(204)


def delete_multiple_objects(call: Call) -> Response:
    """Delete up to 1000 objects."""
    call.find_bucket()
    digest = call.request.headers.get("content-md5")
    if digest is None:
        raise ApiError(400, "MissingArgument", "Missing Some Required Arguments: Content-MD5.")
    root = xml.parse(call.body)
    keys = [element.findtext("Key") or "" for element in root.iterfind("Object")]
    if root.tag != "Delete" or not keys or not all(keys) or len(keys) > DELETE_LIMIT:
        raise xml.malformed(f"Delete must hold 1 to {DELETE_LIMIT} Objects with a Key")
    for key in keys:
        access.authorise(call.cloud, call.caller, _DELETE, call.bucket, key, call.now)
    for key in keys:
        _remove(call, key)
    if (root.findtext("Quiet") or "").lower() == "true":
        return Response(200)
    encoding = call.argument("encoding-type")
    answer: dict[str, object] = {"EncodingType": encoding} if encoding else {}
    answer["Deleted"] = [{"Key": encoded(key, encoding)} for key in keys]
    return document("DeleteResult", answer)


_DELETE = Operation("DeleteObject", delete_object, "DeleteObject")


def received(call: Call) -> Content:
    """Return the content that was received, if it is what Content-MD5 announced.

    Raises:
        ApiError: InvalidDigest, BadDigest.
    """
    if call.content is None:
        msg = "the operation does not stream"
        raise TypeError(msg)
    announced = call.request.headers.get("content-md5")
    if announced:
        try:
            digest = base64.b64decode(announced, validate=True).hex().upper()
        except binascii.Error:
            raise ApiError(
                400, "InvalidDigest", "The Content-MD5 you specified was invalid."
            ) from None
        if digest != call.content.etag:
            raise ApiError(
                400, "BadDigest", "The Content-MD5 you specified did not match what we received."
            )
    return call.content


def check_key(key: str) -> None:
    """Check an object's name.

    Raises:
        ApiError: InvalidObjectName.
    """
    if not 1 <= len(key.encode()) <= _KEY_LIMIT or key.startswith(("/", "\\")) or "\0" in key:
        raise ApiError(400, "InvalidObjectName", "The specified object is not valid.")


def kept_headers(call: Call) -> dict[str, str]:
    """Return the headers that are stored with an object and sent with it again."""
    return {
        name: value
        for name, value in call.request.headers.items()
        if name in _KEPT or name.startswith("x-oss-meta-")
    }


def encoded(text: str, encoding: str) -> str:
    """Write a key into a document, escaped when the client asked for that."""
    return quote(text, safe="") if encoding == "url" else text


def _find(call: Call) -> Object:
    call.find_bucket()
    found = call.cloud.objects.get(f"{call.bucket}/{call.key}")
    if found is None:
        raise ApiError(
            404,
            "NoSuchKey",
            "The specified key does not exist.",
            ec="0026-00000001",
            details={"Key": call.key},
        )
    return found


def _remove(call: Call, key: str) -> None:
    found = call.cloud.objects.get(f"{call.bucket}/{key}")
    if found is not None:
        call.discarded.extend(segment.file for segment in found.segments)
        call.cloud.objects.remove(f"{call.bucket}/{key}")


def _describe(found: Object) -> list[tuple[str, str]]:
    return [
        ("etag", f'"{found.etag}"'),
        ("last-modified", email.utils.formatdate(found.modified, usegmt=True)),
        ("content-type", found.content_type),
        ("accept-ranges", "bytes"),
        ("x-oss-object-type", found.kind),
        ("x-oss-storage-class", "Standard"),
        *found.headers.items(),
    ]


def _range(header: str, size: int) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(header)
    # An unreadable range counts as none, as RFC 9110 allows.
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last or size), size - 1)
    if start > end:
        raise ApiError(416, "InvalidRange", "The requested range cannot be satisfied.")
    return start, end - start + 1


def _files(
    directory: Path, found: Object, start: int, length: int
) -> tuple[tuple[Path, int, int], ...]:
    pieces = []
    for segment in found.segments:
        offset = min(start, segment.size)
        taken = min(segment.size - offset, length)
        if taken:
            pieces.append((directory / segment.file, offset, taken))
        start -= offset
        length -= taken
    return tuple(pieces)
