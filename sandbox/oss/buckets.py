"""Buckets: creating, deleting and describing them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import xml
from alibroker.sandbox.oss.call import document
from alibroker.sandbox.oss.documents import Bucket
from alibroker.sandbox.oss.regions import region_of
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

ACLS = ("private", "public-read", "public-read-write")
STORAGE_CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
REDUNDANCIES = ("LRS", "ZRS")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def list_buckets(call: Call) -> Response:
    """List the account's buckets in order of their names, all or those with a tag."""
    prefix, marker = call.argument("prefix"), call.argument("marker")
    limit = max_keys(call, 100)
    owner = call.cloud.owner.id
    names = sorted(
        bucket.name
        for bucket in call.cloud.buckets.values()
        if bucket.owner == owner
        and bucket.name.startswith(prefix)
        and bucket.name > marker
        and _has_tag(bucket, call.argument("tag-key"), call.argument("tag-value"))
    )
    answer: dict[str, object] = {"Owner": _owner(owner)}
    if len(names) > limit:
        answer |= {
            "Prefix": prefix,
            "Marker": marker,
            "MaxKeys": limit,
            "IsTruncated": "true",
            "NextMarker": names[limit - 1],
        }
    shown = [call.cloud.buckets[name] for name in names[:limit]]
    rows = [{**_described(call, one), "Region": region_of(call.cloud, one)} for one in shown]
    return document("ListAllMyBucketsResult", {**answer, "Buckets": {"Bucket": rows}})


def _has_tag(bucket: Bucket, key: str, value: str) -> bool:
    if value and not key:
        raise ApiError(400, "InvalidArgument", "tag-value needs a tag-key.")
    return not key or (key in bucket.tags and value in ("", bucket.tags[key]))


def put_bucket(call: Call) -> Response:
    """Create a bucket, or change the ACL of one's own."""
    if not _NAME.fullmatch(call.bucket):
        raise ApiError(
            400,
            "InvalidBucketName",
            "The specified bucket is not valid.",
            ec="0015-00000001",
            details={"BucketName": call.bucket},
        )
    acl = call.request.headers.get("x-oss-acl", "")
    if acl and acl not in ACLS:
        raise invalid_acl()
    storage_class, redundancy = _configuration(call.body)
    owner = call.cloud.owner.id
    bucket = call.cloud.buckets.get(call.bucket)
    if bucket is not None and bucket.owner != owner:
        raise _already_exists(
            call,
            "The requested bucket name is not available. The bucket namespace is shared by all "
            "users of the system. Please select a different name and try again.",
        )
    if bucket is not None:
        if region_of(call.cloud, bucket) != call.region:
            raise _already_exists(call, "Bucket already exists can't modify location.")
        if storage_class and storage_class != bucket.storage_class:
            raise _already_exists(call, "Bucket already exists can't modify storage type.")
        if redundancy and redundancy != bucket.redundancy:
            raise _already_exists(call, "Bucket already exists can't modify data redundancy type.")
        if acl:
            check_public(acl, blocked=bucket.block_public_access)
            bucket = msgspec.structs.replace(bucket, acl=acl)
            call.cloud.buckets.put(bucket.name, bucket)
        return _created(call)
    own = sum(
        other.owner == owner and region_of(call.cloud, other) == call.region
        for other in call.cloud.buckets.values()
    )
    if own >= call.cloud.settings.bucket_quota:
        raise ApiError(
            400,
            "TooManyBuckets",
            "The bucket quota of this account in this region is used up.",
            ec="0015-00000201",
        )
    # New buckets block public access until it is switched off.
    check_public(acl, blocked=True)
    bucket = Bucket(
        name=call.bucket,
        owner=owner,
        created=call.now,
        acl=acl or "private",
        storage_class=storage_class or "Standard",
        redundancy=redundancy or "LRS",
        region="" if call.region == call.cloud.region else call.region,
    )
    call.cloud.buckets.put(bucket.name, bucket)
    return _created(call)


def delete_bucket(call: Call) -> Response:
    """Delete an empty bucket."""
    bucket = call.find_bucket()
    prefix = f"{bucket.name}/"
    tables = (call.cloud.objects, call.cloud.history, call.cloud.uploads)
    if any(table.count(prefix) for table in tables):
        raise ApiError(
            409,
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty.",
            ec="0015-00000301",
            details={"BucketName": bucket.name},
        )
    for domain in list(call.cloud.domains.values()):
        if domain.bucket == bucket.name:
            call.cloud.domains.remove(domain.name)
    call.cloud.buckets.remove(bucket.name)
    return Response(204)


