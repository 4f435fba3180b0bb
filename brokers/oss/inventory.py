"""What of ours exists in the cloud: buckets, the users of bindings, and the policies they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import (
    INSTANCE_TAG,
    KEPT,
    KEPT_TAG,
    OWNER_TAG,
    marked,
    tag_text,
    tag_value,
)
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import NOTHING, Found, Json, TryAgainError
from alibroker.brokers.oss.access import Access
from alibroker.brokers.oss.bindings import BOUND
from alibroker.brokers.oss.buckets import Buckets
from alibroker.brokers.oss.configuration import OWN_NAME, PREFIX, parameters_of
from alibroker.brokers.oss.instances import CREATED, address
from alibroker.brokers.oss.marks import Mark, of_others, read_mark
from alibroker.brokers.oss.names import CHOSEN
from alibroker.brokers.oss.storage import BucketCalls, ListedBucket, list_buckets
from alibroker.brokers.oss.users import Attachment, Policy, RamCalls

BUCKET: Final = "OSS bucket"
USER: Final = "RAM user"
POLICY: Final = "RAM policy"


class OssInventory:
    """Asks the cloud what there is, by tags and names, and never the records."""

    def __init__(
        self,
        buckets: Buckets,
        ram: RamCalls,
        settings: CloudSettings,
        plans: Mapping[str, Json],
    ) -> None:
        """Take also the settings of all plans by the plan's id."""
        self._buckets = buckets
        self._ram = ram
        self._region = settings.region
        self._owner = settings.name
        self._plans = plans

    def inventory(self) -> list[Found]:
        """Return all that is ours.

        Raises:
            TryAgainError: A call did not end well.
        """
        try:
            found = list(self._found_buckets())
            of_instance = {one.instance_id: one for one in found if one.instance_id}
            policies = self._ram.policies_with({OWNER_TAG: tag_value(self._owner)})
            attached = {one.name: self._ram.attachments(one.name) for one in policies}
            found += (_found_policy(one, attached[one.name]) for one in policies)
            found += self._found_users(policies, attached, of_instance)
        except CloudError as error:
            raise TryAgainError(str(error), after=error.after) from error
        return found

    def exists(self, resource: Json, *, of_binding: bool) -> bool:
        """Tell whether our account has a bucket, or a user.

        Raises:
            TryAgainError: A call did not end well.
        """
        try:
            if of_binding:
                return any(user.name == resource["user"] for user in self._ram.users())
            name = resource["bucket"]
            listed = list_buckets(self._buckets, self._region, prefix=name)
            return any(bucket.name == name for bucket in listed)
        except CloudError as error:
            raise TryAgainError(str(error), after=error.after) from error

    def keep(self, found: Found) -> None:
        """Tag a bucket as one that is to stay.

        Raises:
            TryAgainError: A call did not end well, or it is no bucket: only those can be kept.
        """
        if found.kind != BUCKET:
            raise TryAgainError(f"a {found.kind} cannot be kept: only buckets can")
        bucket = BucketCalls(self._buckets, found.name, found.resource["region"])
        try:
            bucket.set_tags(bucket.tags() | {KEPT_TAG: KEPT})
        except CloudError as error:
            raise TryAgainError(str(error), after=error.after) from error

    def _found_buckets(self) -> Iterator[Found]:
        tag = (OWNER_TAG, tag_value(self._owner))
        listed = {one.name: one for one in list_buckets(self._buckets, self._region, tag=tag)}
        # One whose creation was cut off before it had tags says by its name that it is ours.
        for one in list_buckets(self._buckets, self._region, prefix=f"{PREFIX}-"):
            if OWN_NAME.fullmatch(one.name):
                listed.setdefault(one.name, one)
        for bucket in listed.values():
            if found := self._found_bucket(bucket):
                yield found

    def _found_bucket(self, listed: ListedBucket) -> Found | None:
        bucket = BucketCalls(self._buckets, listed.name, listed.region)
        try:
            tags = bucket.tags()
            if tags.get(OWNER_TAG, tag_value(self._owner)) != tag_value(self._owner):
                return None
            info = bucket.info()
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return None  # deleted since it was listed
            raise
        found = marked(BUCKET, listed.name, tags)
        settings = self._plans.get(found.plan_id, NOTHING)
        return msgspec.structs.replace(
            found,
            created_at=listed.created_at,
            resource={
                **address(listed.name, listed.region),
                **({CREATED: True} if OWNER_TAG in tags else {}),
                **({} if OWN_NAME.fullmatch(listed.name) else {CHOSEN: True}),
                "acl": info.acl,
                "versioning": info.versioning,
                "encryption": info.encryption,
            },
            parameters=parameters_of(listed, info, tags, settings, region=self._region),
        )

    def _found_users(
        self,
        policies: Iterable[Policy],
        attached: Mapping[str, Iterable[Attachment]],
        instances: Mapping[str, Found],
    ) -> Iterator[Found]:
        policy_of = {one.name: policy for policy in policies for one in attached[policy.name]}
        access_by = {
            name: Access.granted(self._owner, name, self._ram.policy_document(name))
            for name in {policy.name for policy in policy_of.values()}
        }
        for user in self._ram.users():
            policy = policy_of.get(user.name)
            instance_id = tag_text(policy.tags.get(INSTANCE_TAG, "")) if policy else ""
            mark = read_mark(self._owner, user.name, user.comments, instance_id)
            if mark is None:
                continue
            access = access_by[policy.name] if policy else None
            if policy and not access:
                # Its rights are not those that we gave: without ids it is not bound anew.
                mark = Mark()
            instance = instances.get(mark.instance_id, Found(kind=BUCKET, name=""))
            yield msgspec.structs.replace(
                instance,
                kind=USER,
                name=user.name,
                instance_id=mark.instance_id,
                # Its name stands for a binding that is not known: it is no part of an instance.
                binding_id=mark.binding_id or user.name,
                created_at=user.created_at,
                kept=False,
                resource={
                    "user": user.name,
                    BOUND: True,
                    **({"policy": policy.name} if policy else {}),
                    **({"access": access.level.value, "prefix": access.prefix} if access else {}),
                },
                parameters=access.parameters() if access else NOTHING,
            )


def _found_policy(policy: Policy, attached: Iterable[Attachment]) -> Found:
    others = of_others(attached)
    return msgspec.structs.replace(
        marked(POLICY, policy.name, policy.tags),
        main=False,
        created_at=policy.created_at,
        held=f"attached to {others}" if others else "",
        resource={"policy": policy.name},
    )
