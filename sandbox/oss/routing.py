"""Which operation a request means: method, level and sub-resource decide."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import (
    archive,
    attributes,
    buckets,
    configurations,
    copying,
    domains,
    forms,
    listing,
    multipart,
    objects,
    retention,
    symlinks,
)
from alibroker.sandbox.oss.call import Operation

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Level, Run
    from alibroker.sandbox.wire import Request


def _operation(run: Run, name: str, action: str = "", *, streams: bool = False) -> Operation:
    return Operation(name, run, action or name, streams)


_ROUTES: dict[tuple[str, Level, str], Operation] = {
    ("GET", "service", ""): _operation(buckets.list_buckets, "ListBuckets"),
    ("PUT", "bucket", ""): _operation(buckets.put_bucket, "PutBucket"),
    ("DELETE", "bucket", ""): _operation(buckets.delete_bucket, "DeleteBucket"),
    ("GET", "bucket", "bucketInfo"): _operation(buckets.get_bucket_info, "GetBucketInfo"),
    ("GET", "bucket", "stat"): _operation(buckets.get_bucket_stat, "GetBucketStat"),
    ("GET", "bucket", "location"): _operation(buckets.get_bucket_location, "GetBucketLocation"),
    ("PUT", "bucket", "acl"): _operation(buckets.put_bucket_acl, "PutBucketAcl"),
    ("GET", "bucket", "acl"): _operation(buckets.get_bucket_acl, "GetBucketAcl"),
    ("GET", "bucket", ""): _operation(listing.list_objects, "ListObjects"),
    ("GET", "bucket", "list-type"): _operation(
        listing.list_objects_v2, "ListObjectsV2", "ListObjects"
    ),
    ("GET", "bucket", "versions"): _operation(listing.list_object_versions, "ListObjectVersions"),
    ("GET", "bucket", "uploads"): _operation(
        listing.list_multipart_uploads, "ListMultipartUploads"
    ),
    ("POST", "bucket", "delete"): Operation(
        "DeleteMultipleObjects", objects.delete_multiple_objects, "DeleteObject", checks_keys=True
    ),
    ("POST", "bucket", ""): Operation(
        "PostObject", forms.post_object, "PutObject", checks_keys=True, limit=forms.FORM_LIMIT
    ),
    ("GET", "bucket", "cname"): _operation(domains.list_cname, "ListCname"),
    ("POST", "bucket", "cname-add"): _operation(domains.put_cname, "PutCname"),
    ("POST", "bucket", "cname-delete"): _operation(domains.delete_cname, "DeleteCname"),
    ("POST", "bucket", "worm"): _operation(retention.initiate, "InitiateBucketWorm"),
    ("GET", "bucket", "worm"): _operation(retention.describe, "GetBucketWorm"),
    ("DELETE", "bucket", "worm"): _operation(retention.abort, "AbortBucketWorm"),
    ("PUT", "object", ""): _operation(objects.put_object, "PutObject", streams=True),
    ("PUT", "object", "copy"): _operation(copying.copy_object, "CopyObject", "PutObject"),
    ("POST", "object", "append"): _operation(
        copying.append_object, "AppendObject", "PutObject", streams=True
    ),
    ("PUT", "object", "tagging"): _operation(attributes.put_tagging, "PutObjectTagging"),
    ("GET", "object", "tagging"): _operation(attributes.get_tagging, "GetObjectTagging"),
    ("DELETE", "object", "tagging"): _operation(attributes.delete_tagging, "DeleteObjectTagging"),
    ("PUT", "object", "acl"): _operation(attributes.put_acl, "PutObjectAcl"),
    ("GET", "object", "acl"): _operation(attributes.get_acl, "GetObjectAcl"),
    ("PUT", "object", "symlink"): _operation(symlinks.put_symlink, "PutSymlink", "PutObject"),
    ("GET", "object", "symlink"): _operation(symlinks.get_symlink, "GetSymlink", "GetObject"),
    ("POST", "object", "restore"): _operation(archive.restore_object, "RestoreObject"),
    ("GET", "object", ""): _operation(objects.get_object, "GetObject"),
    ("HEAD", "object", ""): _operation(objects.head_object, "HeadObject", "GetObject"),
    ("HEAD", "object", "objectMeta"): _operation(objects.head_object, "GetObjectMeta", "GetObject"),
    ("DELETE", "object", ""): _operation(objects.delete_object, "DeleteObject"),
    ("POST", "object", "uploads"): _operation(
        multipart.initiate, "InitiateMultipartUpload", "PutObject"
    ),
    ("PUT", "object", "uploadId"): _operation(
        multipart.upload_part, "UploadPart", "PutObject", streams=True
    ),
    ("POST", "object", "uploadId"): _operation(
        multipart.complete, "CompleteMultipartUpload", "PutObject"
    ),
    ("GET", "object", "uploadId"): _operation(multipart.list_parts, "ListParts"),
    ("DELETE", "object", "uploadId"): _operation(multipart.abort, "AbortMultipartUpload"),
}
_CONFIGURATIONS: dict[str, tuple[str, Run | None, Run | None, Run | None]] = {
    "versioning": (
        "BucketVersioning",
        configurations.put_versioning,
        configurations.get_versioning,
        None,
    ),
    "tagging": (
        "BucketTagging",
        configurations.put_tagging,
        configurations.get_tagging,
        configurations.delete_tagging,
    ),
    "lifecycle": (
        "BucketLifecycle",
        configurations.put_lifecycle,
        configurations.get_lifecycle,
        configurations.delete_lifecycle,
    ),
    "cors": (
        "BucketCors",
        configurations.put_cors,
        configurations.get_cors,
        configurations.delete_cors,
    ),
    "encryption": (
        "BucketEncryption",
        configurations.put_encryption,
        configurations.get_encryption,
        configurations.delete_encryption,
    ),
    "policy": (
        "BucketPolicy",
        configurations.put_policy,
        configurations.get_policy,
        configurations.delete_policy,
    ),
    "publicAccessBlock": (
        "BucketPublicAccessBlock",
        configurations.put_public_access_block,
        configurations.get_public_access_block,
        configurations.delete_public_access_block,
    ),
}
for _subresource, (_name, *_runs) in _CONFIGURATIONS.items():
    for _method, _run in zip(("PUT", "GET", "DELETE"), _runs, strict=True):
        if _run is not None:
            _ROUTES[_method, "bucket", _subresource] = _operation(
                _run, f"{_method.capitalize()}{_name}"
            )
# Parameters that make a request mean something else than its method alone.
_SUBRESOURCES = frozenset(
    [
        "acl",
        "bucketInfo",
        "stat",
        "location",
        "versioning",
        "tagging",
        "lifecycle",
        "encryption",
        "policy",
        "publicAccessBlock",
        "uploads",
        "uploadId",
        "delete",
        "versions",
        "objectMeta",
        "logging",
        "website",
        "referer",
        "cors",
        "inventory",
        "replication",
        "restore",
        "symlink",
        "append",
        "worm",
        "requestPayment",
        "qosInfo",
        "resourceGroup",
        "transferAcceleration",
        "cname",
        "style",
        "live",
        "regions",
    ]
)


def split(path: str) -> tuple[Level, str, str]:
    """Return level, bucket and key of a raw path."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket:
        return "service", "", ""
    return ("object" if key else "bucket"), unquote(bucket), unquote(key)


def find(request: Request) -> Operation | None:
    """Return the operation that a request means, if the sandbox has it."""
    level, _, _ = split(request.path)
    chosen = [name for name in request.arguments if name in _SUBRESOURCES]
    if level == "bucket" and request.arguments.get("list-type") == "2":
        chosen = ["list-type"]
    if chosen[:1] == ["cname"] and "comp" in request.arguments:
        chosen = [f"cname-{request.arguments['comp']}"]
    if level == "object" and not chosen and "x-oss-copy-source" in request.headers:
        chosen = ["copy"]
    return _ROUTES.get((request.method, level, chosen[0] if chosen else ""))


def demand(request: Request) -> Operation:
    """Return the operation that a request means.

    Raises:
        ApiError: NotImplemented.
    """
    operation = find(request)
    if operation is None:
        raise ApiError(
            501, "NotImplemented", "The sandbox does not have this method on this resource."
        )
    return operation
