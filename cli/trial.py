"""Whole lives against a real cloud: an instance and a binding are created, changed and deleted.

Whatever happens, what was created is deleted. What a kill leaves carries the broker's mark, and the
next trial begins with removing it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from alibroker.brokers.alibabacloud.transcript import Call, Transcript
from alibroker.brokers.api import (
    Failed,
    InProgress,
    Inventory,
    OperationKind,
    Plan,
    TryAgainError,
)
from alibroker.brokers.contract import Plugin
from alibroker.brokers.driver import Driver, Operation

PREFIX: Final = "alibroker-trial-"
"""Begins the ids of instances that trials create."""
_LONGEST: Final = 7200.0  # seconds
_CHANGES: Final[dict[str, Any]] = {"AllowedIPs": ["127.0.0.1"], "Tags": {"purpose": "trial"}}
"""Parameters of updates, of which the first that a plan knows is tried."""

Say = Callable[[str], None]


class TrialError(Exception):
    """A phase did not end well; the text says which and why."""


class Phase(msgspec.Struct, kw_only=True):
    """One operation of a life."""

    name: str
    seconds: float = 0.0
    outcome: str = ""
    """`succeeded`, or why not."""
    calls: list[Call] = msgspec.field(default_factory=list)


class Life(msgspec.Struct, kw_only=True):
    """What came of one plan."""

    plugin: str
    plan: str
    phases: list[Phase] = msgspec.field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all went well."""
        return all(phase.outcome == "succeeded" for phase in self.phases)


class _Shown(Driver):
    """Tells what each step came to."""

    def __init__(self, plugin: Plugin, say: Say) -> None:
        super().__init__(plugin.broker, timeout=_LONGEST)
        self._say = say

    def step(self, operation: Operation) -> None:
        super().step(operation)
        last = operation.steps[-1]
        text = last.description if isinstance(last, InProgress) else ""
        text = str(last) if isinstance(last, TryAgainError) else text
        self._say(f"{operation.kind}: {text or type(last).__name__.lower()}")


def live(plugin: Plugin, plan: Plan, transcript: Transcript, say: Say) -> Life:
    """Have an instance of the plan live and die; returns what came of each phase."""
    driver = _Shown(plugin, say)
    life = Life(plugin=plugin.name, plan=plan.name)
    instance, binding = f"{PREFIX}{uuid.uuid4().hex[:12]}", f"{PREFIX}{uuid.uuid4().hex[:12]}"
    transcript.taken()
    try:
        with _phase(life, "provision", transcript) as phase:
            _end(driver, driver.ordered(instance, plan.id), phase)
        with _phase(life, "bind", transcript) as phase:
            _end(driver, driver.binding(instance, binding), phase)
        for name, value in _change(plan):
            with _phase(life, f"update {name}", transcript) as phase:
                _end(driver, driver.changed(instance, **{name: value}), phase)
    except TrialError:
        pass
    finally:
        _remove(driver, life, (instance, binding), transcript, say)
    return life


def clean_up(plugin: Plugin, say: Say) -> int:
    """Delete what an earlier trial had to leave; returns how many instances that was."""
    if not isinstance(plugin.broker, Inventory):
        return 0
    count = 0
    plans = {plan.id for offering in plugin.offerings for plan in offering.plans}
    for found in list(plugin.broker.inventory()):
        left = found.instance_id.startswith(PREFIX) and not found.binding_id and found.main
        if not left or found.plan_id not in plans:
            continue
        say(f"{found.kind} {found.name} was left by an earlier trial: deleting it")
        driver = _Shown(plugin, say)
        driver.ordered(found.instance_id, found.plan_id)
        driver.instances[found.instance_id].resource = msgspec.json.encode(found.resource)
        driver.deprovision(found.instance_id)
        count += 1
    return count


def _remove(
    driver: Driver, life: Life, ids: tuple[str, str], transcript: Transcript, say: Say
) -> None:
    instance, binding = ids
    kinds = [OperationKind.UNBIND] if ids in driver.bindings else []
    for name in (*kinds, OperationKind.DEPROVISION):
        try:
            with _phase(life, name, transcript) as phase:
                of = binding if name is OperationKind.UNBIND else ""
                _end(driver, Operation(name, instance, of), phase)
        except TrialError:
            say(f"not removed: look for {instance} in the console")


def _change(plan: Plan) -> Iterator[tuple[str, Any]]:
    schema = plan.schemas.get("service_instance", {}).get("update", {}).get("parameters", {})
    known = [name for name in _CHANGES if name in schema.get("properties", {})]
    for name in known[:1]:
        yield name, _CHANGES[name]


def _end(driver: Driver, operation: Operation, phase: Phase) -> None:
    """Run an operation to its end.

    Raises:
        TrialError: It failed, or did not end.
    """
    try:
        driver.run([operation])
    except TimeoutError as error:
        phase.outcome = f"did not end within {_LONGEST:.0f} s"
        raise TrialError(phase.outcome) from error
    except Exception as error:
        # A defect of the plugin, whatever it is: what exists has to be removed all the same.
        phase.outcome = f"{type(error).__name__}: {error}"
        raise TrialError(phase.outcome) from error
    if isinstance(operation.end, Failed):
        phase.outcome = operation.end.reason
        raise TrialError(phase.outcome)
    phase.outcome = "succeeded"


@contextmanager
def _phase(life: Life, name: str, transcript: Transcript) -> Iterator[Phase]:
    phase = Phase(name=name, outcome="interrupted")
    life.phases.append(phase)
    started = time.monotonic()
    try:
        yield phase
    finally:
        phase.seconds = round(time.monotonic() - started, 1)
        phase.calls = transcript.taken()
