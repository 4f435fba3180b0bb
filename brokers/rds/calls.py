"""The calls to RDS that the steps are made of, with plain arguments and results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aliyunsdkrds.request.v20140815.CreateDBInstanceRequest import CreateDBInstanceRequest
from aliyunsdkrds.request.v20140815.DeleteDBInstanceRequest import DeleteDBInstanceRequest
from aliyunsdkrds.request.v20140815.DescribeAvailableClassesRequest import (
    DescribeAvailableClassesRequest,
)
from aliyunsdkrds.request.v20140815.DescribeDBInstanceAttributeRequest import (
    DescribeDBInstanceAttributeRequest,
)
from aliyunsdkrds.request.v20140815.DescribeDBInstancesRequest import DescribeDBInstancesRequest
from aliyunsdkrds.request.v20140815.ListTagResourcesRequest import ListTagResourcesRequest
from aliyunsdkrds.request.v20140815.ModifyDBInstanceDeletionProtectionRequest import (
    ModifyDBInstanceDeletionProtectionRequest,
)
from aliyunsdkrds.request.v20140815.ModifyDBInstanceSpecRequest import ModifyDBInstanceSpecRequest
from aliyunsdkrds.request.v20140815.ModifySecurityIpsRequest import ModifySecurityIpsRequest
from aliyunsdkrds.request.v20140815.TagResourcesRequest import TagResourcesRequest

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.infrastructure import VPC
from alibroker.brokers.rds.order import Order, category_of
from alibroker.brokers.rds.product import RDS

_PAGE_SIZE: Final = 100  # the most that DescribeDBInstances returns at once
_NETWORKS: Final = 50  # the most that DescribeVpcs and DescribeVSwitches return at once
MAX_PAGES: Final = 1000
"""Bounds every listing."""
TAGGED_AT_ONCE: Final = 50
"""The most instances that ListTagResources and TagResources take."""

Item = Mapping[str, Any]


class RdsCalls:
    """RDS 2014-08-15. Every method raises `CloudError`."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def create_instance(
        self,
        order: Order,
        *,
        client_token: str,
        description: str,
        allow_list: str,
        tags: Mapping[str, str],
        dry_run: bool = False,
    ) -> Item:
        """Buy an instance (CreateDBInstance); the same token buys it only once.

        With `dry_run` the cloud checks everything and buys nothing.
        """
        request = CreateDBInstanceRequest()
        if client_token:
            request.set_ClientToken(client_token)
        request.set_DBInstanceDescription(description)
        request.set_Tags([{"Key": key, "Value": value} for key, value in tags.items()])
        request.set_PayType("Postpaid")
        request.set_Engine(order.engine)
        request.set_EngineVersion(order.engine_version)
        request.set_DBInstanceClass(order.instance_class)
        request.set_Category(order.category)
        request.set_DBInstanceStorage(order.storage)
        request.set_DBInstanceStorageType(order.storage_type)
        request.set_DBInstanceNetType("Intranet")
        request.set_SecurityIPList(allow_list)
        if order.network_type:
            request.set_InstanceNetworkType(order.network_type)
        if order.vpc_id:
            request.set_VPCId(order.vpc_id)
        if order.vswitch_id:
            request.set_VSwitchId(order.vswitch_id)
        if order.zone_id:
            request.set_ZoneId(order.zone_id)
        if order.standby_zone:
            request.set_ZoneIdSlave1(order.standby_zone)
        if order.time_zone:
            request.set_DBTimeZone(order.time_zone)
        if order.deletion_protection:
            request.set_DeletionProtection("true")
        if dry_run:
            request.set_DryRun("true")
        return self._cloud.call(RDS, request)

    def classes(self, order: Order) -> frozenset[str]:
        """Return the classes that are on sale in an order's zone (DescribeAvailableClasses)."""
        request = DescribeAvailableClassesRequest()
        request.set_ZoneId(order.zone_id)
        request.set_InstanceChargeType("Postpaid")
        request.set_Engine(order.engine)
        request.set_EngineVersion(order.engine_version)
        request.set_DBInstanceStorageType(order.storage_type)
        request.set_Category(order.category)
        try:
            answer = self._cloud.call(RDS, request)
        except CloudError as error:
            if error.code == "InvalidCondition.NotFound":
                return frozenset()
            raise
        found = answer.get("DBInstanceClasses") or []
        return frozenset(str(one.get("DBInstanceClass")) for one in found)

    def instance(self, instance_id: str) -> Item | None:
        """Return the attributes of an instance, or None if it is not there.

        The cloud says so in three ways: with two error codes, and with an empty list.
        """
        request = DescribeDBInstanceAttributeRequest()
        request.set_DBInstanceId(instance_id)
        try:
            answer = self._cloud.call(RDS, request)
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return None
            raise
        items = items_of(answer, "Items", "DBInstanceAttribute")
        return items[0] if items else None

    def instances(self, tag: tuple[str, str], status: str = "") -> list[Item]:
        """Return all instances with a tag and, if given, a status (DescribeDBInstances)."""
        found: list[Item] = []
        for page in range(1, MAX_PAGES):
            request = DescribeDBInstancesRequest()
            request.set_Tags(json.dumps(dict([tag])))
            request.set_PageSize(_PAGE_SIZE)
            request.set_PageNumber(page)
            if status:
                request.set_DBInstanceStatus(status)
            items = items_of(self._cloud.call(RDS, request), "Items", "DBInstance")
            found += items
            if len(items) < _PAGE_SIZE:
                break
        return found

    def described(self, description: str) -> list[Item]:
        """Return the instances with a description (DescribeDBInstances, the first page).

        SearchKey finds ids and descriptions that hold the text, so it is compared here.
        """
        request = DescribeDBInstancesRequest()
        request.set_SearchKey(description)
        request.set_PageSize(_PAGE_SIZE)
        items = items_of(self._cloud.call(RDS, request), "Items", "DBInstance")
        return [one for one in items if one.get("DBInstanceDescription") == description]

    def all_instances(self, tag: tuple[str, str]) -> list[Item]:
        """Return all instances with a tag, 100 a call (DescribeDBInstances).

        Pages follow a token, not a number: what is deleted meanwhile makes none slip through.
        """
        found: list[Item] = []
        token = ""
        for _ in range(MAX_PAGES):
            request = DescribeDBInstancesRequest()
            request.set_Tags(json.dumps(dict([tag])))
            request.set_MaxResults(_PAGE_SIZE)
            if token:
                request.set_NextToken(token)
            answer = self._cloud.call(RDS, request)
            found += items_of(answer, "Items", "DBInstance")
            token = str(answer.get("NextToken") or "")
            if not token:
                break
        return found

    def is_listed(self, instance_id: str) -> bool:
        """Tell whether an instance is in the list of all (DescribeDBInstances)."""
        request = DescribeDBInstancesRequest()
        request.set_DBInstanceId(instance_id)
        try:
            items = items_of(self._cloud.call(RDS, request), "Items", "DBInstance")
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return False
            raise
        return any(item.get("DBInstanceId") == instance_id for item in items)

    def tags_of(self, instance_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the tags of up to 50 instances by id (ListTagResources)."""
        tags: dict[str, dict[str, str]] = {name: {} for name in instance_ids}
        token = ""
        for _ in range(MAX_PAGES):
            request = ListTagResourcesRequest()
            request.set_ResourceType("INSTANCE")
            request.set_ResourceIds(list(instance_ids))
            if token:
                request.set_NextToken(token)
            answer = self._cloud.call(RDS, request)
            for row in items_of(answer, "TagResources", "TagResource"):
                if row.get("ResourceId") in tags:
                    tags[row["ResourceId"]][row["TagKey"]] = str(row.get("TagValue") or "")
            token = str(answer.get("NextToken") or "")
            if not token:
                break
        return tags

    def tag(self, instance_id: str, tags: Mapping[str, str]) -> None:
        """Give an instance tags, in place of those with the same keys (TagResources)."""
        request = TagResourcesRequest()
        request.set_ResourceType("INSTANCE")
        request.set_ResourceIds([instance_id])
        request.set_Tags([{"Key": key, "Value": value} for key, value in tags.items()])
        self._cloud.call(RDS, request)

    def modify_spec(self, item: Item, order: Order, previous: Order) -> None:
        """Change class and storage (ModifyDBInstanceSpec); there is no client token.

        All of them are always said, as Terraform does: a new kind of disk and SQL Server need that.
        What is not to change is said as the instance has it, whatever its plan says by now.
        """
        request = ModifyDBInstanceSpecRequest()
        request.set_DBInstanceId(item["DBInstanceId"])
        request.set_PayType("Postpaid")
        request.set_EffectiveTime("Immediate")
        instance_class, category = str(item["DBInstanceClass"]), str(item.get("Category") or "")
        if order.instance_class != previous.instance_class:
            instance_class, category = order.instance_class, order.category
        request.set_DBInstanceClass(instance_class)
        category = category or category_of(instance_class)
        # CreateDBInstance writes it small.
        request.set_Category("Cluster" if category == "cluster" else category)
        grows = order.storage != previous.storage
        request.set_DBInstanceStorage(order.storage if grows else int(item["DBInstanceStorage"]))
        storage_type = str(item.get("DBInstanceStorageType") or "")
        if order.storage_type != previous.storage_type:
            storage_type = order.storage_type
        if storage_type:
            request.set_DBInstanceStorageType(storage_type)
        self._cloud.call(RDS, request)

    def set_allow_list(self, instance_id: str, allow_list: str) -> None:
        """Replace the default group of the allow list (ModifySecurityIps)."""
        request = ModifySecurityIpsRequest()
        request.set_DBInstanceId(instance_id)
        request.set_SecurityIps(allow_list)
        request.set_ModifyMode("Cover")
        self._cloud.call(RDS, request)

    def set_deletion_protection(self, instance_id: str, *, on: bool) -> None:
        """Protect an instance from deletion, or do not (ModifyDBInstanceDeletionProtection)."""
        request = ModifyDBInstanceDeletionProtectionRequest()
        request.set_DBInstanceId(instance_id)
        request.set_DeletionProtection("true" if on else "false")
        self._cloud.call(RDS, request)

    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance (DeleteDBInstance)."""
        request = DeleteDBInstanceRequest()
        request.set_DBInstanceId(instance_id)
        self._cloud.call(RDS, request)

    def vpcs(self) -> list[Item]:
        """Return the first VPCs of the region (VPC DescribeVpcs)."""
        answer = self._cloud.ask(VPC, "DescribeVpcs", PageSize=str(_NETWORKS))
        return items_of(answer, "Vpcs", "Vpc")

    def vswitches(self, vpc_id: str = "", *, vswitch_id: str = "") -> list[Item]:
        """Return the vSwitches of a VPC, or the one of an id (VPC DescribeVSwitches)."""
        only = {"VpcId": vpc_id, "VSwitchId": vswitch_id}
        found: list[Item] = []
        for page in range(1, MAX_PAGES):
            answer = self._cloud.ask(
                VPC,
                "DescribeVSwitches",
                **{name: value for name, value in only.items() if value},
                PageSize=str(_NETWORKS),
                PageNumber=str(page),
            )
            items = items_of(answer, "VSwitches", "VSwitch")
            found += items
            if len(items) < _NETWORKS:
                break
        return found

    def vpc_blocks(self, vpc_id: str) -> list[str]:
        """Return the address ranges of a VPC (VPC DescribeVpcAttribute)."""
        answer = self._cloud.ask(VPC, "DescribeVpcAttribute", VpcId=vpc_id)
        block = answer.get("CidrBlock")
        more = (answer.get("SecondaryCidrBlocks") or {}).get("SecondaryCidrBlock") or []
        return [block, *more] if block else []


def items_of(answer: Item, outer: str, inner: str) -> list[Item]:
    """Return the list in an answer, which the cloud leaves out where it is empty."""
    return (answer.get(outer) or {}).get(inner) or []
