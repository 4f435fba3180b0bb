"""The steps of provision and update: a bucket comes to be as it is wanted."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.digests import digest
from alibroker.brokers.oss.buckets import Buckets
from alibroker.brokers.oss.configuration import (
    CHANGEABLE,
    FIXED,
    PREFIX,
    Configuration,
    apply,
    configuration,
    contradiction,
    differences,
    facts,
    unlike_new,
)
from alibroker.brokers.oss.names import CHOSEN, ChosenNames, Holder
from alibroker.brokers.oss.storage import BucketCalls

CREATED: Final = "created"
_UNSURE: Final = "unsure"
_RANDOM_BYTES: Final = 8


class Instances:
    """Creates a bucket exactly once, under a name that nobody can have guessed."""

    def __init__(
        self,
        buckets: Buckets,
        names: ChosenNames,
        settings: CloudSettings,
        plans: Mapping[str, Json],
    ) -> None:
        """Take also the settings of all plans by the plan's id."""
        self._buckets = buckets
        self._names = names
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
        if work.resource.get(CHOSEN):
            return self._create_chosen(work, wanted, bucket)
        try:
            bucket.create(wanted.storage_class, wanted.redundancy)
        except CloudError as error:
            if error.kind is not Kind.EXISTS:
                raise
            if not bucket.is_ours():
                return self._intend(work, wanted)
        _apply_to_new(bucket, wanted, unlike_new(wanted))
        return Succeeded(resource={CREATED: True, **facts(wanted)})

    def _intend(self, work: Work, wanted: Configuration) -> Step:
        """Choose a name, if the user did not, and make it durable before the cloud hears of it.

        The random part keeps others from taking the name first, and tells that a bucket of this
        name which our account owns is ours.
        """
        if wanted.name:
            return self._intend_chosen(work, wanted)
        own = digest(self._settings.name, work.instance_id, length=10)
        name = f"{wanted.prefix or PREFIX}-{own}-{secrets.token_hex(_RANDOM_BYTES)}"
        return InProgress(
            description="The bucket is being created",
            state={"phase": "create"},
            resource={**address(name, wanted.region), "requested_at": work.now},
        )

    def _intend_chosen(self, work: Work, wanted: Configuration) -> Step:
        bucket = BucketCalls(self._buckets, wanted.name, wanted.region)
        if not self._names.free(work, bucket):
            return _taken(wanted.name)
        return InProgress(
            description="The bucket is being created",
            state={"phase": "create"},
            resource={
                **address(wanted.name, wanted.region),
                CHOSEN: True,
                "requested_at": work.now,
            },
        )

    def _create_chosen(self, work: Work, wanted: Configuration, bucket: BucketCalls) -> Step:
        """Create the bucket, or go on with it; the claim to its name ends when it is tagged."""
        claimed = self._names.claim(work, bucket.name)
        found = self._names.holder(work, bucket)
        # Another claims it in vain if the tags were written before the step was cut off.
        if found is Holder.OTHER or not (claimed or found is Holder.INSTANCE):
            return _taken(bucket.name)
        if found is Holder.NOBODY:
            try:
                bucket.create(wanted.storage_class, wanted.redundancy)
            except CloudError as error:
                if error.kind is not Kind.EXISTS:
                    raise
                return _taken(bucket.name)
        tags, *others = unlike_new(wanted)
        _apply_to_new(bucket, wanted, [tags])
        if claimed:
            self._names.release(bucket.name)
        _apply_to_new(bucket, wanted, others)
        return Succeeded(resource={CREATED: True, **facts(wanted)})

    def update(self, work: Work) -> Step:
        """Do the next step towards the changed bucket.

        What may have been changed is made durable first, so that the next update also puts that
        right if this one fails half-way.
        """
        wanted = self.wanted(work, work.plan_settings, work.parameters)
        settings = self._plans.get(work.previous_plan_id, work.plan_settings)
        before = msgspec.structs.replace(work, plan_id=work.previous_plan_id or work.plan_id)
        current = self.wanted(before, settings, work.previous_parameters)
        fixed = [
            parameter
            for field, parameter in FIXED.items()
            if getattr(wanted, field) != getattr(current, field)
        ]
        if fixed:
            return Failed(
                reason=f"{', '.join(fixed)} of a bucket cannot be changed: create a new instance; "
                "objects can be moved to another storage class by the parameter Lifecycle"
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
        if parts and not self._is_there(work, bucket):
            return Failed(reason="the bucket does not exist any more", instance_usable=False)
        apply(bucket, wanted, parts)
        return Succeeded(resource={_UNSURE: [], **facts(wanted)})

    def _is_there(self, work: Work, bucket: BucketCalls) -> bool:
        if work.resource.get(CHOSEN):
            return self._names.holder(work, bucket) is Holder.INSTANCE
        return bucket.is_ours()

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


def _apply_to_new(bucket: BucketCalls, wanted: Configuration, parts: Iterable[str]) -> None:
    """Make a bucket as it is wanted that was created a moment ago."""
    try:
        apply(bucket, wanted, parts)
    except CloudError as error:
        if error.kind is Kind.NOT_FOUND:
            # Not known everywhere yet, or deleted by somebody: either way, once more.
            error.kind = Kind.RETRY
        raise


def _taken(name: str) -> Failed:
    # Whose it is, is nobody's business.
    return Failed(
        reason=f"the bucket name {name} is taken, or one that this broker may not use: choose "
        "another BucketName, or leave it out and a name is made up"
    )


def address(name: str, region: str) -> Json:
    """Return the facts that say which bucket it is."""
    return {"bucket": name, "region": region}
