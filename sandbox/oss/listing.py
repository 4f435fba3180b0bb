"""Lists of objects, versions and uploads: prefix, delimiter and pages."""

from __future__ import annotations

import base64
import binascii
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import xml
from alibroker.sandbox.oss.buckets import max_keys
from alibroker.sandbox.oss.call import document
from alibroker.sandbox.oss.objects import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """List versions and delete markers, the newest of each key first."""
    call.find_bucket()
    limit = max_keys(call, 100)
    marker, version_marker = call.argument("key-marker"), call.argument("version-id-marker")
    encoding = call.argument("encoding-type")
    found, prefixes, last = _versions_page(call, marker, version_marker, limit)
    answer = _head(call, limit) | {
        "KeyMarker": encoded(marker, encoding),
        "VersionIdMarker": version_marker,
        "IsTruncated": str(bool(last)).lower(),
    }
    if last:
        answer |= {"NextKeyMarker": encoded(last[0], encoding), "NextVersionIdMarker": last[1]}
    rows: dict[str, list[dict[str, object]]] = {"Version": [], "DeleteMarker": []}
    for one, latest in found:
        described = _entry(one)
        if one.marker:
            described = {"LastModified": described["LastModified"]}
        rows["DeleteMarker" if one.marker else "Version"].append(
            {
                "Key": encoded(one.key, encoding),
                "VersionId": one.version,
                "IsLatest": str(latest).lower(),
                **described,
                "Owner": _owner(call),
            }
        )
    shown = [{"Prefix": encoded(prefix, encoding)} for prefix in prefixes]
    return document("ListVersionsResult", {**answer, **rows, "CommonPrefixes": shown})


def _versions_page(
    call: Call, marker: str, version_marker: str, limit: int
) -> tuple[list[tuple[Object, bool]], list[str], tuple[str, str] | None]:
    """Return versions with whether each is its key's latest, prefixes, and where to go on."""
    prefix, delimiter = call.argument("prefix"), call.argument("delimiter")
    found: list[tuple[Object, bool]] = []
    prefixes: list[str] = []
    last = ("", "")
    seen = marker if version_marker else ""
    for one in all_versions(call, prefix, marker, version_marker):
        cut = one.key.find(delimiter, len(prefix)) if delimiter else -1
        group = one.key[: cut + len(delimiter)] if cut >= 0 else ""
        if group and (group in prefixes[-1:] or group == marker):
            continue
        if len(found) + len(prefixes) == limit:
            return found, prefixes, last
        if group:
            prefixes.append(group)
            last = (group, "")
        else:
            found.append((one, one.key != seen))
            last = (one.key, one.version)
        seen = one.key
    return found, prefixes, None


def all_versions(call: Call, prefix: str, marker: str, version_marker: str) -> Iterator[Object]:
    """Walk over current objects and history by key, the newest version first."""
    cloud, place = call.cloud, f"{call.bucket}/{prefix}"
    after = f"{call.bucket}/{marker}" if marker else ""
    old_after = f"{after}\0\U0010ffff" if marker else ""
    if version_marker:
        passed = [
            one for one in cloud.history.within(f"{after}\0") if one.version == version_marker
        ]
        old_after = f"{after}\0{passed[0].rank if passed else ''}"
    current = ((one.key, False, "", one) for one in cloud.objects.within(place, after))
    old = ((one.key, True, one.rank, one) for one in cloud.history.within(place, old_after))
    for row in heapq.merge(current, old, key=lambda row: row[:3]):
        yield row[3]


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
        "StorageClass": found.storage_class,
    }


def _owner(call: Call) -> dict[str, str]:
    owner = call.find_bucket().owner
    return {"ID": owner, "DisplayName": owner}