def get_bucket_info(call: Call) -> Response:
    """Describe a bucket."""
    bucket = call.find_bucket()
    rule = {"SSEAlgorithm": "None"}
    if "encryption" in bucket.configurations:
        root = xml.parse(bucket.configurations["encryption"].encode())
        rule = {"SSEAlgorithm": root.findtext(".//SSEAlgorithm") or "AES256"}
        if key := root.findtext(".//KMSMasterKeyID"):
            rule["KMSMasterKeyID"] = key
    description: dict[str, object] = {
        **_described(call, bucket),
        "DataRedundancyType": bucket.redundancy,
        "BlockPublicAccess": str(bucket.block_public_access).lower(),
        "Owner": _owner(bucket.owner),
        "AccessControlList": {"Grant": bucket.acl},
        "ServerSideEncryptionRule": rule,
        "CrossRegionReplication": "Disabled",
        "TransferAcceleration": "Disabled",
    }
    if bucket.versioning:
        description["Versioning"] = bucket.versioning
    return document("BucketInfo", {"Bucket": description})


def get_bucket_stat(call: Call) -> Response:
    """Count a bucket's objects and bytes."""
    bucket = call.find_bucket()
    prefix = f"{bucket.name}/"
    return document(
        "BucketStat",
        {
            "Storage": sum(
                found.size
                for table in (call.cloud.objects, call.cloud.history)
                for found in table.within(prefix)
            ),
            "ObjectCount": call.cloud.objects.count(prefix),
            "MultipartUploadCount": call.cloud.uploads.count(prefix),
            "LiveChannelCount": 0,
            "LastModifiedTime": int(call.now),
        },
    )


def get_bucket_location(call: Call) -> Response:
    """Tell where a bucket is."""
    return document("LocationConstraint", f"oss-{region_of(call.cloud, call.find_bucket())}")


def put_bucket_acl(call: Call) -> Response:
    """Change a bucket's ACL; a bucket that does not exist is created, as in the cloud."""
    acl = call.request.headers.get("x-oss-acl", "")
    if acl not in ACLS:
        raise invalid_acl()
    bucket = call.cloud.buckets.get(call.bucket)
    if bucket is None:
        return put_bucket(call)
    check_public(acl, blocked=bucket.block_public_access)
    call.cloud.buckets.put(bucket.name, msgspec.structs.replace(bucket, acl=acl))
    return Response(200)


def get_bucket_acl(call: Call) -> Response:
    """Tell a bucket's ACL."""
    bucket = call.find_bucket()
    return document(
        "AccessControlPolicy",
        {"Owner": _owner(bucket.owner), "AccessControlList": {"Grant": bucket.acl}},
    )


def check_public(acl: str, *, blocked: bool) -> None:
    """Refuse a public ACL while public access is blocked.

    Raises:
        ApiError: AccessDenied.
    """
    if blocked and acl.startswith("public"):
        raise ApiError(
            403,
            "AccessDenied",
            "Put public acl is not allowed while Block Public Access is enabled.",
            ec="0003-00000801",
        )


def max_keys(call: Call, default: int, name: str = "max-keys", limit: int = 1000) -> int:
    """Return how many entries a list may have.

    Raises:
        ApiError: InvalidArgument.
    """
    raw = call.argument(name) or str(default)
    if not raw.isdecimal() or not 1 <= int(raw) <= limit:
        raise ApiError(400, "InvalidArgument", f"{name} must be from 1 to {limit}.")
    return int(raw)


def invalid_acl() -> ApiError:
    """Build InvalidArgument for an unknown ACL."""
    return ApiError(400, "InvalidArgument", "no such bucket access control exists")


def _configuration(body: bytes) -> tuple[str, str]:
    if not body.strip():
        return "", ""
    root = xml.parse(body)
    storage_class = root.findtext("StorageClass") or ""
    redundancy = root.findtext("DataRedundancyType") or ""
    if root.tag != "CreateBucketConfiguration":
        raise xml.malformed("the root must be CreateBucketConfiguration")
    if storage_class not in ("", *STORAGE_CLASSES) or redundancy not in ("", *REDUNDANCIES):
        raise xml.malformed("unknown StorageClass or DataRedundancyType")
    return storage_class, redundancy


def _created(call: Call) -> Response:
    return Response(200, headers=[("location", f"/{call.bucket}")])


def _already_exists(call: Call, message: str) -> ApiError:
    return ApiError(
        409,
        "BucketAlreadyExists",
        message,
        ec="0015-00000104",
        details={"BucketName": call.bucket},
    )


def _owner(account: str) -> dict[str, str]:
    return {"ID": account, "DisplayName": account}


def _described(call: Call, bucket: Bucket) -> dict[str, object]:
    region = region_of(call.cloud, bucket)
    return {
        "CreationDate": xml.timestamp(bucket.created),
        "ExtranetEndpoint": f"oss-{region}.aliyuncs.com",
        "IntranetEndpoint": f"oss-{region}-internal.aliyuncs.com",
        "Location": f"oss-{region}",
        "Name": bucket.name,
        "StorageClass": bucket.storage_class,
    }


def is_valid_name(name: str) -> bool:
    """Tell whether a bucket may be called so."""
    return _NAME.fullmatch(name) is not None
