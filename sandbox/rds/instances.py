"""Describing, changing and deleting instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.errors import ApiError, invalid, missing
from alibroker.sandbox.rds import catalog, rules
from alibroker.sandbox.rds.creation import check_storage, check_storage_type
from alibroker.sandbox.rds.documents import Change, Instance
from alibroker.sandbox.rds.lookup import demand_running, find, find_listed, live

if TYPE_CHECKING:
    from collections.abc import Callable

    from alibroker.sandbox.rpc import Answer, Call

DELETING_SECONDS = (20.0, 60.0)
CHANGING_SECONDS = (120.0, 300.0)
_EDITIONS = ("Basic", "HighAvailability", "AlwaysOn", "Cluster", "Finance")
_TASKS = {
    "DBInstanceClassChanging": "ModifyDBInstanceSpec",
    "SSL_MODIFYING": "ModifyDBInstanceSSL",
    "TDE_MODIFYING": "ModifyDBInstanceTDE",
}
_FILTERS: dict[str, Callable[[Instance], str]] = {
    "DBInstanceId": lambda found: found.id,
    "Engine": lambda found: found.engine,
    "EngineVersion": lambda found: found.version,
    "DBInstanceClass": lambda found: found.class_code,
    "PayType": lambda found: found.pay_type,
    "VpcId": lambda found: found.vpc,
    "VSwitchId": lambda found: found.vswitch,
    "ZoneId": lambda found: found.zone,
    "ConnectionString": lambda found: found.connection_string,
    "Category": lambda found: found.category,
    "InstanceNetworkType": lambda _: "VPC",
    "DBInstanceType": lambda _: "Primary",
}


def describe_db_instances(call: Call) -> Answer:
    """List instances, filtered and by page."""
    parameters = call.parameters
    region = parameters.text("RegionId")
    tags = rules.read_tags_json(parameters)
    status = parameters.get("DBInstanceStatus")
    search = parameters.get("SearchKey")
    wanted = [(_FILTERS[name], parameters.get(name)) for name in _FILTERS if name in parameters]
    found = [
        instance
        for instance in live(call.cloud, call.now)
        if instance.region == region
        and instance.listed_at <= call.now
        and all(read(instance) == value for read, value in wanted)
        and (not status or instance.status(call.now) == status)
        and (not search or search in instance.id or search in instance.description)
        and (not tags or any(instance.tags.get(key) == value for key, value in tags.items()))
    ]
    if "MaxResults" in parameters or "NextToken" in parameters:
        return _by_token(call, found)
    size = parameters.integer("PageSize", 30, 1, 100, "InvalidPageSize.Malformed")
    number = parameters.integer("PageNumber", 1, 1, 1_000_000, "InvalidPageNumber.Malformed")
    page = found[(number - 1) * size : number * size]
    return {
        "Items": {"DBInstance": [_listed(call, instance) for instance in page]},
        "PageNumber": number,
        "PageRecordCount": len(page),
        "TotalRecordCount": len(found),
    }


def _by_token(call: Call, found: list[Instance]) -> Answer:
    size = call.parameters.integer("MaxResults", 30, 1, 100, "InvalidMaxResults.Malformed")
    after = call.parameters.get("NextToken")
    if after:
        # The token is the last id of the page before, so that deletions do not shift the pages.
        created = {instance.id: instance.created for instance in live(call.cloud, call.now)}
        name, _, moment = after.partition("@")
        try:
            since = created.get(name, float(moment))
        except ValueError:
            raise invalid("NextToken") from None
        found = [instance for instance in found if instance.created > since]
    page = found[:size]
    answer: Answer = {
        "Items": {"DBInstance": [_listed(call, instance) for instance in page]},
        "PageNumber": 1,
        "PageRecordCount": len(page),
        "TotalRecordCount": len(page),
    }
    if len(found) > size:
        answer["NextToken"] = f"{page[-1].id}@{page[-1].created!r}"
    return answer


def describe_db_instance_attribute(call: Call) -> Answer:
    """Describe one instance fully."""
    if call.cloud.settings.not_found_form == "empty":
        try:
            instance = find_listed(call)
        except ApiError as error:
            if error.code == "MissingParameter":
                raise
            return {"Items": {"DBInstanceAttribute": []}}
    else:
        instance = find_listed(call)
    found = catalog.CLASSES[instance.class_code]
    settings = call.cloud.settings
    description = {
        **_common(call, instance),
        "CreationTime": timestamp(instance.created),
        "DBInstanceStorage": instance.storage,
        "DBInstanceCPU": str(found.cores),
        "DBInstanceMemory": found.memory * 1024,
        "DBInstanceDiskUsed": str(3 * 1024**3),
        "Port": str(instance.port),
        "Category": instance.category,
        "MaxConnections": found.connections,
        "MaxIOPS": 1800 + 50 * instance.storage,
        "AccountMaxQuantity": settings.accounts_per_instance,
        "DBMaxQuantity": settings.databases_per_instance,
        "MaintainTime": "18:00Z-22:00Z",
        **({"TimeZone": instance.time_zone} if instance.time_zone else {}),
        "SecurityIPMode": "normal",
        "SuperPermissionMode": "",
        "SlaveZones": {
            "SlaveZone": [{"ZoneId": instance.slave_zone}] if instance.slave_zone else []
        },
    }
    return {"Items": {"DBInstanceAttribute": [description]}}


def describe_db_instance_net_info(call: Call) -> Answer:
    """Describe an instance's endpoints."""
    instance = find_listed(call)
    groups = [
        {"SecurityIPGroupName": group.name, "SecurityIPs": ",".join(group.ips)}
        for group in instance.ip_arrays.values()
    ]
    endpoint = {
        "ConnectionString": instance.connection_string,
        "ConnectionStringType": "Normal",
        "IPAddress": "192.168.0.10",
        "IPType": "Private",
        "Port": str(instance.port),
        "VPCId": instance.vpc,
        "VSwitchId": instance.vswitch,
        "SecurityIPGroups": {"securityIPGroup": groups},
        "Upgradeable": "Disabled",
        "ExpiredTime": "",
        "DBInstanceWeights": {"DBInstanceWeight": []},
    }
    return {
        "DBInstanceNetInfos": {"DBInstanceNetInfo": [endpoint]},
        "InstanceNetworkType": "VPC",
        "SecurityIPMode": "normal",
    }


