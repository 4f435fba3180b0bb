"""CreateDBInstance: the checks, the ClientToken and the new instance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alibroker.sandbox.cloud import digits, letters
from alibroker.sandbox.errors import ApiError, invalid
from alibroker.sandbox.rds import catalog, rules
from alibroker.sandbox.rds.documents import Instance, IpArray, Token
from alibroker.sandbox.rds.lookup import live

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.parameters import Parameters
    from alibroker.sandbox.rds.catalog import InstanceClass
    from alibroker.sandbox.rpc import Answer, Call

CREATING_SECONDS = (150.0, 280.0)
SETTLING_SECONDS = (5.0, 60.0)
LIST_LAG_SECONDS = (0.5, 2.0)
_TOKEN = re.compile(r"[\x21-\x7e]{1,64}")
_WITH_TIME_ZONES = ("MySQL", "PostgreSQL")
_MANDATORY = (
    "RegionId",
    "Engine",
    "EngineVersion",
    "DBInstanceClass",
    "DBInstanceStorage",
    "DBInstanceNetType",
    "SecurityIPList",
    "PayType",
)


def create_db_instance(call: Call) -> Answer:
    """Create an instance, or repeat the answer that its ClientToken got before."""
    parameters = call.parameters
    token = parameters.get("ClientToken")
    if token and not _TOKEN.fullmatch(token):
        raise invalid("ClientToken", "must have 1 to 64 ASCII characters")
    remembered = call.cloud.tokens.get(f"CreateDBInstance:{token}") if token else None
    if remembered and remembered.expires > call.now:
        if remembered.fingerprint != parameters.fingerprint():
            raise ApiError(
                400,
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return remembered.answer
    instance = _plan(call)
    if parameters.flag("DryRun"):
        return {"DryRun": True, "DryRunResult": True}
    call.cloud.instances.put(instance.id, instance)
    answer: dict[str, str | bool] = {
        "DBInstanceId": instance.id,
        "OrderId": instance.order,
        "ConnectionString": instance.connection_string,
        "Port": str(instance.port),
    }
    if parameters.pairs():
        answer["TagResult"] = call.cloud.settings.orders_tagged
    if token:
        _forget_tokens(call)
        expires = call.now + call.cloud.settings.client_token_seconds
        call.cloud.tokens.put(
            f"CreateDBInstance:{token}", Token(parameters.fingerprint(), answer, expires)
        )
    return answer


def _forget_tokens(call: Call) -> None:
    # They stand in order of creation, so the expired ones come first.
    tokens = call.cloud.tokens
    while tokens and tokens[oldest := next(iter(tokens))].expires <= call.now:
        tokens.remove(oldest)


def _plan(call: Call) -> Instance:
    parameters, cloud = call.parameters, call.cloud
    for name in _MANDATORY:
        parameters.text(name)
    if parameters.text("RegionId") != cloud.region:
        raise ApiError(404, "InvalidRegionId.NotFound", "The specified region does not exist.")
    engine, version = _engine(parameters)
    parameters.choice("DBInstanceNetType", ("Intranet", "Internet"))
    parameters.integer("Amount", 1, 1, 1)
    pay_type = parameters.choice("PayType", ("Postpaid", "Prepaid"))
    found = _instance_class(parameters, engine)
    storage_type = check_storage_type(parameters, found, catalog.default_storage_type(found))
    storage = check_storage(parameters, storage_type)
    zone, vswitch = _network(cloud, parameters)
    _check_sale(cloud, zone, found)
    category = _category(parameters, found)
    ips = rules.read_ips(parameters.text("SecurityIPList"))
    description = parameters.get("DBInstanceDescription")
    if description:
        rules.check_description(description, 2, 255)
    tags = rules.check_tags(parameters.pairs()) if cloud.settings.orders_tagged else {}
    port = parameters.integer(
        "Port",
        catalog.DEFAULT_PORTS[engine],
        1000,
        65534 if engine == "MySQL" else 5999,
        "InvalidPort.Malformed",
    )
    protected = parameters.flag("DeletionProtection")
    if protected and pay_type != "Postpaid":
        raise invalid("DeletionProtection", "is for pay-as-you-go instances only")
    _check_stock(cloud, zone, found)
    quota = cloud.settings.instance_quota
    # Counting what is alive walks over everything, so it is left for when it matters.
    if len(cloud.instances) >= quota and len(live(cloud, call.now)) >= quota:
        raise ApiError(
            400,
            "QuotaExceed.DBInstance",
            f"The quota of {quota} instances is used up.",
        )
    name = f"{'pgm' if engine == 'PostgreSQL' else 'rm'}-bp1{letters(14)}"
    ready = cloud.later(call.now, *CREATING_SECONDS)
    served = 0 if parameters.flag("DryRun") else cloud.servers.choose(cloud, engine)
    host = "127.0.0.1" if served else f"{name}.{catalog.HOST_LABELS[engine]}.rds.aliyuncs.com"
    return Instance(
        id=name,
        region=cloud.region,
        zone=zone,
        slave_zone="" if category == "Basic" else _slave_zone(cloud, parameters, zone),
        vpc=cloud.owner.vpc,
        vswitch=vswitch,
        engine=engine,
        version=version,
        category=category,
        class_code=found.code,
        storage=storage,
        storage_type=storage_type,
        pay_type=pay_type,
        connection_string=host,
        port=served or port,
        created=call.now,
        listed_at=cloud.later(call.now, *LIST_LAG_SECONDS),
        ready_at=ready,
        settled_at=cloud.later(ready, *SETTLING_SECONDS),
        order=digits(15),
        description=description or name,
        client_token=parameters.get("ClientToken"),
        deletion_protection=protected,
        tags=tags,
        ip_arrays={"default": IpArray("default", ips)},
        server="starting" if served else "",
        time_zone=parameters.get("DBTimeZone") if engine in _WITH_TIME_ZONES else "",
    )


def _engine(parameters: Parameters) -> tuple[str, str]:
    engine = parameters.text("Engine")
    if engine not in catalog.ENGINES:
        raise ApiError(400, "InvalidEngine.Malformed", "The specified engine is not valid.")
    version = parameters.text("EngineVersion")
    if version not in catalog.ENGINES[engine]:
        raise ApiError(
            400, "InvalidEngineVersion.Malformed", "The specified engine version is not valid."
        )
    return engine, version


def _instance_class(parameters: Parameters, engine: str) -> InstanceClass:
    found = catalog.CLASSES.get(parameters.text("DBInstanceClass"))
    if found is None or found.engine != engine:
        raise ApiError(
            400, "InvalidDBInstanceClass.Malformed", "The specified instance class is not valid."
        )
    return found


def check_storage_type(parameters: Parameters, found: InstanceClass, default: str) -> str:
    """Return the storage type, which must fit the class.

    Raises:
        ApiError: InvalidDBInstanceStorageType.Malformed, InvalidInstanceLevel.DiskType.
    """
    asked = parameters.get("DBInstanceStorageType", default)
    storage_type = catalog.STORAGE_ALIASES.get(asked, asked)
    if storage_type not in catalog.STORAGE_RANGES:
        raise ApiError(
            400,
            "InvalidDBInstanceStorageType.Malformed",
            "The specified storage type is not valid.",
        )
    if storage_type not in found.storage_types:
        raise ApiError(
            400,
            "InvalidInstanceLevel.DiskType",
            f"The class {found.code} does not support the storage type {storage_type}.",
        )
    return storage_type


def check_storage(parameters: Parameters, storage_type: str) -> int:
    """Return the storage in GB, which must lie in its type's range.

    Raises:
        ApiError: InvalidStorage.Malformed, or InvalidEssdStorageSize for a cloud disk's range.
    """
    raw = parameters.text("DBInstanceStorage")
    size = int(raw) if re.fullmatch(r"[0-9]{1,6}", raw) else -1
    if size < 0 or size % catalog.STORAGE_STEP:
        raise ApiError(
            400,
            "InvalidStorage.Malformed",
            f"DBInstanceStorage must be a multiple of {catalog.STORAGE_STEP} GB.",
        )
    low, high = catalog.STORAGE_RANGES[storage_type]
    if not low <= size <= high:
        code = "InvalidEssdStorageSize" if "essd" in storage_type else "InvalidStorage.Malformed"
        raise ApiError(
            400, code, f"DBInstanceStorage must be from {low} to {high} GB for {storage_type}."
        )
    return size


def _category(parameters: Parameters, found: InstanceClass) -> str:
    asked = parameters.get("Category", found.category)
    known = ("Basic", "HighAvailability", "cluster", "AlwaysOn", "Finance")
    if asked not in known:
        raise ApiError(400, "InvalidCategory.Malformed", f"Category must be one of {known}.")
    # The class decides, whatever was asked: so the real service does with MariaDB.
    return found.category


def _network(cloud: Cloud, parameters: Parameters) -> tuple[str, str]:
    owner = cloud.owner
    if parameters.get("InstanceNetworkType", "VPC") != "VPC":
        raise ApiError(
            400, "InvalidParam.InstanceNetworkType", "The classic network is not available."
        )
    if parameters.get("VPCId", owner.vpc) != owner.vpc:
        raise ApiError(404, "InvalidVpcId.NotFound", "The specified VPC does not exist.")
    zone = parameters.get("ZoneId")
    if zone and zone not in owner.vswitches:
        raise ApiError(400, "InvalidZoneId.NotSupported", "The specified zone is not supported.")
    asked = parameters.get("VSwitchId").split(",")[0]
    if not asked:
        zone = zone or next(iter(owner.vswitches))
        return zone, owner.vswitches[zone]
    # The vSwitch does not say it: without its zone "the instance cannot be created".
    parameters.text("ZoneId")
    zones = {vswitch: place for place, vswitch in owner.vswitches.items()}
    if zones.get(asked) != zone:
        raise ApiError(
            403,
            "InvalidVswitchId",
            "The specified vSwitch does not exist or does not lie in the specified zone.",
        )
    return zones[asked], asked


def _slave_zone(cloud: Cloud, parameters: Parameters, zone: str) -> str:
    """Return the zone of the second node; another one than the first needs a vSwitch of its own."""
    asked = parameters.get("ZoneIdSlave1", zone)
    if asked == zone:
        return zone
    others = [place for place in cloud.owner.vswitches if place != zone]
    if asked == "Auto":
        return others[0]
    vswitches = parameters.get("VSwitchId").split(",")
    if asked not in others or vswitches[1:] != [cloud.owner.vswitches[asked]]:
        raise ApiError(
            403, "InvalidVswitchId", "VSwitchId must name a vSwitch in ZoneIdSlave1 as well."
        )
    return asked


def _check_sale(cloud: Cloud, zone: str, found: InstanceClass) -> None:
    if zone in cloud.settings.not_sold:
        raise ApiError(400, "InvalidZoneId.NotSupported", "The specified zone is not supported.")
    if f"{zone}/{found.code}" in cloud.settings.not_sold:
        raise ApiError(400, "UnsupportedClassCode", "The class is not supported in this zone.")


def _check_stock(cloud: Cloud, zone: str, found: InstanceClass) -> None:
    if {zone, found.code, f"{zone}/{found.code}"} & set(cloud.settings.out_of_stock):
        raise ApiError(
            404,
            "InsufficientResourceCapacity",
            "There is insufficient capacity available for the requested instance.",
        )
