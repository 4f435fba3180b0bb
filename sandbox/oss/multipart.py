"""Multipart uploads. Parts become the object's segments as they are."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import versions, xml
from alibroker.sandbox.oss.archive import asked_class
from alibroker.sandbox.oss.call import Content, document
from alibroker.sandbox.oss.copying import find_source
from alibroker.sandbox.oss.documents import Object, Part, Segment, Upload
from alibroker.sandbox.oss.files import crc64, crc64_of, pieces
from alibroker.sandbox.oss.objects import (
    asked_tags,
    check_key,
    encoded,
    identity,
    kept_headers,
    received,
)
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

MIN_PART_BYTES = 100 * 1024
MAX_PARTS = 10_000
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def initiate(call: Call) -> Response:
    """Begin an upload."""
    call.find_bucket()
    check_key(call.key)
    upload = Upload(
        id=secrets.token_hex(16).upper(),
        bucket=call.bucket,
        key=call.key,
        initiated=call.now,
        content_type=call.request.headers.get("content-type", "application/octet-stream"),
        headers=kept_headers(call),
        tags=asked_tags(call),
        storage_class=asked_class(call),
    )
    call.cloud.uploads.put(_path(call, upload.id), upload)
    encoding = call.argument("encoding-type")
    return document(
        "InitiateMultipartUploadResult",
        {
            "Bucket": call.bucket,
            "Key": encoded(call.key, encoding),
            "UploadId": upload.id,
            **({"EncodingType": encoding} if encoding else {}),
        },
    )


def upload_part(call: Call) -> Response:
    """Store a part; one with the same number is replaced."""
    upload = _find(call)
    content = received(call)
    if "x-oss-copy-source" in call.request.headers:
        content = _copied(call, content)
    number = call.argument("partNumber")
    if not number.isdecimal() or not 1 <= int(number) <= MAX_PARTS:
        raise ApiError(
            400, "InvalidArgument", f"Part number must be an integer from 1 to {MAX_PARTS}."
        )
    before = upload.parts.get(number)
    if before is not None:
        call.discarded.append(before.segment.file)
    segment = Segment(content.file, content.size)
    part = Part(int(number), segment, content.etag, call.now)
    parts = {**upload.parts, number: part}
    call.cloud.uploads.put(_path(call, upload.id), msgspec.structs.replace(upload, parts=parts))
    headers = [("etag", f'"{content.etag}"'), ("x-oss-hash-crc64ecma", str(content.crc))]
    if "x-oss-copy-source" in call.request.headers:
        answer = {"LastModified": xml.timestamp(call.now), "ETag": f'"{content.etag}"'}
        result = document("CopyPartResult", answer)
        return Response(200, result.body, [*result.headers, *headers])
    return Response(200, headers=headers)


def _copied(call: Call, received_file: Content) -> Content:
    """Fill the part's file with a range of another object."""
    source = find_source(call)
    first, last = 0, source.size - 1
    if wanted := call.request.headers.get("x-oss-copy-source-range"):
        found = _RANGE.fullmatch(wanted)
        if found is None or int(found[1]) > min(int(found[2]), last):
            raise ApiError(400, "InvalidArgument", "x-oss-copy-source-range is not satisfiable.")
        first, last = int(found[1]), min(int(found[2]), last)
    parts = []
    for path, offset, length in pieces(call.cloud.files, source.segments, first, last - first + 1):
        with path.open("rb") as file:
            file.seek(offset)
            parts.append(file.read(length))
    content = b"".join(parts)
    (call.cloud.files / received_file.file).write_bytes(content)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest().upper()
    return Content(received_file.file, len(content), digest, crc64(content))


def list_parts(call: Call) -> Response:
    """List an upload's parts."""
    upload = _find(call)
    encoding = call.argument("encoding-type")
    parts = sorted(upload.parts.values(), key=lambda part: part.number)
    return document(
        "ListPartsResult",
        {
            "Bucket": call.bucket,
            "Key": encoded(call.key, encoding),
            "UploadId": upload.id,
            "NextPartNumberMarker": parts[-1].number if parts else 0,
            "MaxParts": MAX_PARTS,
            "IsTruncated": "false",
            "Part": [
                {
                    "PartNumber": part.number,
                    "LastModified": xml.timestamp(part.modified),
                    "ETag": f'"{part.etag}"',
                    "Size": part.segment.size,
                }
                for part in parts
            ],
        },
    )


def complete(call: Call) -> Response:
    """Make an object of an upload's parts."""
    upload = _find(call)
    root = xml.parse(call.body)
    asked = [
        (part.findtext("PartNumber") or "", (part.findtext("ETag") or "").strip('"'))
        for part in root.iterfind("Part")
    ]
    if root.tag != "CompleteMultipartUpload" or not asked:
        raise xml.malformed("CompleteMultipartUpload must hold Parts")
    parts: list[Part] = []
    for number, etag in asked:
        part = upload.parts.get(number)
        if part is None or part.etag != etag.upper():
            raise ApiError(400, "InvalidPart", "One or more of the parts could not be found.")
        if parts and parts[-1].number >= part.number:
            raise ApiError(400, "InvalidPartOrder", "The parts are not in ascending order.")
        parts.append(part)
    if any(part.segment.size < MIN_PART_BYTES for part in parts[:-1]):
        raise ApiError(
            400, "EntityTooSmall", f"All parts but the last need {MIN_PART_BYTES} bytes."
        )
    used = {part.segment.file for part in parts}
    call.discarded.extend(
        part.segment.file for part in upload.parts.values() if part.segment.file not in used
    )
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    digest = hashlib.md5(joined, usedforsecurity=False).hexdigest().upper()
    etag = f"{digest}-{len(parts)}"
    call.cloud.uploads.remove(_path(call, upload.id))
    segments = tuple(part.segment for part in parts)
    made = versions.store(
        call,
        Object(
            bucket=call.bucket,
            key=call.key,
            segments=segments,
            size=sum(part.segment.size for part in parts),
            etag=etag,
            modified=call.now,
            content_type=upload.content_type,
            kind="Multipart",
            headers=upload.headers,
            crc=str(crc64_of(call.cloud, segments)),
            tags=upload.tags,
            storage_class=upload.storage_class,
        ),
    )
    encoding = call.argument("encoding-type")
    answer: dict[str, object] = {"EncodingType": encoding} if encoding else {}
    answer |= {
        "Location": f"/{call.bucket}/{call.key}",
        "Bucket": call.bucket,
        "Key": encoded(call.key, encoding),
        "ETag": f'"{etag}"',
    }
    result = document("CompleteMultipartUploadResult", answer)
    return Response(
        200, result.body, [*result.headers, ("etag", f'"{etag}"'), *identity(call, made)]
    )


def abort(call: Call) -> Response:
    """Give an upload up and forget its parts."""
    upload = _find(call)
    call.discarded.extend(part.segment.file for part in upload.parts.values())
    call.cloud.uploads.remove(_path(call, upload.id))
    return Response(204)


def _find(call: Call) -> Upload:
    call.find_bucket()
    upload = call.cloud.uploads.get(_path(call, call.argument("uploadId")))
    if upload is None:
        raise ApiError(
            404, "NoSuchUpload", "The specified upload does not exist.", ec="0042-00000002"
        )
    return upload


def _path(call: Call, upload_id: str) -> str:
    return f"{call.bucket}/{call.key}\0{upload_id}"
