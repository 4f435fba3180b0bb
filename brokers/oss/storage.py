"""The calls to OSS that the steps are made of."""

from __future__ import annotations

from collections.abc import Mapping

import oss2
from oss2.models import BucketCreateConfig, Tagging, TaggingRule

from alibroker.brokers.alibabacloud.buckets import Buckets
from alibroker.brokers.alibabacloud.errors import CloudError, Kind

PRIVATE = oss2.BUCKET_ACL_PRIVATE


class BucketCalls:
    """What is done to one bucket. Every method raises `CloudError`."""

    def __init__(self, buckets: Buckets, name: str, region: str) -> None:
        self._buckets = buckets
        self._name = name
        self._region = region
        self._bucket = buckets.bucket(name, region)

    def create(self, storage_class: str) -> None:
        """Create the bucket, private; one that is ours already stays as it is (PutBucket)."""
        config = BucketCreateConfig(storage_class)
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

    def block_public_access(self, *, block: bool) -> None:
        """Forbid, or allow, that anything in the bucket is made public."""
        self._buckets.call(
            "PutBucketPublicAccessBlock", self._bucket.put_bucket_public_access_block, block
        )

    def set_acl(self, acl: str) -> None:
        """Set who may read or write without a key. On a missing bucket this would create it."""
        self._buckets.call("PutBucketAcl", self._bucket.put_bucket_acl, acl)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Replace the bucket's tags."""
        rule = TaggingRule()
        for key, value in tags.items():
            rule.add(key, value)
        self._buckets.call("PutBucketTagging", self._bucket.put_bucket_tagging, Tagging(rule))

    def delete(self) -> None:
        """Delete the bucket, which has to be empty (DeleteBucket)."""
        self._buckets.call("DeleteBucket", self._bucket.delete_bucket)

    def answers_to(self, key_id: str, secret: str) -> bool:
        """Tell whether a new key opens the bucket yet; RAM takes seconds to spread it."""
        bucket = self._buckets.bucket_as(key_id, secret, self._name, self._region)
        try:
            self._buckets.call("ListObjects", bucket.list_objects, max_keys=1)
        except CloudError as error:
            if error.kind is Kind.DENIED or error.code.startswith(
                ("InvalidAccessKeyId", "SignatureDoesNotMatch")
            ):
                return False
            raise
        return True
