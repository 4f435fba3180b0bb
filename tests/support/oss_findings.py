"""What an inventory of OSS finds, and what is made of it."""

from __future__ import annotations

from typing import Any

import msgspec
import oss2

from alibroker.brokers.api import Found, Inventory
from alibroker.brokers.driver import Driver


def inventory(driver: Driver) -> dict[str, list[Found]]:
    """Return what is found, by kind."""
    assert isinstance(driver.broker, Inventory)
    found: dict[str, list[Found]] = {"OSS bucket": [], "RAM user": [], "RAM policy": []}
    for one in driver.broker.inventory():
        found[one.kind].append(one)
    return found


def adopt(driver: Driver, found: Found) -> None:
    """Make a record of what was found, as the engine does."""
    if not found.binding_id:
        driver.ordered(found.instance_id, found.plan_id, **found.parameters)
        record = driver.instances[found.instance_id]
    else:
        driver.binding(found.instance_id, found.binding_id, **found.parameters)
        record = driver.bindings[found.instance_id, found.binding_id]
    record.resource = msgspec.json.encode(found.resource)


def opened(credentials: Any) -> oss2.Bucket:
    auth = oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"])
    url, region = credentials["endpoint"], credentials["region"]
    return oss2.Bucket(auth, url, credentials["bucket"], region=region)
