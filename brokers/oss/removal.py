"""The steps of deprovision: a bucket goes, and its contents only if that was agreed on."""

from __future__ import annotations

import enum
from typing import Final

from alibroker.brokers.alibabacloud.account import GONE
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import KEPT, KEPT_TAG
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.alibabacloud.settling import unsettled
from alibroker.brokers.api import Failed, InProgress, Step, Succeeded, Work
from alibroker.brokers.oss import emptying
from alibroker.brokers.oss.instances import CREATED, Instances
from alibroker.brokers.oss.marks import of_others
from alibroker.brokers.oss.names import CHOSEN, ChosenNames, Holder
from alibroker.brokers.oss.storage import BucketCalls
from alibroker.brokers.oss.users import RamCalls

_NOT_EMPTY: Final = "BucketNotEmpty"
_OR_ELSE: Final = "or first update the instance's parameter DeletionPolicy to delete or keep"

_NOT_OURS: Final = (
    "the bucket does not carry the tags of this instance any more, so nothing is deleted: look "
    "whose it is, then delete it yourself or restore its tags"
)


class Deletion(enum.StrEnum):
    """The parameter `DeletionPolicy`: what becomes of a bucket that is not empty."""

    REFUSE = "refuse"
    DELETE = "delete"
    KEEP = "keep"


class Removal:
    """Deletes buckets, never more than was agreed on."""

    def __init__(
        self, instances: Instances, names: ChosenNames, ram: RamCalls, settings: CloudSettings
    ) -> None:
        self._instances = instances
        self._names = names
        self._ram = ram
        self._settings = settings

    def deprovision(self, work: Work) -> Step:
        """Do the next step towards there being nothing left that is not to be kept."""
        if work.resource.get(GONE):
            return Succeeded(resource={GONE: True})
        if not work.resource.get("bucket"):
            self._remove_policies(work)
            return self._remove_lone_policy(work)
        bucket = self._instances.bucket(work)
        if work.state.get("phase") == emptying.EMPTY:
            return self._empty(work, bucket)
        deleted = "absent_since" in work.state
        if not work.resource.get(CREATED) or (deleted and work.resource.get(CHOSEN)):
            return self._undo(work, bucket)
        self._remove_policies(work)
        if work.resource.get(CHOSEN):
            match self._names.holder(work, bucket):
                case Holder.OTHER | Holder.UNFINISHED:
                    return Failed(reason=_NOT_OURS)
        if _deletion(work) is Deletion.KEEP:
            return self._keep(work, bucket)
        return self._delete(work, bucket)

    def _undo(self, work: Work, bucket: BucketCalls) -> Step:
        """Delete what a provision that failed has left, but no bucket that somebody else made."""
        if not work.resource.get(CHOSEN):
            return self._delete(work, bucket)
        # The claim is given up when the bucket has tags: without it only they can make it ours.
        claimed = self._names.claim(work, bucket.name)
        found = self._names.holder(work, bucket)
        if found is Holder.INSTANCE or (claimed and found is not Holder.OTHER):
            end = self._delete(work, bucket)
        else:
            end = Succeeded(resource={GONE: True})
        if claimed and isinstance(end, Succeeded):
            self._names.release(bucket.name)
        return end

    def _remove_policies(self, work: Work) -> None:
        """Bindings share policies; when no binding is left, whatever is left of them is waste."""
        for policy in self._ram.policies_with(self._names.instance_tags(work)):
            self._ram.delete_policy(policy.name)

    def _remove_lone_policy(self, work: Work) -> Step:
        """Delete what an orphaned policy's record names; the last binding takes it otherwise."""
        name = str(work.resource.get("policy", ""))
        used = name and not self._ram.delete_policy(name)
        if used and (others := of_others(self._ram.attachments(name))):
            return Failed(
                reason=f"the RAM policy {name} is attached to {others}: detach it there, then "
                "try again"
            )
        return Succeeded(resource={GONE: True})

    def _delete(self, work: Work, bucket: BucketCalls) -> Step:
        try:
            bucket.delete()
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return self._absent(work)
            if error.code != _NOT_EMPTY:
                raise
            if not work.resource.get(CREATED) or _deletion(work) is not Deletion.DELETE:
                return Failed(reason=f"{error.message}, {_OR_ELSE}")
            return emptying.begin() if self._is_marked(work, bucket) else Failed(reason=_NOT_OURS)
        return self._absent(work, was_there=True)

    def _is_marked(self, work: Work, bucket: BucketCalls) -> bool:
        return self._names.instance_tags(work).items() <= bucket.tags().items()

    def _empty(self, work: Work, bucket: BucketCalls) -> Step:
        """Delete a page, if the bucket is still ours: its tags also stop what was not meant."""
        try:
            if not self._is_marked(work, bucket):
                return Failed(reason=_NOT_OURS)
            step = emptying.empty(work.state, bucket, self._settings.poll_interval)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            # Whether the bucket is gone is for its deletion to say.
            return InProgress(description="The bucket is being deleted")
        return step or self._absent(work, was_there=True)

    def _keep(self, work: Work, bucket: BucketCalls) -> Step:
        """Leave the bucket as it is, with a mark that it was left on purpose."""
        wanted = self._instances.wanted(work, work.plan_settings, work.parameters)
        if bucket.is_ours():
            bucket.set_tags(wanted.tags | {KEPT_TAG: KEPT})
        return Succeeded(resource={GONE: True})

    def _absent(self, work: Work, *, was_there: bool = False) -> Step:
        """Believe that there is no bucket, but not while a lost request may still create it."""
        since = work.state.get("absent_since", work.now)
        complete = was_there or work.state.get("was_there") or bool(work.resource.get(CREATED))
        rest = unsettled(work, self._settings.settle, since=since, complete=complete)
        if not rest:
            return Succeeded(resource={GONE: True})
        return InProgress(
            description="Making sure that no bucket is left",
            state={"absent_since": since, "was_there": complete},
            poll_after=min(self._settings.poll_interval, rest),
        )


def _deletion(work: Work) -> Deletion:
    asked = work.parameters.get("DeletionPolicy") or work.plan_settings.get("deletion")
    return Deletion(asked or Deletion.REFUSE)
