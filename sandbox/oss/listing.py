"""Lists of objects, versions and uploads: prefix, delimiter and pages."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import xml
from alibroker.sandbox.oss.buckets import max_keys
from alibroker.sandbox.oss.call import document
from alibroker.sandbox.oss.objects import encoded

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call
    from alibroker.sandbox.oss.documents import Object
    from alibroker.sandbox.wire import Response


@dataclass(frozen=True)
class _Page:
    objects: list[Object]
    prefixes: list[str]
    # Where the next page begins, empty when there is none.
    next: str


def list_objects(call: Call) -> Response:
    """List objects, version 1 of the API."""
    marker = call.argument("marker")
    limit = max_keys(call, 100)
    page = _page(call, marker, limit)
    encoding = call.argument("encoding-type")
    answer = _head(call, limit) | {
        "Marker": encoded(marker, encoding),
        "IsTruncated": str(bool(page.next)).lower(),
    }
    if page.next:
        answer["NextMarker"] = encoded(page.next, encoding)
    return document("ListBucketResult", answer | _entries(call, page, with_owner=True))


def list_objects_v2(call: Call) -> Response:
    """List objects, version 2 of the API."""
    limit = max_keys(call, 100)
    token = call.argument("continuation-token")
    try:
        after = base64.urlsafe_b64decode(token.encode()).decode() if token else ""
    except (binascii.Error, UnicodeDecodeError):
        raise ApiError(400, "InvalidArgument", "The continuation token is not valid.") from None
    page = _page(call, after or call.argument("start-after"), limit)
    answer = _head(call, limit) | {
        "IsTruncated": str(bool(page.next)).lower(),
        "KeyCount": len(page.objects) + len(page.prefixes),
    }
    if page.next:
        answer["NextContinuationToken"] = base64.urlsafe_b64encode(page.next.encode()).decode()
    with_owner = call.argument("fetch-owner") == "true"
    return document("ListBucketResult", answer | _entries(call, page, with_owner=with_owner))


def list_object_versions(call: Call) -> Response:
    """List versions: the sandbox keeps one, called null."""
    limit = max_keys(call, 100)
    marker = call.argument("key-marker")
    page = _page(call, marker, limit)
    encoding = call.argument("encoding-type")
    answer = _head(call, limit) | {
        "KeyMarker": encoded(marker, encoding),
        "VersionIdMarker": call.argument("version-id-marker"),
        "IsTruncated": str(bool(page.next)).lower(),
    }
    if page.next:
        answer |= {"NextKeyMarker": encoded(page.next, encoding), "NextVersionIdMarker": "null"}
    answer["Version"] = [
        {
            "Key": encoded(found.key, encoding),
            "VersionId": "null",
            "IsLatest": "true",
            **_entry(found),
            "Owner": _owner(call),
        }
        for found in page.objects
    ]
    answer["CommonPrefixes"] = [{"Prefix": encoded(p, encoding)} for p in page.prefixes]
    return document("ListVersionsResult", answer)


def list_multipart_uploads(call: Call) -> Response:
    """List the uploads that were neither completed nor aborted."""
    call.find_bucket()
    limit = max_keys(call, 1000, "max-uploads")
    prefix = call.argument("prefix")
    encoding = call.argument("encoding-type")
    after = (call.argument("key-marker"), call.argument("upload-id-marker") or "\U0010ffff")
    found = [
        upload
        for upload in call.cloud.uploads.within(f"{call.bucket}/{prefix}")
        if not call.argument("key-marker") or (upload.key, upload.id) > after
    ]
    found.sort(key=lambda upload: (upload.key, upload.id))
    cut = found[:limit]
    truncated = len(found) > limit
    return document(
        "ListMultipartUploadsResult",
        {
            "Bucket": call.bucket,
            "KeyMarker": encoded(call.argument("key-marker"), encoding),
            "UploadIdMarker": call.argument("upload-id-marker"),
            "NextKeyMarker": encoded(cut[-1].key, encoding) if truncated else "",
            "NextUploadIdMarker": cut[-1].id if truncated else "",
            "Delimiter": "",
            "Prefix": encoded(prefix, encoding),
            "MaxUploads": limit,
            **({"EncodingType": encoding} if encoding else {}),
            "IsTruncated": str(truncated).lower(),
            "Upload": [
                {
                    "Key": encoded(upload.key, encoding),
                    "UploadId": upload.id,
                    "StorageClass": "Standard",
                    "Initiated": xml.timestamp(upload.initiated),
                }
                for upload in cut
            ],
        },
    )


def _page(call: Call, after: str, limit: int) -> _Page:
    call.find_bucket()
    prefix, delimiter = call.argument("prefix"), call.argument("delimiter")
    objects: list[Object] = []
    prefixes: list[str] = []
    last = ""
    begin = f"{call.bucket}/{after}" if after else ""
    for found in call.cloud.objects.within(f"{call.bucket}/{prefix}", begin):
        cut = found.key.find(delimiter, len(prefix)) if delimiter else -1
        group = found.key[: cut + len(delimiter)] if cut >= 0 else ""
        # A group that ended the page before goes on to the end of its keys.
        if group and (group in prefixes[-1:] or group == after):
            continue
        if len(objects) + len(prefixes) == limit:
            return _Page(objects, prefixes, last)
        if group:
            prefixes.append(group)
        else:
            objects.append(found)
        last = group or found.key
    return _Page(objects, prefixes, "")


def _head(call: Call, limit: int) -> dict[str, object]:
    encoding = call.argument("encoding-type")
    if encoding not in ("", "url"):
        raise ApiError(400, "InvalidArgument", "encoding-type must be url.")
    head: dict[str, object] = {
        "Name": call.bucket,
        "Prefix": encoded(call.argument("prefix"), encoding),
        "MaxKeys": limit,
        "Delimiter": encoded(call.argument("delimiter"), encoding),
    }
    return head | ({"EncodingType": encoding} if encoding else {})


def _entries(call: Call, page: _Page, *, with_owner: bool) -> dict[str, object]:
    encoding = call.argument("encoding-type")
    owner = {"Owner": _owner(call)} if with_owner else {}
    return {
        "Contents": [
            {"Key": encoded(found.key, encoding), **_entry(found), **owner}
            for found in page.objects
        ],
        "CommonPrefixes": [{"Prefix": encoded(p, encoding)} for p in page.prefixes],
    }


def _entry(found: Object) -> dict[str, object]:
    return {
        "LastModified": xml.timestamp(found.modified),
        "ETag": f'"{found.etag}"',
        "Type": found.kind,
        "Size": found.size,
        "StorageClass": "Standard",
    }


def _owner(call: Call) -> dict[str, str]:
    owner = call.find_bucket().owner
    return {"ID": owner, "DisplayName": owner}
