"""VPC 2016-04-28: a small default network, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rpc import Action, Product

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.parameters import Parameters
    from alibroker.sandbox.rpc import Answer, Call


def describe_vpcs(call: Call) -> Answer:
    """List the VPCs: there is one."""
    parameters, cloud = call.parameters, call.cloud
    wanted = parameters.get("VpcId")
    here = (
        parameters.text("RegionId") == cloud.region
        and (not wanted or cloud.owner.vpc in wanted.split(","))
        and parameters.get("VpcName", "sandbox") == "sandbox"
        and not parameters.flag("IsDefault")
        and not parameters.pairs()
    )
    found, paging = _page(parameters, [_vpc(cloud)] if here else [])
    return {"Vpcs": {"Vpc": found}, **paging}


def describe_vpc_attribute(call: Call) -> Answer:
    """Describe the VPC."""
    if call.parameters.text("VpcId") != call.cloud.owner.vpc:
        raise ApiError(404, "InvalidVpcID.NotFound", "Specified VPC does not exist.")
    return _vpc(call.cloud)


def describe_vswitches(call: Call) -> Answer:
    """List the vSwitches, one for each zone."""
    parameters, cloud = call.parameters, call.cloud
    if "RegionId" not in parameters and "VpcId" not in parameters:
        parameters.text("RegionId")
    here = (
        parameters.get("RegionId", cloud.region) == cloud.region
        and parameters.get("VpcId", cloud.owner.vpc) == cloud.owner.vpc
    )
    zone, name = parameters.get("ZoneId"), parameters.get("VSwitchId")
    rows = [
        row
        for row in _vswitches(cloud)
        if here and zone in ("", row["ZoneId"]) and name in ("", row["VSwitchId"])
    ]
    found, paging = _page(parameters, rows)
    return {"VSwitches": {"VSwitch": found}, **paging}


def describe_vswitch_attributes(call: Call) -> Answer:
    """Describe a vSwitch."""
    name = call.parameters.text("VSwitchId")
    for row in _vswitches(call.cloud):
        if row["VSwitchId"] == name:
            return row
    raise ApiError(404, "InvalidVswitchID.NotFound", "Specified virtual switch does not exist.")


def _vpc(cloud: Cloud) -> Answer:
    owner = cloud.owner
    return {
        "VpcId": owner.vpc,
        "VpcName": "sandbox",
        "CidrBlock": "192.168.0.0/16",
        "Status": "Available",
        "RegionId": cloud.region,
        "VRouterId": owner.vpc.replace("vpc-", "vrt-", 1),
        "IsDefault": False,
        "VSwitchIds": {"VSwitchId": list(owner.vswitches.values())},
        "SecondaryCidrBlocks": {"SecondaryCidrBlock": []},
        "UserCidrs": {"UserCidr": []},
        "CreationTime": timestamp(owner.created),
        "Description": "",
        "Tags": {"Tag": []},
    }


def _vswitches(cloud: Cloud) -> list[Answer]:
    owner = cloud.owner
    return [
        {
            "VSwitchId": name,
            "VSwitchName": f"sandbox-{zone}",
            "VpcId": owner.vpc,
            "ZoneId": zone,
            "CidrBlock": f"192.168.{number}.0/24",
            "AvailableIpAddressCount": 252,
            "Status": "Available",
            "IsDefault": False,
            "ResourceGroupId": "rg-acfmysandboxdef",
            "CreationTime": timestamp(owner.created),
            "Description": "",
            "Tags": {"Tag": []},
            "RouteTable": {"RouteTableId": "vtb-sandbox", "RouteTableType": "System"},
        }
        for number, (zone, name) in enumerate(owner.vswitches.items())
    ]


def _page(parameters: Parameters, rows: list[Answer]) -> tuple[list[Answer], Answer]:
    size = parameters.integer("PageSize", 10, 1, 50)
    number = parameters.integer("PageNumber", 1, 1, 1_000_000)
    paging = {"TotalCount": len(rows), "PageNumber": number, "PageSize": size}
    return rows[(number - 1) * size : number * size], paging


def _resource(cloud: Cloud, parameters: Parameters) -> str:
    kind = "vswitch" if "VSwitchId" in parameters else "vpc"
    name = parameters.get("VSwitchId") or parameters.get("VpcId", "*")
    return f"acs:vpc:{cloud.region}:{cloud.owner.id}:{kind}/{name}"


VPC = Product(
    name="vpc",
    host="vpc.aliyuncs.com",
    refusal="Forbidden.RAM",
    actions={
        "DescribeVpcs": Action(describe_vpcs, _resource),
        "DescribeVpcAttribute": Action(describe_vpc_attribute, _resource),
        "DescribeVSwitches": Action(describe_vswitches, _resource),
        "DescribeVSwitchAttributes": Action(describe_vswitch_attributes, _resource),
    },
)
