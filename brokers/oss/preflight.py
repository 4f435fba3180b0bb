"""What OSS and RAM say of endpoints, limits and permissions before anything is created.

Whether buckets, users and policies may be created is told by nothing harmless: OSS knows no dry
run, and a bucket's existence comes before permissions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError
from alibroker.brokers.alibabacloud.infrastructure import RAM, STS
from alibroker.brokers.alibabacloud.preflight import (
    Probe,
    clock,
    identity,
    look,
    patiently,
    permissions,
    reachable,
    refused,
)
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Check, CheckState
from alibroker.brokers.oss.buckets import Buckets
from alibroker.brokers.oss.endpoints import OSS_ENDPOINT
from alibroker.brokers.oss.storage import list_buckets
from alibroker.brokers.oss.users import RamCalls

_USER: Final = {"UserName": "alibroker-check-nobody"}
_POLICY: Final = {"PolicyName": "alibroker-check-nothing"}
_TYPED: Final = {**_POLICY, "PolicyType": "Custom"}
FEATURES: Final[Mapping[str, Sequence[Probe]]] = {
    "give users keys": (
        Probe("CreateAccessKey", _USER),
        Probe("ListAccessKeys", _USER),
        Probe("DeleteAccessKey", {**_USER, "UserAccessKeyId": "LTAIalibrokercheck"}),
        Probe("DeleteUser", _USER),
    ),
    "take from users what others gave them": (
        Probe("ListPoliciesForUser", _USER, optional=True),
        Probe("ListGroupsForUser", _USER, optional=True),
        Probe("RemoveUserFromGroup", {**_USER, "GroupName": "alibroker-check"}, optional=True),
        Probe("DeleteLoginProfile", _USER, optional=True),
        Probe("UnbindMFADevice", _USER, optional=True),
    ),
    "attach policies": (
        Probe("AttachPolicyToUser", {**_USER, **_TYPED}),
        Probe("DetachPolicyFromUser", {**_USER, **_TYPED}),
        Probe("ListEntitiesForPolicy", _TYPED),
        Probe("GetPolicy", _TYPED),
        Probe("DeletePolicy", _POLICY),
    ),
}
"""What docs/oss.md says that the broker may have to do, as far as it can be tried."""
_BUCKETS: Final = 100
_USERS: Final = 5_000
_POLICIES: Final = 1_500
_NEAR: Final = 0.9


class OssPreflight:
    """Looks at all that buckets and their bindings will need."""

    def __init__(
        self,
        cloud: CloudClient,
        buckets: Buckets,
        ram: RamCalls,
        settings: CloudSettings,
        role: str,
    ) -> None:
        """Take also the ARN of the role that temporary keys are sessions of, empty for none."""
        self._cloud = cloud
        self._buckets = buckets
        self._ram = ram
        self._settings = settings
        self._role = role

    def checks(self) -> Iterator[Check]:
        """Yield what was found; after credentials that are refused there is nothing to ask."""
        who = identity(self._cloud)
        yield who
        yield clock(self._cloud.endpoint or "https://sts.aliyuncs.com")
        if who.state is CheckState.FAILED:
            return
        yield from self._endpoints()
        yield self._counted("OSS: buckets of the region", self._count, _BUCKETS)
        yield self._counted("RAM: users", self._users, _USERS)
        yield self._counted("RAM: policies", self._policies, _POLICIES)
        yield from permissions(self._cloud, RAM, FEATURES)
        yield Check(
            subject="OSS: may create buckets, users and policies",
            state=CheckState.UNKNOWN,
            detail="oss:PutBucket, ram:CreateUser, ram:CreatePolicy: only the first ones tell",
        )
        if self._role:
            yield self._of_role()

    def _of_role(self) -> Check:
        """Tell whether temporary keys can be given; in another account they would open nothing."""
        subject = "OSS: role of temporary keys"
        try:
            account = patiently(self._cloud.account)
        except CloudError as error:
            return refused(subject, error)
        remedy = f"set ALIBROKER_OSS_ROLE to a role of account {account} that it may assume"
        if account not in self._role.split(":"):
            return Check(
                subject=subject,
                state=CheckState.FAILED,
                detail=f"{self._role} is a role of another account than {account}, in which the "
                "buckets are",
                remedy=remedy,
            )
        return look(subject, self._assumed, remedy)

    def _endpoints(self) -> Iterator[Check]:
        region = self._settings.region
        inside = (
            f"set {OSS_ENDPOINT} to public, or run the broker in {region}: internal endpoints "
            "are reached from inside the region alone"
        )
        endpoints = self._buckets.endpoints
        yield reachable("OSS: endpoint", endpoints.of_buckets(region), inside)
        contents = endpoints.of_contents("bucket", region)
        is_public = not contents.is_domain and contents.url != endpoints.internal(region)
        if is_public and region.startswith("cn-") and region != "cn-hongkong":
            yield Check(
                subject="OSS: endpoint for what is in buckets",
                state=CheckState.WARNING,
                detail=f"{contents.url} serves no objects of accounts that activated OSS after "
                "2025-03-20",
                remedy=f"for such an account set {OSS_ENDPOINT} to internal, if the broker runs in "
                f"{region}, or to a domain of the bucket",
            )

    def _counted(self, subject: str, count: Callable[[], int], limit: int) -> Check:
        try:
            found = count()
        except CloudError as error:
            return refused(subject, error)
        detail = f"{found} of {limit} that an account usually has room for"
        if found < _NEAR * limit:
            return Check(subject=subject, state=CheckState.OK, detail=detail)
        return Check(
            subject=subject,
            state=CheckState.WARNING,
            detail=detail,
            remedy="have the limit raised in the console's quota center, or clean up",
        )

    def _count(self) -> int:
        region = self._settings.region
        return sum(one.region == region for one in list_buckets(self._buckets, region))

    def _users(self) -> int:
        return sum(1 for _ in self._ram.users())

    def _policies(self) -> int:
        return len(self._ram.policies_with({}))

    def _assumed(self) -> str:
        self._cloud.ask(
            STS,
            "AssumeRole",
            RoleArn=self._role,
            RoleSessionName="alibroker-check",
            DurationSeconds="900",
        )
        return self._role
