"""What can be bought where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds import catalog

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call


def describe_regions(call: Call) -> Answer:
    """List the region's zones, a row each."""
    region = call.cloud.region
    rows = [
        {
            "RegionId": region,
            "ZoneId": zone,
            "LocalName": region,
            "ZoneName": zone,
            "RegionEndpoint": "rds.aliyuncs.com",
        }
        for zone in call.cloud.zones()
    ]
    return {"Regions": {"RDSRegion": rows}}


def describe_available_zones(call: Call) -> Answer:
    """List the zones with the versions, categories and storage types of an engine."""
    engine = call.parameters.text("Engine")
    if engine not in catalog.ENGINES:
        raise ApiError(400, "InvalidEngine.Malformed", "The specified engine is not valid.")
    offers: dict[str, list[str]] = {}
    for found in catalog.CLASSES.values():
        if found.engine == engine:
            known = offers.setdefault(found.category, [])
            known += [kind for kind in found.storage_types if kind not in known]
    only = call.parameters.get("Category")
    categories = [
        {
            "Category": category,
            "SupportedStorageTypes": [{"StorageType": kind} for kind in kinds],
        }
        for category, kinds in offers.items()
        if only in ("", category)
    ]
    version = call.parameters.get("EngineVersion")
    versions = [
        {"Version": known, "SupportedCategorys": categories}
        for known in catalog.ENGINES[engine]
        if version in ("", known)
    ]
    zone = call.parameters.get("ZoneId")
    zones = [
        {
            "RegionId": call.cloud.region,
            "ZoneId": known,
            "SupportedEngines": [{"Engine": engine, "SupportedEngineVersions": versions}],
        }
        for known in call.cloud.zones()
        if zone in ("", known)
        and known not in (*call.cloud.settings.out_of_stock, *call.cloud.settings.not_sold)
    ]
    return {"AvailableZones": zones}


def describe_available_classes(call: Call) -> Answer:
    """List the classes of an engine, category and storage type in a zone."""
    parameters = call.parameters
    for name in ("RegionId", "ZoneId", "Engine", "EngineVersion"):
        parameters.text(name)
    zone = parameters.get("ZoneId")
    if zone not in call.cloud.zones():
        raise ApiError(400, "InvalidZoneId.NotSupported", "The specified zone is not supported.")
    storage_type = parameters.text("DBInstanceStorageType")
    category = parameters.text("Category")
    low, high = catalog.STORAGE_RANGES.get(storage_type, (0, 0))
    missing = {*call.cloud.settings.out_of_stock, *call.cloud.settings.not_sold}
    classes = [
        {
            "DBInstanceClass": found.code,
            "DBInstanceStorageRange": {
                "MinValue": low,
                "MaxValue": high,
                "Step": catalog.STORAGE_STEP,
            },
        }
        for found in catalog.CLASSES.values()
        if found.engine == parameters.get("Engine")
        and found.category == category
        and storage_type in found.storage_types
        and not {found.code, zone, f"{zone}/{found.code}"} & missing
    ]
    return {"DBInstanceClasses": classes}


def describe_price(call: Call) -> Answer:
    """Tell what an instance costs in an hour: more for more cores and more storage."""
    parameters = call.parameters
    parameters.choice("CommodityCode", ("bards", "bards_intl"))
    for name in ("Engine", "EngineVersion", "Quantity"):
        parameters.text(name)
    found = catalog.CLASSES.get(parameters.text("DBInstanceClass"))
    if found is None:
        raise ApiError(400, "InvalidDBInstanceClass.Format", "The specified class is not valid.")
    storage = int(parameters.text("DBInstanceStorage"))
    price = round(0.2 * found.cores + 0.001 * storage, 3)
    return {
        "PriceInfo": {
            "Currency": "CNY",
            "OriginalPrice": price,
            "DiscountPrice": 0.0,
            "TradePrice": price,
        }
    }


def list_classes(call: Call) -> Answer:
    """List every class; all values are texts."""
    parameters = call.parameters
    parameters.choice("CommodityCode", ("bards", "bards_intl", "rds", "rds_intl"))
    parameters.text("OrderType")
    engine = parameters.get("Engine")
    items = [
        {
            "ClassCode": found.code,
            "ClassGroup": "Local" if found.storage_types == ("local_ssd",) else "Cloud",
            "Cpu": str(found.cores),
            "MemoryClass": f"{found.memory}GB",
            "MaxConnections": str(found.connections),
            "MaxIOPS": "",
            "MaxIOMBPS": "",
            "ReferencePrice": "",
            "InstructionSetArch": "arm" if "e." in found.code else "x86",
            "category": found.category,
            "storageType": ",".join(found.storage_types),
        }
        for found in catalog.CLASSES.values()
        if engine in ("", found.engine)
    ]
    return {"Items": items, "RegionId": call.cloud.region}
