"""Plays the engine for the tests of a plugin, without etcd, actors and HTTP.

It calls the steps of a broker as the engine does: what a step returns goes through JSON before the
next one sees it, waiting operations are handed to `observe` together, `TryAgainError` is answered
with patience. On request it calls every step twice with the same `Work`, as after a crash between a
step and the moment its result is durable.

    driver = Driver(create_broker(settings), twice=True)
    driver.provision("my-instance", plan_id)
    credentials = driver.bind("my-instance", "my-binding").credentials
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from alibroker.brokers.api import (
    NOTHING,
    Broker,
    Failed,
    InProgress,
    Json,
    OperationKind,
    Plan,
    Step,
    Succeeded,
    TryAgainError,
    Work,
)

_RETRY_SECONDS: Final = 0.05
_LONGEST_PAUSE: Final = 0.5  # seconds; a test need not be as patient as the engine


@dataclass
class Operation:
    """One operation on its way, with all that came of it."""

    kind: OperationKind
    instance_id: str
    binding_id: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started_at: float = field(default_factory=time.time)
    state: bytes = b"{}"
    steps: list[Step | TryAgainError] = field(default_factory=list)
    observation: Json | None = None
    waiting: bool = False
    due: float = 0.0
    interval: float = 0.0
    wanted_plan_id: str = ""
    wanted_parameters: Json = field(default_factory=dict)

    @property
    def end(self) -> Succeeded | Failed | None:
        """How it ended, or None while it has not."""
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, Succeeded | Failed) else None

    @property
    def credentials(self) -> Json:
        """The credentials of a bind that succeeded."""
        assert isinstance(self.end, Succeeded), self.end  # noqa: S101 - for tests
        assert self.end.credentials is not None  # noqa: S101
        return self.end.credentials


@dataclass
class _Record:
    """What is durable about an instance or a binding."""

    plan_id: str
    parameters: Json
    resource: bytes = b"{}"


class Driver:
    """Runs operations of one broker until they end."""

    def __init__(self, broker: Broker, *, twice: bool = False, timeout: float = 60.0) -> None:
        """Take the broker, and the seconds after which a test should fail."""
        self.broker = broker
        self.twice = twice
        self.timeout = timeout
        self.unanswered_at = 0.0
        self.instances: dict[str, _Record] = {}
        self.bindings: dict[tuple[str, str], _Record] = {}
        self._plans: dict[str, tuple[str, Plan]] = {
            plan.id: (offering.id, plan)
            for offering in broker.offerings()
            for plan in offering.plans
        }

    def provision(self, instance_id: str, plan_id: str, **parameters: Any) -> Operation:
        """Provision an instance and return the ended operation."""
        return self.run([self.ordered(instance_id, plan_id, **parameters)])[0]

    def ordered(self, instance_id: str, plan_id: str, **parameters: Any) -> Operation:
        """Accept a provision without running it yet."""
        self.instances[instance_id] = _Record(plan_id, parameters)
        return Operation(OperationKind.PROVISION, instance_id)

    def update(self, instance_id: str, plan_id: str = "", **parameters: Any) -> Operation:
        """Change an instance's plan or some of its parameters and return the ended operation."""
        return self.run([self.changed(instance_id, plan_id, **parameters)])[0]

    def changed(self, instance_id: str, plan_id: str = "", **parameters: Any) -> Operation:
        """Accept an update without running it yet."""
        record = self.instances[instance_id]
        return Operation(
            OperationKind.UPDATE,
            instance_id,
            wanted_plan_id=plan_id or record.plan_id,
            wanted_parameters={**record.parameters, **parameters},
        )

    def deprovision(self, instance_id: str) -> Operation:
        """Deprovision an instance and return the ended operation."""
        return self.run([Operation(OperationKind.DEPROVISION, instance_id)])[0]

    def bind(self, instance_id: str, binding_id: str, **parameters: Any) -> Operation:
        """Create a binding and return the ended operation."""
        return self.run([self.binding(instance_id, binding_id, **parameters)])[0]

    def binding(self, instance_id: str, binding_id: str, **parameters: Any) -> Operation:
        """Accept a bind without running it yet."""
        plan_id = self.instances[instance_id].plan_id
        self.bindings[instance_id, binding_id] = _Record(plan_id, parameters)
        return Operation(OperationKind.BIND, instance_id, binding_id)

    def unbind(self, instance_id: str, binding_id: str) -> Operation:
        """Remove a binding and return the ended operation."""
        return self.run([Operation(OperationKind.UNBIND, instance_id, binding_id)])[0]

    def resource(self, instance_id: str, binding_id: str = "") -> dict[str, Any]:
        """Return the facts known of an instance, or of a binding."""
        facts: dict[str, Any] = msgspec.json.decode(self._record(instance_id, binding_id).resource)
        return facts

    def run(self, operations: Sequence[Operation], *, steps: int | None = None) -> list[Operation]:
        """Run `operations` until all have ended, or so many steps have been made.

        Raises:
            TimeoutError: They have not ended in time; the last things that happened are named.
        """
        deadline = time.monotonic() + self.timeout
        left = steps
        while running := [operation for operation in operations if operation.end is None]:
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError([operation.steps[-3:] for operation in running])
            waiting = [one for one in running if one.waiting]
            if any(one.due <= now for one in waiting):
                # As the engine's poller: what is due soon is looked at in the same breath.
                self._observe([one for one in waiting if one.due <= now + one.interval / 2])
            for operation in running:
                if not operation.waiting and operation.due <= now:
                    if left == 0:
                        return list(operations)
                    left = left - 1 if left is not None else None
                    self.step(operation)
            pause = min((one.due for one in running if one.end is None), default=0.0)
            time.sleep(max(0.0, min(pause - time.monotonic(), _LONGEST_PAUSE)))
        return list(operations)

    def step(self, operation: Operation) -> None:
        """Call the step function once (or twice), and make its result durable."""
        function = getattr(self.broker, operation.kind.value)
        work = self.work(operation)
        try:
            if self.twice:
                function(work)
            result: Step = function(work)
        except TryAgainError as error:
            operation.steps.append(error)
            operation.due = time.monotonic() + min(error.after or _RETRY_SECONDS, _LONGEST_PAUSE)
            return
        operation.steps.append(result)
        operation.observation = None
        if isinstance(result, InProgress):
            operation.state = msgspec.json.encode(result.state)
            operation.waiting = result.poll_after > 0
            operation.interval = result.poll_after
            operation.due = time.monotonic() + result.poll_after
        if isinstance(result, InProgress | Succeeded):
            record = self._record(operation.instance_id, operation.binding_id)
            if operation.kind is OperationKind.UPDATE and isinstance(result, Succeeded):
                record.plan_id = operation.wanted_plan_id
                record.parameters = operation.wanted_parameters
            known: dict[str, Any] = msgspec.json.decode(record.resource)
            record.resource = msgspec.json.encode(known | dict(result.resource))

    def work(self, operation: Operation) -> Work:
        """Build what the step function gets, from what is durable."""
        instance = self.instances[operation.instance_id]
        binding = self.bindings.get((operation.instance_id, operation.binding_id))
        updating = operation.kind is OperationKind.UPDATE
        plan_id = operation.wanted_plan_id if updating else instance.plan_id
        service_id, plan = self._plans[plan_id]
        return Work(
            operation_id=operation.id,
            kind=operation.kind,
            instance_id=operation.instance_id,
            service_id=service_id,
            plan_id=plan.id,
            plan_settings=plan.settings,
            parameters=operation.wanted_parameters if updating else instance.parameters,
            previous_plan_id=instance.plan_id if updating else "",
            previous_parameters=instance.parameters if updating else NOTHING,
            context={"platform": "driver"},
            resource=msgspec.json.decode(instance.resource),
            binding_id=operation.binding_id,
            binding_parameters=binding.parameters if binding else NOTHING,
            binding_resource=msgspec.json.decode(binding.resource) if binding else NOTHING,
            state=msgspec.json.decode(operation.state),
            observation=operation.observation,
            unanswered_at=self.unanswered_at,
            started_at=operation.started_at,
            now=time.time(),
        )

    def _observe(self, waiting: Iterable[Operation]) -> None:
        by_id = {operation.id: operation for operation in waiting}
        if not by_id:
            return
        now = time.monotonic()
        try:
            seen = self.broker.observe([self.work(operation) for operation in by_id.values()])
        except TryAgainError as error:
            for operation in by_id.values():
                operation.due = now + min(error.after or _RETRY_SECONDS, _LONGEST_PAUSE)
            return
        for operation_id, operation in by_id.items():
            if operation_id in seen:
                operation.observation, operation.waiting = seen[operation_id], False
            else:
                operation.due = now + operation.interval

    def _record(self, instance_id: str, binding_id: str) -> _Record:
        if binding_id:
            return self.bindings[instance_id, binding_id]
        return self.instances[instance_id]
