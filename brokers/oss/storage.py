"""The calls to OSS that the steps are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import oss2
from oss2 import models

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.api import Json
from alibroker.brokers.oss.access import Access
from alibroker.brokers.oss.buckets import Buckets

PRIVATE = oss2.BUCKET_ACL_PRIVATE
NO_ENCRYPTION: Final = "none"
_NO_UPLOAD: Final = "0" * 32
_PAGE: Final = 1000
_PUBLIC_REFUSED: Final = "PublicEndpointForbidden"


class Opening(msgspec.Struct, frozen=True):
    """Whether a key opens a bucket; RAM takes seconds to spread it.

    `refusal` is the error code where it does not. `inside` says that the endpoint that was asked
    serves only buckets, not what is in them.
    """

    refusal: str = ""
    inside: bool = False


class ListedBucket(msgspec.Struct, frozen=True):
    """A bucket as a list shows it; `created_at` is Unix time in seconds."""

    name: str
    region: str
    created_at: float


class BucketInfo(msgspec.Struct, frozen=True):
    """What a bucket looks like now, in the words of the parameters.

    `created_at` is Unix time in seconds.
    """

    created_at: float
    storage_class: str
    redundancy: str
    acl: str
    versioning: bool
    encryption: str
    kms_key: str


class Version(NamedTuple):
    """A version of an object, or a delete marker."""

    key: str
    id: str


class Upload(NamedTuple):
    """An upload that was not finished."""

    key: str
    id: str


def list_buckets(
    buckets: Buckets, region: str, *, prefix: str = "", tag: tuple[str, str] | None = None
) -> Iterator[ListedBucket]:
    """Yield the account's buckets of all regions (ListBuckets, asked in one region).

    A cloud that does not know the filter by a tag would yield too many, so look at the tags.

    Raises:
        CloudError: They could not be listed.
    """
    service = buckets.service(region)
    filters = {"tag-key": tag[0], "tag-value": tag[1]} if tag else {}
    marker = ""
    while True:
        page = buckets.call("ListBuckets", service.list_buckets, prefix, marker, _PAGE, filters)
        for one in page.buckets:
            yield ListedBucket(one.name, one.location.removeprefix("oss-"), one.creation_date)
        marker = page.next_marker
        if not page.is_truncated or not marker:
            return


class BucketCalls:
    """What is done to one bucket. Every method raises `CloudError`."""

    def __init__(self, buckets: Buckets, name: str, region: str) -> None:
        self._buckets = buckets
        self.name = name
        self._region = region
        self._bucket = buckets.bucket(name, region)
        self._contents = buckets.contents(name, region)

    def create(self, storage_class: str, redundancy: str) -> None:
        """Create the bucket, private; one that is ours already stays as it is (PutBucket)."""
        config = models.BucketCreateConfig(storage_class, redundancy)
        self._buckets.call("PutBucket", self._bucket.create_bucket, PRIVATE, config)

    def is_ours(self) -> bool:
        """Tell whether our account owns the bucket (GetBucketInfo, refused on others' buckets)."""
        try:
            self._buckets.call("GetBucketInfo", self._bucket.get_bucket_info)
        except CloudError as error:
            if error.kind in {Kind.DENIED, Kind.NOT_FOUND}:
                return False
            raise
        return True

    def info(self) -> BucketInfo:
        """Return what the bucket looks like (GetBucketInfo)."""
        found = self._buckets.call("GetBucketInfo", self._bucket.get_bucket_info)
        rule = found.bucket_encryption_rule
        return BucketInfo(
            created_at=datetime.fromisoformat(found.creation_date).timestamp(),
            storage_class=found.storage_class,
            redundancy=found.data_redundancy_type or "",
            acl=found.acl.grant,
            versioning=found.versioning_status == "Enabled",
            encryption=(rule.sse_algorithm if rule else None) or NO_ENCRYPTION,
            kms_key=(rule.kms_master_keyid if rule else None) or "",
        )

    def block_public_access(self, *, block: bool) -> None:
        """Forbid, or allow, that anything in the bucket is made public."""
        # As a text, since oss2 would write True, and the vendor's other clients write true.
        text = str(block).lower()
        self._buckets.call(
            "PutBucketPublicAccessBlock", self._bucket.put_bucket_public_access_block, text
        )

    def set_acl(self, acl: str) -> None:
        """Set who may read or write without a key. On a missing bucket this would create it."""
        self._buckets.call("PutBucketAcl", self._bucket.put_bucket_acl, acl)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Replace the bucket's tags."""
        rule = models.TaggingRule()
        for key, value in tags.items():
            rule.add(key, value)
        self._buckets.call(
            "PutBucketTagging", self._bucket.put_bucket_tagging, models.Tagging(rule)
        )

    def tags(self) -> dict[str, str]:
        """Return the bucket's tags (GetBucketTagging)."""
        answer = self._buckets.call("GetBucketTagging", self._bucket.get_bucket_tagging)
        return dict(answer.tag_set.tagging_rule)

    def set_versioning(self, *, on: bool) -> None:
        """Keep old versions from now on, or make no new ones any more."""
        config = models.BucketVersioningConfig("Enabled" if on else "Suspended")
        self._buckets.call("PutBucketVersioning", self._bucket.put_bucket_versioning, config)

    def set_encryption(self, algorithm: str, kms_key: str) -> None:
        """Encrypt new objects with AES256, or with KMS and one of its keys or its default key."""
        rule = models.ServerSideEncryptionRule(algorithm, kms_key or None)
        self._buckets.call("PutBucketEncryption", self._bucket.put_bucket_encryption, rule)

    def remove_encryption(self) -> None:
        """Encrypt new objects no longer."""
        self._buckets.call("DeleteBucketEncryption", self._bucket.delete_bucket_encryption)

    def set_lifecycle(self, rules: Sequence[Json]) -> None:
        """Replace the rules by which objects expire or become cheaper to keep."""
        if not rules:
            self._buckets.call("DeleteBucketLifecycle", self._bucket.delete_bucket_lifecycle)
            return
        made = [_lifecycle_rule(f"rule-{number}", rule) for number, rule in enumerate(rules, 1)]
        lifecycle = models.BucketLifecycle(made)
        self._buckets.call("PutBucketLifecycle", self._bucket.put_bucket_lifecycle, lifecycle)

    def set_cors(self, rules: Sequence[Json]) -> None:
        """Replace the rules that say which web pages may use the bucket."""
        if not rules:
            self._buckets.call("DeleteBucketCors", self._bucket.delete_bucket_cors)
            return
        made = [
            models.CorsRule(
                rule["AllowedOrigins"],
                rule["AllowedMethods"],
                rule.get("AllowedHeaders", []),
                rule.get("ExposeHeaders", []),
                rule.get("MaxAgeSeconds"),
            )
            for rule in rules
        ]
        self._buckets.call("PutBucketCors", self._bucket.put_bucket_cors, models.BucketCors(made))

    def versions(self) -> list[Version]:
        """Return up to 1,000 versions and delete markers; of all objects, also unversioned ones."""
        found = self._buckets.call(
            "ListObjectVersions", self._contents.list_object_versions, max_keys=_PAGE
        )
        return [Version(one.key, one.versionid) for one in (*found.versions, *found.delete_marker)]

    def delete_versions(self, versions: Sequence[Version]) -> None:
        """Delete up to 1,000 versions for good (DeleteMultipleObjects).

        Their keys travel as XML, which cannot carry all of them.
        """
        listed = models.BatchDeleteObjectVersionList(
            [models.BatchDeleteObjectVersion(one.key, one.id) for one in versions]
        )
        self._buckets.call("DeleteMultipleObjects", self._contents.delete_object_versions, listed)

    def delete_version(self, version: Version) -> None:
        """Delete a version for good, whatever its key (DeleteObject)."""
        self._buckets.call(
            "DeleteObject",
            self._contents.delete_object,
            version.key,
            params={"versionId": version.id},
        )

    def uploads(self, limit: int) -> list[Upload]:
        """Return up to `limit` uploads that were never finished."""
        found = self._buckets.call(
            "ListMultipartUploads", self._contents.list_multipart_uploads, max_uploads=limit
        )
        return [Upload(one.key, one.upload_id) for one in found.upload_list]

    def abort(self, upload: Upload) -> None:
        """Delete the parts of an unfinished upload, if they are there."""
        try:
            self._buckets.call(
                "AbortMultipartUpload",
                self._contents.abort_multipart_upload,
                upload.key,
                upload.id,
            )
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise

    def delete(self) -> None:
        """Delete the bucket, which has to be empty (DeleteBucket)."""
        self._buckets.call("DeleteBucket", self._bucket.delete_bucket)

    def opening(self, key_id: str, secret: str, access: Access, token: str = "") -> Opening:
        """Tell whether a new key opens the bucket yet.

        It is tried on what is in the bucket. Where the endpoint does not serve that, or may not be
        set up yet because it is a domain for this bucket alone, on the bucket itself (which every
        key may describe).
        """
        bucket, contents = self._buckets.opened_with(key_id, secret, self.name, self._region, token)
        is_domain = self._buckets.endpoints.of_contents(self.name, self._region).is_domain
        try:
            if not is_domain and self._serves(contents, access):
                return Opening()
            self._buckets.call("GetBucketInfo", bucket.get_bucket_info)
        except CloudError as error:
            if error.kind is Kind.DENIED or error.code.startswith(
                ("InvalidAccessKeyId", "SignatureDoesNotMatch")
            ):
                return Opening(refusal=error.code)
            raise
        return Opening(inside=not is_domain)

    def _serves(self, contents: oss2.Bucket, access: Access) -> bool:
        """Make a harmless call that a level of access allows; return False if no key may make it.

        That is where the endpoint is a public one that serves only buckets.
        """
        try:
            if access.reads:
                self._buckets.call(
                    "ListObjects", contents.list_objects, prefix=access.prefix, max_keys=1
                )
            else:
                key = f"{access.prefix}alibroker-probe"
                self._buckets.call(
                    "AbortMultipartUpload", contents.abort_multipart_upload, key, _NO_UPLOAD
                )
        except CloudError as error:
            if error.code not in {"NoSuchUpload", _PUBLIC_REFUSED}:
                raise
            return error.code != _PUBLIC_REFUSED
        return True

    def places(self, *, inside: bool) -> Json:
        """Return where applications reach the bucket, under the names that they know.

        `inside` says that the public endpoint does not serve them.
        """
        endpoints = self._buckets.endpoints
        told = endpoints.of_applications(self.name, self._region, inside=inside)
        return {
            "host": told.url.partition("://")[2],
            "endpoint": told.url,
            "internal_endpoint": endpoints.internal(self._region),
            "s3_endpoint": endpoints.s3(told, self._region),
            # A client has to be told that the host stands for the bucket.
            **({"cname": True} if told.is_domain else {}),
        }


def _lifecycle_rule(name: str, rule: Json) -> models.LifecycleRule:
    expiry, uploads = rule.get("ExpirationDays"), rule.get("AbortUploadsAfterDays")
    noncurrent = rule.get("NoncurrentExpirationDays")
    return models.LifecycleRule(
        name,
        rule.get("Prefix", ""),
        expiration=models.LifecycleExpiration(expiry) if expiry else None,
        abort_multipart_upload=models.AbortMultipartUpload(uploads) if uploads else None,
        storage_transitions=[
            models.StorageTransition(one["Days"], storage_class=one["StorageClass"])
            for one in rule.get("Transitions", [])
        ],
        noncurrent_version_expiration=(
            models.NoncurrentVersionExpiration(noncurrent) if noncurrent else None
        ),
    )
