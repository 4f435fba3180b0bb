"""Buckets under a name that the user chose, which somebody else may choose as well.

Creating a bucket that the account has already succeeds silently, and tags are whoever's wrote them
last (PutBucket, PutBucketTagging), so buckets alone cannot say who was first. RAM can: of two that
create a policy of one name only one succeeds (CreatePolicy). Such a policy, attached to nobody, is
the claim to a name while its bucket is created and tagged; from then on the tags say whose it is.
"""

from __future__ import annotations

import enum
import json
from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import INSTANCE_TAG, OWNER_TAG, tag_value, tags
from alibroker.brokers.api import Work
from alibroker.brokers.digests import digest
from alibroker.brokers.oss.storage import PRIVATE, BucketCalls, BucketInfo
from alibroker.brokers.oss.users import RamCalls

CHOSEN: Final = "chosen_name"
"""The fact that says that the user chose the bucket's name."""
BUCKET_TAG: Final = "alibroker-bucket"
"""Its value says which bucket a policy is about."""
_SKEW_SECONDS: Final = 15 * 60
"""As far as the clocks of broker and cloud can be apart (OSS, RequestTimeTooSkewed)."""


class Holder(enum.Enum):
    """Whose a bucket is."""

    NOBODY = "nobody"
    """There is none."""
    INSTANCE = "instance"
    """It carries the tags of this very instance."""
    UNFINISHED = "unfinished"
    """It has no tags, and can be what this instance began to create."""
    OTHER = "other"


class ChosenNames:
    """Says who may use a name, and whose the bucket is. Raises `CloudError`."""

    def __init__(self, ram: RamCalls, owner: str) -> None:
        """Take the broker's name, by which it is told from others in the account."""
        self._ram = ram
        self._owner = owner

    def free(self, work: Work, bucket: BucketCalls) -> bool:
        """Tell whether an instance may begin to create a bucket.

        Policies about an earlier bucket of this name would open the new one too.
        """
        about = {OWNER_TAG: tag_value(self._owner), BUCKET_TAG: tag_value(bucket.name)}
        return self.holder(work, bucket) in {Holder.NOBODY, Holder.INSTANCE} and all(
            self.instance_tags(work).items() <= policy.tags.items()
            for policy in self._ram.policies_with(about)
        )

    def claim(self, work: Work, bucket: str) -> bool:
        """Claim a name; return False if another instance, or another broker, has done so."""
        name = _claim_name(bucket)
        if self._ram.create_policy(name, _document(bucket), self.policy_tags(work, bucket)):
            return True
        for policy in self._ram.policies_with({BUCKET_TAG: tag_value(bucket)}):
            if policy.name == name:
                return self.instance_tags(work).items() <= policy.tags.items()
        raise _not_yet("ListPolicies")

    def release(self, bucket: str) -> None:
        """Give up a claim that is held."""
        name = _claim_name(bucket)
        if self._ram.delete_policy(name):
            return
        if users := self._ram.users_of(name):
            raise CloudError(
                Kind.FAILED,
                action="DeletePolicy",
                code="DeleteConflict.Policy",
                message=f"the RAM policy {name}, which only claims the bucket's name, was attached "
                f"to {', '.join(sorted(users))}: detach it, then try again",
            )
        raise _not_yet("DeletePolicy")

    def instance_tags(self, work: Work) -> dict[str, str]:
        """Return the tags that everything of an instance has, whatever its plan."""
        return {OWNER_TAG: tag_value(self._owner), INSTANCE_TAG: tag_value(work.instance_id)}

    def policy_tags(self, work: Work, bucket: str) -> dict[str, str]:
        """Return the tags of an instance's policies."""
        return tags(work, self._owner) | {BUCKET_TAG: tag_value(bucket)}

    def holder(self, work: Work, bucket: BucketCalls) -> Holder:
        """Return whose a bucket is."""
        try:
            info = bucket.info()
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return Holder.NOBODY
            if error.kind is Kind.DENIED:
                return Holder.OTHER
            raise
        found = bucket.tags()
        if self.instance_tags(work).items() <= found.items():
            return Holder.INSTANCE
        return Holder.UNFINISHED if not found and _may_be_begun(work, info) else Holder.OTHER


def _may_be_begun(work: Work, info: BucketInfo) -> bool:
    """Tell whether a bucket without tags can come from a creation that was cut off.

    The name was free when the intent was recorded, so it has to be younger than that.
    """
    begun = work.resource.get("requested_at")
    return (
        begun is not None
        and info.created_at >= begun - _SKEW_SECONDS
        and info.acl == PRIVATE
        and not info.versioning
    )


def _not_yet(action: str) -> CloudError:
    return CloudError(
        Kind.RETRY, action=action, code="Propagation", message="RAM has not noticed everything yet"
    )


def _claim_name(bucket: str) -> str:
    return f"alibroker-name-{digest(bucket, length=26)}"


def _document(bucket: str) -> str:
    allowed = {"Effect": "Allow", "Action": ["oss:GetBucketLocation"]}
    statement = {**allowed, "Resource": [f"acs:oss:*:*:{bucket}"]}
    return json.dumps({"Version": "1", "Statement": [statement]}, separators=(",", ":"))
