"""Objects: their contents are files, written before the document that names them."""

from __future__ import annotations

import base64
import binascii
import email.utils
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import access, retention, versions, xml
from alibroker.sandbox.oss.archive import asked_class, check_readable, state
from alibroker.sandbox.oss.attributes import asked_acl
from alibroker.sandbox.oss.call import Operation, document
from alibroker.sandbox.oss.documents import Object, Segment
from alibroker.sandbox.oss.files import pieces
from alibroker.sandbox.oss.symlinks import follow
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
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
    check_overwrite(call)
    made = versions.store(
        call,
        Object(
            bucket=call.bucket,
            key=call.key,
            segments=(Segment(content.file, content.size),),
            size=content.size,
            etag=content.etag,
            modified=call.now,
            content_type=call.request.headers.get("content-type", "application/octet-stream"),
            headers=kept_headers(call),
            crc=str(content.crc),
            tags=asked_tags(call),
            acl=asked_acl(call),
            storage_class=asked_class(call),
        ),
    )
    return Response(200, headers=[("etag", f'"{made.etag}"'), *identity(call, made)])


def get_object(call: Call) -> Response:
    """Send an object, or a range of it."""
    found = follow(call, versions.find(call, call.key, call.argument("versionId")))
    unchanged = _precondition(call, found)
    if unchanged is not None:
        return unchanged
    check_readable(call, found)
    headers = _describe(call, found)
    for name, value in call.request.query_pairs:
        # A signed URL can say under which name and type a browser stores the object.
        if name.startswith("response-"):
            header = name.removeprefix("response-").lower()
            headers = [one for one in headers if one[0] != header] + [(header, value)]
    wanted = _range(call.request.headers.get("range", ""), found.size)
    start, length = wanted or (0, found.size)
    files = pieces(call.cloud.files, found.segments, start, length)
    if wanted is None:
        return Response(200, headers=headers, files=files)
    headers.append(("content-range", f"bytes {start}-{start + length - 1}/{found.size}"))
    return Response(206, headers=headers, files=files)


def head_object(call: Call) -> Response:
    """Describe an object in headers."""
    found = follow(call, versions.find(call, call.key, call.argument("versionId")))
    unchanged = _precondition(call, found)
    if unchanged is not None:
        return unchanged
    return Response(200, headers=[*_describe(call, found), ("content-length", str(found.size))])


def delete_object(call: Call) -> Response:
    """Delete an object; one that does not exist is deleted as well."""
    call.find_bucket()
    if retention.protects(call, call.key, call.argument("versionId")):
        raise ApiError(409, "FileImmutable", "The object you specified is immutable.")
    removed = versions.remove(call, call.key, call.argument("versionId"))
    return Response(204, headers=removed.headers())


def delete_multiple_objects(call: Call) -> Response:
    """Delete up to 1000 objects or versions."""
    call.find_bucket()
    digest = call.request.headers.get("content-md5")
    if digest is None:
        raise ApiError(400, "MissingArgument", "Missing Some Required Arguments: Content-MD5.")
    root = xml.parse(call.body)
    asked = [
        (element.findtext("Key") or "", element.findtext("VersionId") or "")
        for element in root.iterfind("Object")
    ]
    if root.tag != "Delete" or not 1 <= len(asked) <= DELETE_LIMIT or not all(k for k, _ in asked):
        raise xml.malformed(f"Delete must hold 1 to {DELETE_LIMIT} Objects with a Key")
    for key, version in asked:
        arguments = {"versionId": version} if version else {}
        access.authorise(call.cloud, call.caller, _DELETE, call.bucket, key, call.now, arguments)
    encoding = call.argument("encoding-type")
    rows = []
    for key, version in asked:
        if retention.protects(call, key, version):
            continue
        removed = versions.remove(call, key, version)
        row = {"Key": encoded(key, encoding)}
        if version:
            row["VersionId"] = version
        if removed.marker:
            row |= {"DeleteMarker": "true", "DeleteMarkerVersionId": removed.version}
        rows.append(row)
    if (root.findtext("Quiet") or "").lower() == "true":
        return Response(200)
    answer: dict[str, object] = {"EncodingType": encoding} if encoding else {}
    return document("DeleteResult", {**answer, "Deleted": rows})


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


def check_overwrite(call: Call) -> None:
    """Refuse to replace an object if the caller asked for that.

    Raises:
        ApiError: FileAlreadyExists.
    """
    forbidden = call.request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
    if forbidden and f"{call.bucket}/{call.key}" in call.cloud.objects:
        raise ApiError(
            409,
            "FileAlreadyExists",
            "The object you specified already exists.",
            ec="0026-00000009",
        )


def kept_headers(call: Call) -> dict[str, str]:
    """Return the headers that are stored with an object and sent with it again."""
    return {
        name: value
        for name, value in call.request.headers.items()
        if name in _KEPT or name.startswith("x-oss-meta-")
    }


def asked_tags(call: Call) -> dict[str, str]:
    """Return the tags that the header x-oss-tagging gives to a new object."""
    return dict(parse_qsl(call.request.headers.get("x-oss-tagging", ""), keep_blank_values=True))


def identity(call: Call, made: Object) -> list[tuple[str, str]]:
    """Return the headers that tell a version's id and checksum."""
    found = [("x-oss-hash-crc64ecma", made.crc)] if made.crc else []
    if call.find_bucket().versioning:
        found.append(("x-oss-version-id", made.version))
    return found


def encoded(text: str, encoding: str) -> str:
    """Write a key into a document, escaped when the client asked for that."""
    return quote(text, safe="") if encoding == "url" else text


def _describe(call: Call, found: Object) -> list[tuple[str, str]]:
    headers = [
        ("etag", f'"{found.etag}"'),
        ("last-modified", email.utils.formatdate(found.modified, usegmt=True)),
        ("content-type", found.content_type),
        ("accept-ranges", "bytes"),
        ("x-oss-object-type", found.kind),
        *state(call, found),
        *found.headers.items(),
        *identity(call, found),
    ]
    if found.tags:
        headers.append(("x-oss-tagging-count", str(len(found.tags))))
    if found.kind == "Appendable":
        headers.append(("x-oss-next-append-position", str(found.size)))
    return headers


def _precondition(call: Call, found: Object) -> Response | None:
    """Return the answer "not modified" if it applies (RFC 9110, Conditional Requests).

    Raises:
        ApiError: PreconditionFailed.
    """
    headers = call.request.headers
    etag, changed = f'"{found.etag}"', int(found.modified)

    def moment(name: str) -> float:
        parsed = email.utils.parsedate_tz(headers.get(name, ""))
        return email.utils.mktime_tz(parsed) if parsed else -1.0

    wanted, known = headers.get("if-match", ""), headers.get("if-none-match", "")
    if (wanted and wanted.strip('"') != found.etag) or 0 <= moment("if-unmodified-since") < changed:
        raise ApiError(412, "PreconditionFailed", "At least one precondition did not hold.")
    if (known and known.strip('"') == found.etag) or moment("if-modified-since") >= changed:
        return Response(304, headers=[("etag", etag)])
    return None


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
