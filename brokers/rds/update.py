"""The steps of update: check what can change, change it in place, wait until it has.

RDS knows no client token for changes, so every step looks first and asks only for what is not so
yet. What is quick and can be taken back (allow list, protection) comes first; what may be refused
(class, storage) comes last. After a refusal the first part is taken back, so that the parameters in
force are those from before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import (
    NOTHING,
    Failed,
    InProgress,
    Json,
    Step,
    Succeeded,
    TryAgainError,
    Work,
)
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.networks import Networks
from alibroker.brokers.rds.order import Order, order_fault, read_order
from alibroker.brokers.rds.status import CHANGING, DELETING_STATUSES, RUNNING

_FIXED: Final = {
    "engine": "the engine",
    "engine_version": "the version",
    "vpc_id": "the VPC",
    "vswitch_id": "the vSwitch",
    "zone_id": "the zone",
    "network_type": "the network type",
    "time_zone": "the time zone",
}
_ATTEMPTS: Final = 3
_FIRST_LOOK: Final = 8
"""Poll intervals until a change is looked at: 120 s of 15 s each; it takes 2 to 5 minutes."""
_NEXT_LOOK: Final = 4
_ENDS: Final = frozenset({Kind.DENIED, Kind.QUOTA, Kind.FAILED, Kind.NOT_FOUND, Kind.EXISTS})


class Update:
    """Changes an instance in place."""

    def __init__(
        self,
        calls: RdsCalls,
        networks: Networks,
        settings: CloudSettings,
        plans: Mapping[str, Json],
    ) -> None:
        """Take the settings of all plans by plan id, to know what was in force."""
        self._calls = calls
        self._networks = networks
        self._settings = settings
        self._plans = plans

    def step(self, work: Work) -> Step:
        """Do the next step."""
        wanted = read_order(work.plan_settings, work.parameters, self._settings)
        previous = read_order(
            self._plans.get(work.previous_plan_id) or work.plan_settings,
            work.previous_parameters,
            self._settings,
        )
        match work.state.get("phase"):
            case "revert":
                self._set_lightly(work, previous, wanted)
                return Failed(
                    reason=work.state["reason"],
                    update_repeatable=bool(work.state["update_repeatable"]),
                )
            case "change" | "wait":
                return self._change(work, wanted, previous)
            case _:
                return self._begin(work, wanted, previous)

    def _begin(self, work: Work, wanted: Order, previous: Order) -> Step:
        fault = _fault(work, wanted, previous)
        if fault is not None:
            return Failed(reason=fault, update_repeatable=False)
        try:
            self._set_lightly(work, wanted, previous)
        except CloudError as error:
            if error.kind in _ENDS:
                return self._revert(str(error), repeatable=_repeatable(error))
            raise
        if not _spec_differs(wanted, previous):
            return Succeeded()
        return InProgress(description="The database is being changed", state={"phase": "change"})

    def _set_lightly(self, work: Work, wanted: Order, previous: Order) -> None:
        instance_id = work.resource["instance_id"]
        if wanted.allow_list != previous.allow_list:
            place = work.resource.get("place") or {}
            vpc_id = str(place.get("vpc_id") or wanted.vpc_id)
            allow_list = self._networks.allow_list(wanted, vpc_id)
            self._calls.set_allow_list(instance_id, allow_list)
        if wanted.deletion_protection != previous.deletion_protection:
            self._calls.set_deletion_protection(instance_id, on=wanted.deletion_protection)

    def _change(self, work: Work, wanted: Order, previous: Order) -> Step:
        try:
            item = self._calls.instance(work.resource["instance_id"])
        except CloudError as error:
            if error.kind not in _ENDS:
                raise
            if not work.state.get("attempts"):
                return self._revert(str(error), repeatable=_repeatable(error))
            # It was asked for, and what came of it has to be known before anything is said.
            raise TryAgainError(str(error)) from error
        status = str(item["DBInstanceStatus"]) if item is not None else ""
        if item is None and work.now - work.state.get("missing_since", work.now) < max(
            self._settings.settle, self._settings.poll_interval
        ):
            # Seen for a moment on instances that are there.
            since = work.state.get("missing_since", work.now)
            return self._wait(
                work, RUNNING, "The database is being changed", {"missing_since": since}
            )
        if item is None or status in DELETING_STATUSES:
            return Failed(reason="the database is not there any more", instance_usable=False)
        attempts = int(work.state.get("attempts", 0))
        if status != RUNNING:
            return self._wait(work, status, f"The database is being changed ({status})")
        if _is(item, wanted, previous):
            return Succeeded()
        asked_at = float(work.state.get("asked_at", 0.0))
        if work.now - asked_at < self._settings.settle and not work.state.get("seen"):
            # Asked for a moment ago, and perhaps not to be seen yet.
            return self._wait(work, RUNNING, "The database is being changed")
        if attempts >= _ATTEMPTS:
            return self._revert("Alibaba Cloud did not change the database", repeatable=True)
        try:
            self._calls.modify_spec(work.resource["instance_id"], wanted, previous)
        except CloudError as error:
            if error.kind in _ENDS:
                return self._revert(str(error), repeatable=_repeatable(error))
            raise
        state = {"phase": "wait", "attempts": attempts + 1, "asked_at": work.now}
        return InProgress(
            description="The database is being changed",
            state=state | {"leaves": CHANGING, "since": work.now},
            poll_after=self._settings.poll_interval * _FIRST_LOOK,
        )

    def _wait(self, work: Work, status: str, text: str, more: Json = NOTHING) -> InProgress:
        known = {name: work.state[name] for name in work.state if name != "missing_since"}
        state = {**known, **more, "since": work.now, "leaves": status}
        if status == RUNNING:
            del state["leaves"]
        else:
            state["seen"] = True
        pause = _NEXT_LOOK if status == CHANGING else 1
        return InProgress(
            description=text, state=state, poll_after=self._settings.poll_interval * pause
        )

    def _revert(self, reason: str, *, repeatable: bool) -> InProgress:
        return InProgress(
            description="The change was refused",
            state={"phase": "revert", "reason": reason, "update_repeatable": repeatable},
        )


def _fault(work: Work, wanted: Order, previous: Order) -> str | None:
    """Say what cannot be changed; None if everything can, as far as is known."""
    if not work.resource.get("instance_id"):
        return "the service instance has no database"
    for name, what in _FIXED.items():
        before, after = getattr(previous, name), getattr(wanted, name)
        if before != after:
            return f"{what} of a database cannot be changed: create a new one"
    if wanted.storage < previous.storage:
        return (
            f"the storage of a database can only grow: it has {previous.storage} GB, and "
            f"{wanted.storage} GB were asked for"
        )
    if work.parameters.get("CharacterSet") != work.previous_parameters.get("CharacterSet"):
        return "parameters/CharacterSet: it can be chosen only when a database is created"
    return order_fault(wanted)


def _spec_differs(wanted: Order, previous: Order) -> bool:
    return any(getattr(wanted, name) != getattr(previous, name) for name in _SPEC)


_SPEC: Final = {
    "instance_class": "DBInstanceClass",
    "storage": "DBInstanceStorage",
    "storage_type": "DBInstanceStorageType",
}


def _is(item: Item, wanted: Order, previous: Order) -> bool:
    """Tell whether the instance is what is wanted, in what was to change."""
    return all(
        getattr(wanted, name) == getattr(previous, name)
        or str(getattr(wanted, name)) == str(item.get(key))
        for name, key in _SPEC.items()
    )


def _repeatable(error: CloudError) -> bool:
    """Tell whether the same request can go well once somebody has done something about it."""
    return error.kind in {Kind.DENIED, Kind.QUOTA}
