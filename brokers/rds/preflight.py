"""What the cloud says of every plan, of the network and of permissions before anything is bought.

Each plan is ordered with DryRun (CreateDBInstance), which has the cloud check permission, stock,
limits and balance, and buys nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import OWNER_TAG
from alibroker.brokers.alibabacloud.preflight import (
    Probe,
    clock,
    identity,
    look,
    patiently,
    permissions,
    refused,
)
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import NOTHING, Check, CheckState, Price, ServiceOffering
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.networks import Networks, PlacementError
from alibroker.brokers.rds.order import Order, order_fault, read_order
from alibroker.brokers.rds.product import RDS

_NOWHERE: Final = {"DBInstanceId": "rm-alibrokercheck"}
"""No instance has this id: they are longer."""
_ACCOUNT: Final = {**_NOWHERE, "AccountName": "alibroker_check"}
_DATABASE: Final = {**_NOWHERE, "DBName": "alibroker_check"}
_PASSWORD: Final = {"AccountPassword": "Alibroker_check_1"}
_ANOTHER: Final = (
    "overlay the plan with another class, storage or zone (ALIBROKER_CATALOG), or hide it"
)
FEATURES: Final[Mapping[str, Sequence[Probe]]] = {
    "delete instances": (
        Probe("DescribeDBInstanceAttribute", _NOWHERE),
        Probe("DeleteDBInstance", _NOWHERE),
    ),
    "change instances": (
        Probe(
            "ModifyDBInstanceSpec", {**_NOWHERE, "PayType": "Postpaid", "DBInstanceStorage": "20"}
        ),
        Probe("ModifySecurityIps", {**_NOWHERE, "SecurityIps": "127.0.0.1"}),
        Probe("ModifyDBInstanceDeletionProtection", {**_NOWHERE, "DeletionProtection": "false"}),
        Probe(
            "TagResources",
            {
                "ResourceType": "INSTANCE",
                "ResourceId.1": _NOWHERE["DBInstanceId"],
                "Tag.1.Key": OWNER_TAG,
                "Tag.1.Value": "alibroker",
            },
        ),
    ),
    "create accounts and databases": (
        Probe("DescribeAccounts", _NOWHERE),
        Probe("CreateAccount", _ACCOUNT, _PASSWORD),
        Probe("ResetAccountPassword", _ACCOUNT, _PASSWORD),
        Probe("CreateDatabase", {**_DATABASE, "CharacterSetName": "utf8"}),
        Probe("GrantAccountPrivilege", {**_ACCOUNT, **_DATABASE, "AccountPrivilege": "ReadWrite"}),
        Probe("DeleteAccount", _ACCOUNT),
        Probe("DescribeDatabases", _NOWHERE),
        Probe("DeleteDatabase", _DATABASE),
        Probe("RevokeAccountPrivilege", {**_ACCOUNT, **_DATABASE}, optional=True),
    ),
    "retire accounts": (
        Probe("ModifyAccountDescription", {**_ACCOUNT, "AccountDescription": "x"}, optional=True),
        Probe("LockAccount", _ACCOUNT, optional=True),
        Probe("UnlockAccount", _ACCOUNT, optional=True),
    ),
    "choose another zone after a refusal": (
        Probe(
            "DescribeAvailableClasses",
            {
                "ZoneId": "none",
                "Engine": "MySQL",
                "EngineVersion": "8.0",
                "DBInstanceStorageType": "cloud_essd",
                "Category": "Basic",
            },
            optional=True,
        ),
    ),
    "set backups": (
        Probe("DescribeBackupPolicy", _NOWHERE),
        Probe("ModifyBackupPolicy", {**_NOWHERE, "BackupRetentionPeriod": "7"}),
    ),
    "set security groups": (
        Probe("DescribeSecurityGroupConfiguration", _NOWHERE),
        Probe("ModifySecurityGroupConfiguration", {**_NOWHERE, "SecurityGroupId": "sg-none"}),
    ),
    "set up TLS": (
        Probe("DescribeDBInstanceSSL", _NOWHERE),
        Probe(
            "ModifyDBInstanceSSL",
            {**_NOWHERE, "ConnectionString": "none.rds.aliyuncs.com", "SSLEnabled": "0"},
        ),
    ),
    "take surveys": (
        Probe(
            "ListTagResources",
            {"ResourceType": "INSTANCE", "ResourceId.1": _NOWHERE["DBInstanceId"]},
        ),
    ),
    "encrypt data at rest": (
        Probe("DescribeDBInstanceTDE", _NOWHERE),
        Probe("ModifyDBInstanceTDE", {**_NOWHERE, "TDEStatus": "Enabled"}),
    ),
}
"""What docs/rds.md says that the broker may have to do to an instance."""


class _BoughtError(Exception):
    """A dry run has bought the instance that the text names."""


class RdsPreflight:
    """Looks at all that instances and their bindings will need."""

    def __init__(
        self,
        cloud: CloudClient,
        calls: RdsCalls,
        networks: Networks,
        settings: CloudSettings,
        offerings: Sequence[ServiceOffering],
    ) -> None:
        self._cloud = cloud
        self._calls = calls
        self._networks = networks
        self._settings = settings
        self._offerings = offerings

    def checks(self) -> Iterator[Check]:
        """Yield what was found; after credentials that are refused there is nothing to ask."""
        who = identity(self._cloud)
        yield who
        yield clock(self._cloud.endpoint or "https://sts.aliyuncs.com")
        if who.state is CheckState.FAILED:
            return
        yield self._region()
        yield self._network()
        yield look("RDS: may list instances", self._listed)
        yield from permissions(self._cloud, RDS, FEATURES)
        for offering in self._offerings:
            for plan in offering.plans:
                if not plan.hidden:
                    order = read_order(plan.settings, NOTHING, self._settings)
                    subject = f"RDS: plan {offering.name} {plan.name}"
                    try:
                        yield self._plan(subject, order)
                    except _BoughtError as error:
                        yield Check(
                            subject=subject,
                            state=CheckState.FAILED,
                            detail=f"the cloud has bought {error}, though only to check was asked",
                            remedy=f"delete {error} in the console, and report this as a defect",
                        )
                        return  # the other plans would be bought as well

    def price(self, plan_id: str) -> Price | None:
        """Return what an instance of the plan costs in an hour; None if the cloud does not say."""
        plans = {plan.id: plan for offering in self._offerings for plan in offering.plans}
        order = read_order(plans[plan_id].settings, NOTHING, self._settings)
        where = {"ZoneId": order.zone_id} if order.zone_id else {}
        try:
            answer = self._cloud.ask(
                RDS,
                "DescribePrice",
                CommodityCode="bards",
                Engine=order.engine,
                EngineVersion=order.engine_version,
                DBInstanceClass=order.instance_class,
                DBInstanceStorage=str(order.storage),
                DBInstanceStorageType=order.storage_type,
                PayType="Postpaid",
                Quantity="1",
                OrderType="BUY",
                **where,
            )
            found = answer.get("PriceInfo") or {}
            return Price(float(found["TradePrice"]), str(found.get("Currency") or ""))
        except (CloudError, KeyError, ValueError):
            return None

    def _region(self) -> Check:
        subject = "RDS: region"
        remedy = "set ALIBROKER_REGION to a region where RDS is sold"
        try:
            answer = self._cloud.ask(RDS, "DescribeRegions")
        except CloudError as error:
            if error.kind is Kind.DENIED:
                # Nothing but this check needs it; the plans' orders tell as well.
                return Check(subject=subject, state=CheckState.UNKNOWN, detail=str(error))
            return refused(subject, error, remedy)
        rows = (answer.get("Regions") or {}).get("RDSRegion") or []
        known = sorted({str(row.get("RegionId")) for row in rows})
        if self._settings.region in known:
            return Check(subject=subject, state=CheckState.OK, detail=self._settings.region)
        detail = f"{self._settings.region} is none of {', '.join(known)}"
        return Check(subject=subject, state=CheckState.FAILED, detail=detail, remedy=remedy)

    def _network(self) -> Check:
        """See where instances go by the settings alone."""
        subject = "RDS: network"
        settings = self._settings
        try:
            vpcs = {str(one.get("VpcId")): one for one in self._calls.vpcs()}
            if settings.vpc_id and settings.vpc_id not in vpcs:
                return Check(
                    subject=subject,
                    state=CheckState.FAILED,
                    detail=f"there is no VPC {settings.vpc_id} in {settings.region}",
                    remedy=f"set ALIBROKER_VPC_ID to one of {', '.join(sorted(vpcs)) or 'none'}",
                )
            usual = [name for name, one in vpcs.items() if one.get("IsDefault") or len(vpcs) == 1]
            vpc_id = settings.vpc_id or next(iter(usual), "")
            if settings.vswitch_id and not settings.vpc_id:
                # It says which VPC is meant.
                named = self._calls.vswitches(vswitch_id=settings.vswitch_id)
                vpc_id = str(named[0]["VpcId"]) if named else vpc_id
            vswitches = self._calls.vswitches(vpc_id) if vpc_id else []
        except CloudError as error:
            return refused(subject, error)
        if not vpc_id:
            return Check(
                subject=subject,
                state=CheckState.WARNING,
                detail=f"{len(vpcs)} VPCs, and none is the default one: RDS would choose",
                remedy="set ALIBROKER_VPC_ID",
            )
        return _vswitch(
            subject, settings, vpc_id, {str(one["VSwitchId"]): one for one in vswitches}
        )

    def _listed(self) -> str:
        found = self._calls.all_instances((OWNER_TAG, self._settings.name))
        if found:
            self._calls.tags_of([str(found[0]["DBInstanceId"])])
        return f"{len(found)} of this broker"

    def _plan(self, subject: str, order: Order) -> Check:
        fault = order_fault(order)
        if fault is not None:
            return Check(subject=subject, state=CheckState.FAILED, detail=fault, remedy=_ANOTHER)
        try:
            placed, answer = self._try_places(order)
        except PlacementError as error:
            return Check(
                subject=subject,
                state=CheckState.FAILED,
                detail=str(error),
                remedy="set ALIBROKER_ZONE_ID, or ALIBROKER_VSWITCH_ID, to what fits together",
            )
        except CloudError as error:
            if error.kind in {Kind.ACCOUNT, Kind.QUOTA, Kind.PLACE}:
                return refused(subject, error)
            return refused(subject, error, _ANOTHER)
        if answer.get("DBInstanceId"):
            raise _BoughtError(str(answer["DBInstanceId"]))
        if not answer.get("DryRunResult", True):
            return Check(
                subject=subject,
                state=CheckState.FAILED,
                detail="the cloud would refuse the order",
                remedy=_ANOTHER,
            )
        where = placed.zone_id or "a zone that RDS chooses"
        detail = f"{placed.instance_class}, {placed.storage} GB {placed.storage_type} in {where}"
        return Check(subject=subject, state=CheckState.OK, detail=detail)

    def _try_places(self, order: Order) -> tuple[Order, Item]:
        """Return the first place that does not refuse an order, and the answer there.

        Raises:
            CloudError: Every place refuses; what the last one says.
            PlacementError: There is no place.
        """
        *others, last = self._networks.places(order)
        for place in others:
            try:
                return place, self._try(place)
            except CloudError as error:
                if error.kind is not Kind.PLACE:
                    raise
        return last, self._try(last)

    def _try(self, place: Order) -> Item:
        allow_list = self._networks.allow_list(place)
        return patiently(
            lambda: self._calls.create_instance(
                place,
                client_token="",
                description="alibroker-check",
                allow_list=allow_list,
                tags={OWNER_TAG: self._settings.name},
                dry_run=True,
            )
        )


def _vswitch(
    subject: str,
    settings: CloudSettings,
    vpc_id: str,
    vswitches: Mapping[str, Mapping[str, object]],
) -> Check:
    known = ", ".join(f"{name} ({one.get('ZoneId')})" for name, one in sorted(vswitches.items()))
    fitting = {
        name: one
        for name, one in vswitches.items()
        if settings.vswitch_id in {"", name} and settings.zone_id in {"", one.get("ZoneId")}
    }
    if not fitting:
        wanted = [text for text in (settings.vswitch_id, settings.zone_id) if text]
        return Check(
            subject=subject,
            state=CheckState.FAILED,
            detail=f"VPC {vpc_id} has no vSwitch {' in '.join(wanted)}".rstrip(),
            remedy="set ALIBROKER_VSWITCH_ID and ALIBROKER_ZONE_ID to fit one of "
            f"{known or 'none: create one'}",
        )
    free = sum(int(str(one.get("AvailableIpAddressCount") or 0)) for one in fitting.values())
    detail = f"{vpc_id}, {', '.join(sorted(fitting))}: {free} free addresses"
    if not free:
        return Check(
            subject=subject,
            state=CheckState.FAILED,
            detail=detail,
            remedy="create a larger vSwitch and set ALIBROKER_VSWITCH_ID, or free addresses",
        )
    return Check(subject=subject, state=CheckState.OK, detail=detail)
