"""The steps of update: check what can change, change it in place, wait until it has.

RDS knows no client token for changes, so every step looks first and asks only for what is not so
yet. What is quick and can be taken back (allow list, protection, backups, tag) comes first; what
takes long and may be refused (class and storage, TLS, TDE) comes last. After a refusal the first
part is taken back, so that the parameters in force are those from before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import PLAN_TAG, tag_value
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
from alibroker.brokers.rds.extras import Extras
from alibroker.brokers.rds.facts import facts_of
from alibroker.brokers.rds.networks import Networks
from alibroker.brokers.rds.order import Order, order_fault, read_order
from alibroker.brokers.rds.plans import engine_of
from alibroker.brokers.rds.retired import Retirement
from alibroker.brokers.rds.second_look import STANDS_STILL
from alibroker.brokers.rds.status import CHANGING, DELETING_STATUSES, RUNNING, STOPPED
from alibroker.brokers.rds.switches import Switching, to_turn

_FIXED: Final = {
    "engine": "the engine",
    "engine_version": "the version",
    "vpc_id": "the VPC",
    "vswitch_id": "the vSwitch",
    "zone_id": "the zone",
    "network_type": "the network type",
    "time_zone": "the time zone",
}
_GONE: Final = "the database is not there any more"
_ATTEMPTS: Final = 3
_FIRST_LOOK: Final = 8
"""Poll intervals until a change is looked at: 120 s of 15 s each; it takes 2 to 5 minutes."""
_NEXT_LOOK: Final = 4
_ENDS: Final = frozenset(
    {Kind.DENIED, Kind.ACCOUNT, Kind.QUOTA, Kind.PLACE, Kind.FAILED, Kind.NOT_FOUND, Kind.EXISTS}
)


class Update:
    """Changes an instance in place."""

    def __init__(
        self,
        calls: RdsCalls,
        networks: Networks,
        extras: Extras,
        switching: Switching,
        settings: CloudSettings,
        retirement: Retirement,
        plans: Mapping[str, Json],
    ) -> None:
        """Take the settings of all plans by plan id, to know what was in force."""
        self._calls = calls
        self._networks = networks
        self._extras = extras
        self._switching = switching
        self._retirement = retirement
        self._settings = settings
        self._plans = plans

    def step(self, work: Work) -> Step:
        """Do the next step."""
        try:
            return self._step(work)
        except CloudError as error:
            if self._is_gone(work, error):
                return self._missing(work)
            raise

    def _step(self, work: Work) -> Step:
        wanted, previous = self._orders(work)
        match work.state.get("phase"):
            case "revert":
                self._extras.restore(work.resource["instance_id"], work.state.get("before") or {})
                self._set_lightly(work, previous, wanted, work.previous_plan_id)
                return Failed(
                    reason=work.state["reason"],
                    update_repeatable=bool(work.state["update_repeatable"]),
                )
            case "change" | "wait":
                return self._change(work, wanted, previous)
            case "tls" | "tde" as name:
                return self._turn(work, name, on=bool(getattr(wanted, name)))
            case _:
                return self._begin(work, wanted, previous)

    def _orders(self, work: Work) -> tuple[Order, Order]:
        """Return what is wanted and what is in force.

        A plan may have been changed in the catalog since the instance was made as it said then. So
        where a plan is to be fulfilled, another one or the same one anew, the instance's own class
        and storage count. What has grown stays so.
        """
        wanted = read_order(work.plan_settings, work.parameters, self._settings)
        previous = read_order(
            self._plans.get(work.previous_plan_id) or work.plan_settings,
            work.previous_parameters,
            self._settings,
        )
        if not (_is_renewal(work) or work.plan_id != work.previous_plan_id):
            return wanted, previous
        facts = {name: work.resource[name] for name in _SPEC if name in work.resource}
        if _is_renewal(work) and "engine_version" in work.resource:
            facts["engine_version"] = work.resource["engine_version"]
        real = replace(previous, **facts)
        if wanted.storage >= previous.storage:
            wanted = replace(wanted, storage=max(wanted.storage, real.storage))
        return wanted, real

    def _look(self, work: Work) -> Step:
        """Find out what the instance is made of, before it is made what its plan says."""
        item = self._calls.instance(work.resource["instance_id"])
        if item is None:
            raise TryAgainError("the database cannot be seen just now")
        return InProgress(
            description="The database is being looked at",
            state={"looked": True},
            resource=facts_of(item),
        )

    def _begin(self, work: Work, wanted: Order, previous: Order) -> Step:
        if _is_renewal(work) and work.resource.get("instance_id") and not work.state.get("looked"):
            return self._look(work)
        fault = _fault(work, wanted, previous)
        if fault is not None:
            return Failed(reason=fault, update_repeatable=False)
        instance_id = work.resource["instance_id"]
        try:
            if "before" not in work.state and _extras_differ(wanted, previous):
                # Durable before it is changed, so that it can be taken back.
                before = self._extras.in_force(instance_id, wanted, previous)
                return InProgress(
                    description="The database is being changed", state={"before": before}
                )
            if _extras_differ(wanted, previous):
                self._extras.apply(instance_id, wanted)
            self._set_lightly(work, wanted, previous, work.plan_id)
        except CloudError as error:
            if error.kind in _ENDS and not self._is_gone(work, error):
                return self._revert(work, str(error), repeatable=_repeatable(error))
            raise
        if engine_of(work).has_locks:
            self._retirement.sweep(instance_id, locks=True)
        changes = _slow_changes(wanted, previous)
        if not changes:
            return Succeeded()
        return InProgress(
            description="The database is being changed", state=_before(work) | {"phase": changes[0]}
        )

    def _turn(self, work: Work, name: str, *, on: bool) -> Step:
        try:
            step = self._switching.step(work, name, on=on)
        except CloudError as error:
            return self._refused(work, error)
        if isinstance(step, Failed) and step.instance_usable:
            return self._revert(work, step.reason, repeatable=True)
        return step

    def _refused(self, work: Work, error: CloudError) -> Step:
        """Go back, unless what was asked for before may still come."""
        if error.kind not in _ENDS:
            raise error
        if not work.state.get("attempts"):
            return self._revert(work, str(error), repeatable=_repeatable(error))
        # It was asked for, and what came of it has to be known before anything is said.
        raise TryAgainError(str(error)) from error

    def _set_lightly(self, work: Work, wanted: Order, previous: Order, plan_id: str) -> None:
        instance_id = work.resource["instance_id"]
        if wanted.allow_list != previous.allow_list:
            place = work.resource.get("place") or {}
            vpc_id = str(work.resource.get("vpc_id") or place.get("vpc_id") or wanted.vpc_id)
            allow_list = self._networks.allow_list(wanted, vpc_id)
            self._calls.set_allow_list(instance_id, allow_list)
        if wanted.deletion_protection != previous.deletion_protection:
            self._calls.set_deletion_protection(instance_id, on=wanted.deletion_protection)
        if work.plan_id != work.previous_plan_id:
            self._calls.tag(instance_id, {PLAN_TAG: tag_value(plan_id)})

    def _change(self, work: Work, wanted: Order, previous: Order) -> Step:
        try:
            item = self._calls.instance(work.resource["instance_id"])
        except CloudError as error:
            return self._refused(work, error)
        status = str(item["DBInstanceStatus"]) if item is not None else ""
        if item is None:
            return self._missing(work)
        if status in DELETING_STATUSES:
            return Failed(reason=_GONE, instance_usable=False)
        attempts = int(work.state.get("attempts", 0))
        if status == STOPPED:
            return self._revert(work, STANDS_STILL, repeatable=True)
        if status != RUNNING:
            return self._wait(work, status, f"The database is being changed ({status})")
        if _is(item, wanted, previous):
            return Succeeded(resource=facts_of(item))
        asked_at = float(work.state.get("asked_at", 0.0))
        if work.now - asked_at < self._settings.settle and not work.state.get("seen"):
            # Asked for a moment ago, and perhaps not to be seen yet.
            return self._wait(work, RUNNING, "The database is being changed")
        if attempts >= _ATTEMPTS:
            return self._revert(work, "Alibaba Cloud did not change the database", repeatable=True)
        try:
            self._calls.modify_spec(item, wanted, previous)
        except CloudError as error:
            if error.kind in _ENDS:
                return self._revert(work, str(error), repeatable=_repeatable(error))
            raise
        state = {"phase": "wait", "attempts": attempts + 1, "asked_at": work.now}
        return InProgress(
            description="The database is being changed",
            state=_before(work) | state | {"leaves": CHANGING, "since": work.now},
            poll_after=self._settings.poll_interval * _FIRST_LOOK,
        )

    def _is_gone(self, work: Work, error: CloudError) -> bool:
        """Whether the instance is what was not found."""
        instance_id = str(work.resource.get("instance_id") or "")
        missing = error.kind is Kind.NOT_FOUND and instance_id != ""
        return missing and self._calls.instance(instance_id) is None

    def _missing(self, work: Work) -> Step:
        """Believe that the instance is gone once it has been for a while.

        For a moment, the cloud says so of instances that are there.
        """
        since = float(work.state.get("missing_since", work.now))
        if work.now - since < max(self._settings.settle, self._settings.poll_interval):
            return self._wait(
                work, RUNNING, "The database is being changed", {"missing_since": since}
            )
        return Failed(reason=_GONE, instance_usable=False)

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

    def _revert(self, work: Work, reason: str, *, repeatable: bool) -> InProgress:
        state = {"phase": "revert", "reason": reason, "update_repeatable": repeatable}
        return InProgress(description="The change was refused", state=_before(work) | state)


def _is_renewal(work: Work) -> bool:
    """Tell whether the plan is to be fulfilled anew, as it is now (OSB, Maintenance Info)."""
    return work.plan_id == work.previous_plan_id and work.parameters == work.previous_parameters


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
    if len(_slow_changes(wanted, previous)) > 1:
        return "change SSL, TDE, and class and storage one after the other, not together"
    if _only_disk_may_change(wanted, previous):
        return (
            "parameters/StorageType: change it to general_essd alone, and class and storage before "
            "or after that"
        )
    if previous.tde and not wanted.tde:
        return "parameters/TDE: it can never be turned off"
    if work.parameters.get("CharacterSet") != work.previous_parameters.get("CharacterSet"):
        return "parameters/CharacterSet: it can be chosen only when a database is created"
    return order_fault(wanted)


def _only_disk_may_change(wanted: Order, previous: Order) -> bool:
    """Tell whether more is to change than RDS takes together (ModifyDBInstanceSpec)."""
    to_general = previous.storage_type.startswith("cloud_essd") and (
        wanted.storage_type == "general_essd"
    )
    same = (wanted.instance_class, wanted.storage) == (previous.instance_class, previous.storage)
    return to_general and not same


def _before(work: Work) -> dict[str, object]:
    """Return what of the state is needed to take the change back."""
    return {"before": work.state["before"]} if "before" in work.state else {}


def _slow_changes(wanted: Order, previous: Order) -> list[str]:
    """Return the phases of what takes long; each of them can be refused."""
    spec = ["change"] if _spec_differs(wanted, previous) else []
    return [*spec, *to_turn(wanted, previous)]


def _extras_differ(wanted: Order, previous: Order) -> bool:
    return (wanted.backup, wanted.security_groups) != (previous.backup, previous.security_groups)


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
    return error.kind in {Kind.DENIED, Kind.ACCOUNT, Kind.QUOTA, Kind.PLACE}
