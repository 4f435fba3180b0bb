"""Features of an instance that are turned on or off in a while: TLS, encryption at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.order import Order
from alibroker.brokers.rds.setting_calls import SettingCalls
from alibroker.brokers.rds.status import DELETING_STATUSES, ENCRYPTING, RUNNING, SECURING

TLS: Final = "tls"
"""Name of the fact whether TLS is on, and of the phase in which it is being turned on or off."""
CA_URL: Final = "tls_ca_url"
"""Name of the fact where the certificate of the CA is found; empty if the cloud does not say."""
TDE: Final = "tde"
"""Name of the fact whether data are encrypted at rest, and of the phase in which that begins."""
_ATTEMPTS: Final = 3
_FIRST_LOOK: Final = 4
"""Poll intervals until a change is looked at: 60 s of 15 s each."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A feature, and the calls that read and turn it."""

    name: str
    """Of the fact that it is on, of the phase, and of the order's field."""
    what: str
    """In the words of users."""
    status: str
    """The state of an instance while it is being turned (DBInstanceStatus)."""
    read: Callable[[str], tuple[bool, Json]]
    """Tells whether it is on, and more facts, from the instance's id."""
    turn: Callable[[Item, bool], None]


def switches(calls: SettingCalls) -> tuple[Switch, ...]:
    """Return what can be turned, in the order in which a new instance gets it."""
    return (
        Switch(
            name=TLS,
            what="TLS",
            status=SECURING,
            read=lambda name: _with_certificate(*calls.tls(name)),
            turn=lambda item, on: calls.set_tls(item, on=on),
        ),
        Switch(
            name=TDE,
            what="encryption at rest",
            status=ENCRYPTING,
            read=lambda name: (calls.tde(name), {}),
            # It cannot be turned off, and nobody asks for that: see `order_fault` and update.
            turn=lambda item, _: calls.set_tde(item["DBInstanceId"]),
        ),
    )


def _with_certificate(is_on: bool, url: str) -> tuple[bool, Json]:  # noqa: FBT001 - of a pair
    return is_on, {CA_URL: url if is_on else ""}


def to_turn(order: Order, previous: Order | None = None) -> list[str]:
    """Return the names of the switches that are to be turned; without `previous`, of a new one."""
    if previous is None:
        return [name for name in (TLS, TDE) if getattr(order, name)]
    return [name for name in (TLS, TDE) if getattr(order, name) != getattr(previous, name)]


class Switching:
    """Turns a switch: looks first, asks if it is not so, and waits."""

    def __init__(
        self, calls: RdsCalls, setting_calls: SettingCalls, settings: CloudSettings
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._switches = {switch.name: switch for switch in switches(setting_calls)}

    def step(self, work: Work, name: str, *, on: bool) -> Step:
        """Do the next step of turning a switch; `Succeeded` has the facts about it.

        Raises:
            CloudError: The cloud could not be asked, or refuses.
        """
        switch = self._switches[name]
        instance_id = str(work.resource["instance_id"])
        item = self._calls.instance(instance_id)
        status = str(item["DBInstanceStatus"]) if item is not None else ""
        missing_since = float(work.state.get("missing_since", work.now))
        if status in DELETING_STATUSES or (
            item is None and work.now - missing_since > self._settings.settle
        ):
            return Failed(reason="the database is not there any more", instance_usable=False)
        if item is None:
            return self._wait(work, switch, RUNNING, {"missing_since": missing_since})
        if status != RUNNING:
            return self._wait(work, switch, status, {"seen": True})
        is_on, facts = switch.read(instance_id)
        if is_on == on:
            return Succeeded(resource={switch.name: on, **facts})
        asked_at = float(work.state.get("asked_at", 0.0))
        if work.now - asked_at < self._settings.settle and not work.state.get("seen"):
            return self._wait(work, switch, RUNNING, {})
        attempts = int(work.state.get("attempts", 0))
        if attempts >= _ATTEMPTS:
            return Failed(reason=f"Alibaba Cloud did not change {switch.what}")
        switch.turn(item, on)
        return InProgress(
            description=_text(switch),
            state=_kept(work, switch)
            | {
                "asked_at": work.now,
                "attempts": attempts + 1,
                "leaves": switch.status,
                "since": work.now,
            },
            poll_after=self._settings.poll_interval * _FIRST_LOOK,
        )

    def _wait(self, work: Work, switch: Switch, status: str, more: Json) -> InProgress:
        known = {
            name: work.state[name]
            for name in ("asked_at", "attempts", "seen")
            if name in work.state
        }
        waiting = {} if status == RUNNING else {"leaves": status, "since": work.now}
        return InProgress(
            description=_text(switch),
            state=_kept(work, switch) | known | waiting | dict(more),
            poll_after=self._settings.poll_interval,
        )


def _text(switch: Switch) -> str:
    return f"Setting up {switch.what}"


def _kept(work: Work, switch: Switch) -> dict[str, object]:
    """Return what of the state is not about the switch and has to stay."""
    kept: dict[str, object] = {"phase": switch.name}
    if "before" in work.state:
        kept["before"] = work.state["before"]
    return kept
