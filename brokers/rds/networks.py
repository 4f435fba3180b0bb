"""Where a new instance is placed, and who may reach it: its own VPC, never the internet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.order import Order

NOBODY: Final = "127.0.0.1"
_FRESH: Final = 600.0  # seconds; networks hardly ever change
_T = TypeVar("_T")


class PlacementError(Exception):
    """There is no place as it was asked for; the text says what to change."""


class Networks:
    """Remembers what the VPCs of the region are. Thread-safe."""

    def __init__(self, calls: RdsCalls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, object]] = {}

    def place(self, order: Order) -> Order:
        """Fill in VPC, vSwitch and zone where the order leaves them open.

        The VPC is the region's only one, or its default one; the vSwitch is the one of the zone (or
        of any zone) with the most free addresses. Where nothing can be told, RDS chooses.

        Raises:
            CloudError: The cloud could not be asked.
            PlacementError: The VPC has no vSwitch in the zone.
        """
        if order.vpc_id and order.vswitch_id:
            return order
        try:
            vpc_id = order.vpc_id or self._usual_vpc()
            if not vpc_id or order.vswitch_id:
                return order
            vswitches = self._remembered(
                f"vswitches {vpc_id}", lambda: self._calls.vswitches(vpc_id)
            )
        except CloudError as error:
            if error.kind in {Kind.DENIED, Kind.FAILED, Kind.NOT_FOUND}:
                return order  # what is missing is found out when it is bought
            raise
        fitting = [one for one in vswitches if order.zone_id in {"", one.get("ZoneId")}]
        if not fitting:
            if not vswitches:
                return order
            zones = ", ".join(sorted({str(one.get("ZoneId")) for one in vswitches}))
            raise PlacementError(
                f"parameters/ZoneId: the VPC {vpc_id} has no vSwitch there; it has some in {zones}"
            )
        best = max(fitting, key=lambda one: int(one.get("AvailableIpAddressCount", 0)))
        return msgspec.structs.replace(
            order,
            vpc_id=vpc_id,
            vswitch_id=str(best["VSwitchId"]),
            zone_id=str(best["ZoneId"]),
            network_type=order.network_type or "VPC",
        )

    def allow_list(self, order: Order, vpc_id: str = "") -> str:
        """Return a SecurityIPList: what was asked for, the ranges of the VPC, or nobody.

        `vpc_id` is where the instance really is, if that is known better than the order knows it.

        Raises:
            CloudError: The VPC's ranges are not known and cannot be read.
        """
        if order.allow_list:
            return ",".join(order.allow_list)
        vpc_id = vpc_id or order.vpc_id
        if not vpc_id:
            return NOBODY
        blocks = self._remembered(f"blocks {vpc_id}", lambda: self._calls.vpc_blocks(vpc_id))
        return ",".join(blocks) or NOBODY

    def _usual_vpc(self) -> str:
        vpcs: list[Item] = self._remembered("vpcs", self._calls.vpcs)
        chosen = vpcs if len(vpcs) == 1 else [one for one in vpcs if one.get("IsDefault")]
        if len(chosen) != 1:
            return ""
        vpc_id, block = str(chosen[0]["VpcId"]), chosen[0].get("CidrBlock")
        more = (chosen[0].get("SecondaryCidrBlocks") or {}).get("SecondaryCidrBlock") or []
        if block:
            self._remembered(f"blocks {vpc_id}", lambda: [str(block), *map(str, more)])
        return vpc_id

    def _remembered(self, key: str, read: Callable[[], _T]) -> _T:
        now = time.monotonic()
        with self._lock:
            read_at, value = self._known.get(key, (0.0, None))
        if value is None or now - read_at > _FRESH:
            value = read()
            with self._lock:
                self._known[key] = (now, value)
        return value  # type: ignore[return-value] # of the type that this key was read with