def delete_db_instance(call: Call) -> Answer:
    """Delete a running, unprotected pay-as-you-go instance."""
    instance = find(call)
    policy = call.parameters.get("ReleasedKeepPolicy", "None")
    if policy not in ("None", "Lastest", "All"):
        raise ApiError(400, "InvalidReleasedKeepPolicy.Format", "ReleasedKeepPolicy is not valid.")
    if instance.deletion_protection:
        raise ApiError(
            400,
            "OperationDenied.DeletionProtection",
            "The operation is denied: the instance is protected against deletion.",
        )
    demand_running(instance, call.now)
    if instance.pay_type != "Postpaid":
        raise ApiError(
            400,
            "OperationDenied.DBInstanceStatus",
            "A subscription instance cannot be deleted before it expires.",
        )
    gone = call.cloud.later(call.now, *DELETING_SECONDS)
    call.cloud.instances.put(
        instance.id, msgspec.structs.replace(instance, deleted_at=call.now, gone_at=gone)
    )
    return {"RegionId": instance.region}


def modify_db_instance_spec(call: Call) -> Answer:
    """Change an instance's class or storage; it takes effect after a while."""
    instance = find(call)
    parameters = call.parameters
    parameters.choice("PayType", ("Postpaid", "Prepaid"), "Postpaid")
    parameters.choice("EffectiveTime", ("Immediate", "MaintainTime", "ScheduleTime"), "Immediate")
    if "Category" in parameters:
        parameters.choice(
            "Category", ("Basic", "HighAvailability", "AlwaysOn", "Cluster", "Finance")
        )
    if "DBInstanceClass" not in parameters and "DBInstanceStorage" not in parameters:
        raise missing("DBInstanceClass")
    if "Category" in parameters:
        parameters.choice("Category", _EDITIONS)
    elif instance.engine == "SQLServer":
        raise missing("Category")
    if parameters.get("DBInstanceStorageType", instance.storage_type) != instance.storage_type:
        for name in ("DBInstanceClass", "DBInstanceStorage"):
            parameters.text(name)
    demand_running(instance, call.now)
    found = catalog.CLASSES.get(parameters.get("DBInstanceClass", instance.class_code))
    if found is None or found.engine != instance.engine:
        raise ApiError(
            400, "InvalidDBInstanceClass.NotFound", "The specified instance class is not found."
        )
    storage_type = check_storage_type(parameters, found, instance.storage_type)
    storage = instance.storage
    if "DBInstanceStorage" in parameters:
        storage = check_storage(parameters, storage_type)
    if storage < instance.storage:
        raise ApiError(400, "NotSupportReduceDiskSize", "The storage of an instance can only grow.")
    if {instance.zone, found.code, f"{instance.zone}/{found.code}"} & set(
        call.cloud.settings.out_of_stock
    ):
        raise ApiError(404, "InsufficientResourceCapacity", "There is insufficient capacity.")
    if (found.code, storage, storage_type) == (
        instance.class_code,
        instance.storage,
        instance.storage_type,
    ):
        raise ApiError(
            400, "InvalidOrderTask.NotSupport", "The order changes nothing about the instance."
        )
    change = Change(
        class_code=found.code,
        storage=storage,
        storage_type=storage_type,
        begun=call.now,
        done_at=call.cloud.later(call.now, *CHANGING_SECONDS),
        tls=instance.tls,
        tde=instance.tde,
    )
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, change=change))
    return {"DBInstanceId": instance.id, "OrderId": int(instance.order) + 1}


