"""The steps of provision and update: a bucket comes to be as it is wanted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from alibroker.brokers.alibabacloud.buckets import Buckets
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import digest
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.oss.configuration import (
    CHANGEABLE,
    FIXED,
    Configuration,
    apply,
    configuration,
    contradiction,
    differences,
    unlike_new,
)
from alibroker.brokers.oss.storage import BucketCalls

CREATED: Final = "created"
_UNSURE: Final = "unsure"
_RANDOM_BYTES: Final = 8
_PREFIX: Final = "alibroker"


class Instances:
    """Creates a bucket exactly once, under a name that nobody can have guessed."""

    def __init__(
        self, buckets: Buckets, settings: CloudSettings, plans: Mapping[str, Json]
    ) -> None:
        """Take also the settings of all plans by the plan's id."""
        self._buckets = buckets
        self._settings = settings
        self._plans = plans

    def provision(self, work: Work) -> Step:
        """Do the next step towards the bucket."""
        wanted = self.wanted(work, work.plan_settings, work.parameters)
        if fault := contradiction(wanted, work.parameters):
            return Failed(reason=fault)
        if work.state.get("phase") != "create":
            return self._intend(work, wanted)
        bucket = self.bucket(work)
        try:
            bucket.create(wanted.storage_class, wanted.redundancy)
        except CloudError as error:
            if error.kind is not Kind.EXISTS:
                raise
            if not bucket.is_ours():
                return self._intend(work, wanted)
        apply(bucket, wanted, unlike_new(wanted))
        return Succeeded(resource={CREATED: True})

    def _intend(self, work: Work, wanted: Configuration) -> InProgress:
        """Choose a name and make it durable before the cloud hears of it.

        The random part keeps others from taking the name first, and tells that a bucket of this
        name which our account owns is ours.
        """
        own = digest(self._settings.name, work.instance_id, length=10)
        region = wanted.region
        return InProgress(
            description="The bucket is being created",
            state={"phase": "create"},
            resource={
                "bucket": f"{wanted.prefix or _PREFIX}-{own}-{secrets.token_hex(_RANDOM_BYTES)}",
                "region": region,
                "host": self._buckets.host(region),
                "endpoint": self._buckets.url(region),
                "internal_endpoint": self._buckets.internal_url(region),
                "s3_endpoint": self._buckets.s3_url(region),
                "requested_at": work.now,
            },
        )

    def update(self, work: Work) -> Step:
        """Do the next step towards the changed bucket.

        What may have been changed is made durable first, so that the next update also puts that
        right if this one fails half-way.
        """
        wanted = self.wanted(work, work.plan_settings, work.parameters)
        settings = self._plans.get(work.previous_plan_id, work.plan_settings)
        current = self.wanted(work, settings, work.previous_parameters)
        fixed = [
            parameter
            for field, parameter in FIXED.items()
            if getattr(wanted, field) != getattr(current, field)
        ]
        if fixed:
            return Failed(
                reason=f"{', '.join(fixed)} of a bucket cannot be changed: create a new instance"
            )
        if fault := contradiction(wanted, work.parameters):
            return Failed(reason=fault)
        if work.state.get("phase") != "change":
            unsure = {*differences(wanted, current), *work.resource.get(_UNSURE, ())}
            return InProgress(
                description="The bucket is being changed",
                state={"phase": "change"},
                resource={_UNSURE: [part for part in CHANGEABLE if part in unsure]},
            )
        bucket = self.bucket(work)
        parts = work.resource[_UNSURE]
        # Setting the ACL of a bucket that does not exist would create it.
        if parts and not bucket.is_ours():
            return Failed(reason="the bucket does not exist any more", instance_usable=False)
        apply(bucket, wanted, parts)
        return Succeeded(resource={_UNSURE: []})

    def wanted(self, work: Work, settings: Json, parameters: Json) -> Configuration:
        """Return how the bucket is to be by the settings of a plan and by parameters."""
        return configuration(
            work,
            settings,
            parameters,
            region=str(work.resource.get("region") or self._settings.region),
            owner=self._settings.name,
        )

    def bucket(self, work: Work) -> BucketCalls:
        """Return the calls for the bucket that `work` is about."""
        return BucketCalls(self._buckets, work.resource["bucket"], work.resource["region"])
