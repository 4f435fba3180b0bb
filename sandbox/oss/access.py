"""Whether a caller may do what an OSS request asks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from alibroker.sandbox import identity, policy
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss.regions import region_of
from alibroker.sandbox.ram.users import PROPAGATION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.identity import Credential
    from alibroker.sandbox.oss.call import Operation

_PUBLIC_READ = frozenset({"GetObject", "HeadObject", "GetObjectMeta"})
_VERSIONED = {
    "GetObject": "oss:GetObjectVersion",
    "DeleteObject": "oss:DeleteObjectVersion",
    "GetObjectTagging": "oss:GetObjectVersionTagging",
    "PutObjectTagging": "oss:PutObjectVersionTagging",
    "DeleteObjectTagging": "oss:DeleteObjectVersionTagging",
    "GetObjectAcl": "oss:GetObjectVersionAcl",
    "PutObjectAcl": "oss:PutObjectVersionAcl",
}
_LISTS = frozenset({"ListObjects", "ListObjectVersions", "ListMultipartUploads"})
_PUBLIC_WRITE = frozenset({"PutObject", "DeleteObject", "AppendObject"})


def authorise(
    cloud: Cloud,
    caller: Credential | None,
    operation: Operation,
    bucket_name: str,
    key: str,
    now: float,
    arguments: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Check that the caller may do what the request asks.

    Raises:
        ApiError: AccessDenied.
    """
    bucket = cloud.buckets.get(bucket_name)
    foreign = bucket is not None and bucket.owner != cloud.owner.id
    if foreign and operation.name != "PutBucket":
        raise _denied("The bucket you access does not belong to you.", "0003-00000001")
    action = f"oss:{operation.action}"
    if "versionId" in arguments and operation.action in _VERSIONED:
        action = _VERSIONED[operation.action]
    place = f"{bucket_name}/{key}" if key else bucket_name or "*"
    resource = f"acs:oss:oss-{region_of(cloud, bucket)}:{cloud.owner.id}:{place}"
    context = {"acs:sourceip": "127.0.0.1", "acs:securetransport": "false"}
    if operation.action in _LISTS:
        context |= {f"oss:{name}": arguments.get(name, "") for name in ("prefix", "delimiter")}
    if bucket is not None and not foreign and "policy" in bucket.configurations:
        names = {"*"} if caller is None else identity.principal_ids(cloud, caller)
        statements = policy.parse(bucket.configurations["policy"], with_principal=True)
        mine = tuple(one for one in statements if one.principals & names)
        by_bucket = policy.decide(mine, action, resource, context)
    else:
        by_bucket = None
    if by_bucket is False:
        raise _denied("You have no right to access this object because of bucket policy.")
    if caller is None:
        public = bucket is not None and not foreign and not bucket.block_public_access
        acl = bucket.acl if bucket else "private"
        found = cloud.objects.get(f"{bucket_name}/{key}")
        if found is not None and found.acl != "default":
            acl = found.acl
        if public and (
            by_bucket
            or (acl.startswith("public-read") and operation.name in _PUBLIC_READ)
            or (acl == "public-read-write" and operation.name in _PUBLIC_WRITE)
        ):
            return
        raise _denied("You have no right to access this object because of bucket acl.")
    horizon = now - PROPAGATION_SECONDS * cloud.settings.time_scale
    by_caller = identity.decide(cloud, caller, action, resource, context, horizon)
    if by_caller is False or not (by_caller or by_bucket):
        raise _denied("You do not have permission to perform this operation.")


def _denied(message: str, ec: str = "0003-00000002") -> ApiError:
    return ApiError(403, "AccessDenied", message, ec=ec)