def modify_db_instance_description(call: Call) -> Answer:
    """Change an instance's description."""
    instance = find(call)
    text = call.parameters.text("DBInstanceDescription")
    rules.check_description(text, 2, 64)
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, description=text))
    return {}


def modify_db_instance_deletion_protection(call: Call) -> Answer:
    """Switch the protection against deletion."""
    instance = find(call)
    protected = call.parameters.flag("DeletionProtection", default=None)
    if instance.pay_type != "Postpaid":
        raise invalid("DeletionProtection", "is for pay-as-you-go instances only")
    call.cloud.instances.put(
        instance.id, msgspec.structs.replace(instance, deletion_protection=protected)
    )
    return {}


def describe_tasks(call: Call) -> Answer:
    """List what is in progress on an instance."""
    instance = find(call)
    running: list[tuple[str, float, float]] = []
    if call.now < instance.ready_at:
        running.append(("CreateDBInstance", instance.created, instance.ready_at))
    if instance.deleted_at:
        running.append(("DeleteDBInstance", instance.deleted_at, instance.gone_at))
    if instance.change:
        running.append(
            (_TASKS[instance.change.status], instance.change.begun, instance.change.done_at)
        )
    action = call.parameters.get("TaskAction")
    items = [
        {
            "TaskId": str(int(begun)),
            "TaskAction": name,
            "Status": "Running",
            "BeginTime": timestamp(begun),
            "ExpectedFinishTime": timestamp(end),
            "FinishTime": "",
            "Progress": f"{100 * (call.now - begun) / max(end - begun, 1e-9):.0f}",
            "DBName": "",
        }
        for name, begun, end in running
        if not action or name == action
    ]
    return {
        "Items": {"TaskProgressInfo": items},
        "PageNumber": 1,
        "PageRecordCount": len(items),
        "TotalRecordCount": len(items),
    }


def _common(call: Call, instance: Instance) -> Answer:
    return {
        "DBInstanceId": instance.id,
        "DBInstanceDescription": instance.description,
        "RegionId": instance.region,
        "ZoneId": instance.zone,
        "VpcId": instance.vpc,
        "VSwitchId": instance.vswitch,
        "Engine": instance.engine,
        "EngineVersion": instance.version,
        "DBInstanceClass": instance.class_code,
        "DBInstanceStatus": instance.status(call.now),
        "DBInstanceType": "Primary",
        "DBInstanceNetType": "Intranet",
        "InstanceNetworkType": "VPC",
        "ConnectionMode": "Standard",
        "ConnectionString": instance.connection_string,
        "PayType": instance.pay_type,
        "LockMode": "Unlock",
        "LockReason": "",
        "DBInstanceStorageType": instance.storage_type,
        "ExpireTime": "",
        "DeletionProtection": instance.deletion_protection,
        "ResourceGroupId": "rg-acfmysandboxdef",
        "ReadOnlyDBInstanceIds": {"ReadOnlyDBInstanceId": []},
    }


def _listed(call: Call, instance: Instance) -> Answer:
    answer = {
        **_common(call, instance),
        "CreateTime": timestamp(instance.created),
        "MutriORsignle": False,
    }
    if call.parameters.get("InstanceLevel") == "1":
        found = catalog.CLASSES[instance.class_code]
        answer |= {
            "Category": instance.category,
            "DBInstanceCPU": str(found.cores),
            "DBInstanceMemory": found.memory * 1024,
        }
    return answer
