"""Where a new instance is placed, and who may reach it: its own VPC, never the internet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from msgspec.structs import replace

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.order import SEVERAL_ZONES, Order

NOBODY: Final = "127.0.0.1"
_FRESH: Final = 600.0  # seconds; networks hardly ever change
_MOST: Final = 1000  # things to remember, for users name vSwitches and classes
_CANNOT_TELL: Final = frozenset({Kind.DENIED, Kind.FAILED, Kind.NOT_FOUND})
_T = TypeVar("_T")


class PlacementError(Exception):
    """There is no place as it was asked for; the text says what to change."""


class Networks:
    """Remembers what the VPCs of the region are, and what their zones sell. Thread-safe."""

    def __init__(self, calls: RdsCalls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, object]] = {}

    def places(self, order: Order) -> list[Order]:
        """Fill in VPC, vSwitch and zone where the order leaves them open, in every possible way.

        Zone and VPC are those of the vSwitch: an order with a vSwitch is refused without its zone
        (CreateDBInstance, ZoneId). The VPC is the region's only one, or its default one. The best
        place comes first: one that has not refused such an order just now, and of these the vSwitch
        with the most free addresses. Where nothing can be told, RDS chooses.

        Raises:
            CloudError: The cloud could not be asked.
            PlacementError: There is no such vSwitch, or none of the VPC in the zone.
        """
        if order.vpc_id and order.vswitch_id and order.zone_id:
            return [order]
        try:
            vswitches = self._vswitches(order)
        except CloudError as error:
            if error.kind in _CANNOT_TELL:
                return [order]  # what is missing is found out when it is bought
            raise
        if vswitches is None:
            return [order]
        fitting = [one for one in vswitches if _lies_in(str(one.get("ZoneId")), order.zone_id)]
        if not fitting:
            raise PlacementError(_no_place(order, vswitches))
        places = [
            replace(
                order,
                vpc_id=str(one["VpcId"]),
                vswitch_id=str(one["VSwitchId"]),
                zone_id=order.zone_id or str(one["ZoneId"]),
                network_type=order.network_type or "VPC",
            )
            for one in sorted(fitting, key=_free_addresses, reverse=True)
        ]
        return sorted(places, key=self._has_refused)

    def refused(self, place: Order, name: str) -> None:
        """Remember that an order was refused because of its place: a zone, or a vSwitch in it."""
        self._remember(_refusal(place, name), value=True)

    def sells(self, place: Order) -> bool | None:
        """Tell whether the place's zone sells the class; None if the cloud would not say so now.

        The lists are not what really can be bought (DescribeAvailableZones warns of that), so they
        are asked only about where to go after a refusal (DescribeAvailableClasses).
        """
        if SEVERAL_ZONES.fullmatch(place.zone_id) or not place.zone_id:
            return None
        what = (place.zone_id, place.engine, place.engine_version, place.storage_type)
        try:
            classes = self._remembered(
                " ".join(("classes", *what, place.category)), lambda: self._calls.classes(place)
            )
        except CloudError:
            return None
        return place.instance_class in classes

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

    def _vswitches(self, order: Order) -> list[Item] | None:
        """Return the vSwitches that an order leaves the choice of; None if RDS has to choose.

        Raises:
            CloudError: The cloud could not be asked.
            PlacementError: There is no such vSwitch.
        """
        name = order.vswitch_id
        if not name:
            vpc_id = order.vpc_id or self._usual_vpc()
            if not vpc_id:
                return None
            found = self._remembered(f"vswitches {vpc_id}", lambda: self._calls.vswitches(vpc_id))
            return found or None
        # What is not there may be made any moment: that is not remembered.
        named = self._remembered(
            f"vswitch {name}", lambda: self._calls.vswitches(vswitch_id=name) or None
        )
        if not named:
            raise PlacementError(
                f"parameters/VSwitchID: there is no vSwitch {name} in the region; name another one "
                "(ALIBROKER_VSWITCH_ID, if the parameters name none)"
            )
        if order.vpc_id not in {"", str(named[0].get("VpcId"))}:
            raise PlacementError(
                f"parameters/VSwitchID: {name} belongs to the VPC {named[0].get('VpcId')}, not to "
                f"{order.vpc_id}"
            )
        return named

    def _has_refused(self, place: Order) -> bool:
        latest = time.monotonic() - _FRESH
        with self._lock:
            return any(
                self._known.get(_refusal(place, name), (latest, None))[0] > latest
                for name in (place.zone_id, place.vswitch_id)
            )

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
            self._remember(key, value=value)
        return value  # type: ignore[return-value] # of the type that this key was read with

    def _remember(self, key: str, *, value: object) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = (time.monotonic(), value)
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]


def open_places(places: Collection[Order], refusals: Collection[str]) -> list[Order]:
    """Return those of the places of which neither zone nor vSwitch has refused."""
    return [one for one in places if not {one.zone_id, one.vswitch_id} & set(refusals)]


def _lies_in(zone: str, wanted: str) -> bool:
    several = SEVERAL_ZONES.fullmatch(wanted)
    if several is not None:
        return zone in {f"{several[1]}{letter}" for letter in several[2].split(",")}
    return wanted in {"", zone}


def _no_place(order: Order, vswitches: list[Item]) -> str:
    zones = ", ".join(sorted({str(one.get("ZoneId")) for one in vswitches}))
    if order.vswitch_id:
        return f"parameters/ZoneId: the vSwitch {order.vswitch_id} lies in {zones}"
    vpc_id = order.vpc_id or vswitches[0].get("VpcId")
    return f"parameters/ZoneId: the VPC {vpc_id} has no vSwitch there; it has some in {zones}"


def _free_addresses(vswitch: Item) -> int:
    return int(vswitch.get("AvailableIpAddressCount") or 0)


def _refusal(place: Order, name: str) -> str:
    return f"refused {name} {place.instance_class} {place.storage_type}"
