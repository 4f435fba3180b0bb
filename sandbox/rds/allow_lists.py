"""An instance's allow list of addresses, in named groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import digits
from alibroker.sandbox.errors import ApiError, invalid
from alibroker.sandbox.rds import rules
from alibroker.sandbox.rds.documents import IpArray
from alibroker.sandbox.rds.lookup import demand_running, find, find_listed

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call

GROUP_LIMIT = 200
_NAME = re.compile(r"[a-z](?:[a-z0-9_]{0,30}[a-z0-9])")


def modify_security_ips(call: Call) -> Answer:
    """Replace, extend or cut a group; a group that does not exist is created."""
    instance = find(call)
    parameters = call.parameters
    ips = rules.read_ips(parameters.text("SecurityIps"))
    name = parameters.get("DBInstanceIPArrayName", "default")
    name = "default" if name.lower() == "default" else name
    if not _NAME.fullmatch(name):
        raise invalid("DBInstanceIPArrayName", f"must match {_NAME.pattern}")
    mode = parameters.choice("ModifyMode", ("Cover", "Append", "Delete"), "Cover")
    demand_running(instance, call.now)
    group = instance.ip_arrays.get(name)
    if group is None and len(instance.ip_arrays) >= GROUP_LIMIT:
        raise ApiError(
            400,
            "InvalidSecurityIPListGroup.QuotaExceeded",
            f"The limit of {GROUP_LIMIT} groups is reached.",
        )
    before = group.ips if group else ()
    if mode == "Append":
        if set(before) & set(ips):
            raise ApiError(
                400, "InvalidSecurityIPList.Duplicate", "The group has some of the entries already."
            )
        after = (*before, *ips)
    elif mode == "Delete":
        after = tuple(ip for ip in before if ip not in ips)
        if not after:
            raise ApiError(
                400, "InvalidSecurityIPList.Format", "At least one entry must stay in the group."
            )
    else:
        after = ips
    others = sum(len(other.ips) for other in instance.ip_arrays.values() if other.name != name)
    if others + len(after) > rules.IP_LIMIT:
        raise ApiError(
            400,
            "InvalidSecurityIPListLength.Malformed",
            f"The instance would have more than {rules.IP_LIMIT} entries.",
        )
    groups = {**instance.ip_arrays, name: IpArray(name, after)}
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, ip_arrays=groups))
    return {"TaskId": digits(9)}


def describe_db_instance_ip_array_list(call: Call) -> Answer:
    """List an instance's groups."""
    instance = find_listed(call)
    groups = [
        {
            "DBInstanceIPArrayName": group.name,
            "DBInstanceIPArrayAttribute": group.attribute,
            "SecurityIPList": ",".join(group.ips),
            "SecurityIPType": "IPv4",
        }
        for group in instance.ip_arrays.values()
    ]
    return {"Items": {"DBInstanceIPArray": groups}}
