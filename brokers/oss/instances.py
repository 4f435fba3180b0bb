"""The steps of provision and deprovision: a bucket comes and goes."""

from __future__ import annotations

import secrets
from typing import Final

from alibroker.brokers.alibabacloud.buckets import Buckets
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import digest, tags
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Step, Succeeded, Work
from alibroker.brokers.oss.storage import PRIVATE, BucketCalls

_RANDOM_BYTES: Final = 8
_CREATED: Final = "created"
_GONE: Final = "gone"


class Instances:
    """Creates a bucket exactly once, under a name that nobody can have guessed."""

    def __init__(self, buckets: Buckets, settings: CloudSettings) -> None:
        self._buckets = buckets
        self._settings = settings

    def provision(self, work: Work) -> Step:
        """Do the next step towards the bucket."""
        if work.state.get("phase") != "create":
            return self._intend(work)
        bucket = self.bucket(work)
        plan, wanted = work.plan_settings, work.parameters
        acl = str(wanted.get("ACL") or wanted.get("Acl") or plan["acl"])
        try:
            bucket.create(str(wanted.get("StorageClass") or plan["storage_class"]))
        except CloudError as error:
            if error.kind is not Kind.EXISTS:
                raise
            if not bucket.is_ours():
                return self._intend(work)
        bucket.block_public_access(block=acl == PRIVATE)
        if acl != PRIVATE:
            bucket.set_acl(acl)
        bucket.set_tags(tags(work, self._settings.name))
        return Succeeded(resource={_CREATED: True})

    def _intend(self, work: Work) -> InProgress:
        """Choose a name and make it durable before the cloud hears of it.

        The random part keeps others from taking the name first, and tells that a bucket of this
        name which our account owns is ours.
        """
        own = digest(self._settings.name, work.instance_id, length=10)
        region = str(work.parameters.get("Region", self._settings.region))
        return InProgress(
            description="The bucket is being created",
            state={"phase": "create"},
            resource={
                "bucket": f"alibroker-{own}-{secrets.token_hex(_RANDOM_BYTES)}",
                "region": region,
                "host": self._buckets.host(region),
                "endpoint": self._buckets.url(region),
                "requested_at": work.now,
            },
        )

    def deprovision(self, work: Work) -> Step:
        """Do the next step towards there being no bucket."""
        if work.resource.get(_GONE) or not work.resource.get("bucket"):
            return Succeeded(resource={_GONE: True})
        try:
            self.bucket(work).delete()
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return self._absent(work)
            if error.code == "BucketNotEmpty":
                return Failed(reason=error.message)
            raise
        return Succeeded(resource={_GONE: True})

    def _absent(self, work: Work) -> Step:
        """Believe that there is no bucket, but not while a lost request may still create it."""
        since = work.state.get("absent_since", work.now)
        rest = self._settings.settle - (work.now - since)
        if work.resource.get(_CREATED) or rest <= 0:
            return Succeeded(resource={_GONE: True})
        return InProgress(
            description="Making sure that no bucket was created",
            state={"absent_since": since},
            poll_after=min(self._settings.poll_interval, rest),
        )

    def bucket(self, work: Work) -> BucketCalls:
        """Return the calls for the bucket that `work` is about."""
        return BucketCalls(self._buckets, work.resource["bucket"], work.resource["region"])
