"""Histories that are right by construction: the lifecycle itself, played one request at a time.

What happens is decided by the broker's own pure functions at one instant after the other; when each
request was sent and answered, as its client saw it, is then drawn around that instant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from history import Asked, Request, Told, sorted_parameters
from hypothesis import strategies
from msgspec.structs import replace

from alibroker.brokers.api import Failed, OperationKind, Succeeded
from alibroker.http.answers import REFUSALS
from alibroker.http.errors import OsbError
from alibroker.http.instances import check_there
from alibroker.lifecycle import progress, transitions
from alibroker.lifecycle.commands import (
    Answer,
    Bind,
    Deprovision,
    Provision,
    Report,
    Unbind,
    Update,
)
from alibroker.lifecycle.records import Binding, Instance, Record

NOW = 1_000.0
BINDINGS = ("b1", "b2")
CHANGES = ("provision", "update", "deprovision", "bind", "unbind")


class Step(NamedTuple):
    """What happens next: a request, or the end of an operation in progress."""

    kind: str
    binding: str = ""
    usual: bool = True
    """Whether it asks for the same as most requests of its kind."""
    good: bool = True
    """Whether an end is a good one."""
    before: float = 0.0
    """How long before it took effect it was sent, in seconds."""
    after: float = 0.0
    """How long after it took effect it was answered, in seconds."""
    fate: str = "answered"
    """answered, lost (the answer), or never arrived (the request)."""


def steps(least: int = 0, most: int = 30) -> strategies.SearchStrategy[list[Step]]:
    """Return a strategy for what may happen to one instance and its bindings."""
    times = strategies.sampled_from([0.1, 0.4, 1.2, 3.0])
    kinds = [*CHANGES, "fetch", "last_operation", "end", "end"]
    fates = ["answered"] * 5 + ["lost", "never arrived"]
    mostly = strategies.sampled_from([True, True, True, False])
    step = strategies.builds(
        Step,
        strategies.sampled_from(kinds),
        strategies.sampled_from(["", *BINDINGS]),
        mostly,
        mostly,
        times,
        times,
        strategies.sampled_from(fates),
    )
    return strategies.lists(step, min_size=least, max_size=most)


class Player:
    """A broker without a clock, a store, a cloud or a second client."""

    def __init__(self) -> None:
        self.instance: Instance | None = None
        self.bindings: dict[str, Binding] = {}
        self._count = 0

    def play(self, what: Sequence[Step]) -> Iterator[Request]:
        """Let things happen, one a second, and yield the requests as their clients saw them."""
        for second, step in enumerate(what):
            if step.kind == "end":
                self.end(step.binding, good=step.good)
                continue
            asked = asked_by(step)
            told = None
            if step.fate != "never arrived":
                told = self.answer(asked)
            if step.fate == "answered":
                yield Request(asked, told, second - step.before, second + step.after)
            else:
                yield Request(asked, None, second - step.before, math.inf)

    def end(self, binding: str, *, good: bool) -> None:
        """Let the operation on an instance or a binding end, if one is in progress."""
        record = self._record(binding)
        while record is not None and record.operation.in_progress:
            result: Succeeded | Failed = Failed(reason="No.", instance_usable=False)
            if good or record.operation.undoing:
                credentials = {"password": record.operation.id} if binding else None
                result = Succeeded(credentials=credentials)
            operation = record.operation
            report = Report(
                key=record.key, operation_id=operation.id, step=operation.step, result=result
            )
            record = progress.advance(record, report, NOW)
            self._store(record)

    def settle(self) -> None:
        """Let all operations end well."""
        for binding in ("", *BINDINGS):
            self.end(binding, good=True)

    def answer(self, asked: Asked) -> Told:
        """Answer a request, and let it take effect."""
        if asked.kind in CHANGES:
            return self._change(asked)
        return answered_by(self._record(asked.binding), asked)

    def _change(self, asked: Asked) -> Told:
        self._count += 1
        binding = self.bindings.get(asked.binding)
        # Platforms name the plan that there is.
        thing = binding if asked.binding else self.instance
        command = command_for(
            asked, f"op-{self._count}", "s", thing.plan_id if thing is not None else "plan-1"
        )
        match command:
            case Provision():
                decision = transitions.provision(self.instance, command, NOW)
            case Update():
                decision = transitions.update(self.instance, command, NOW)
            case Deprovision():
                bindings = self.bindings.values()
                decision = transitions.deprovision(self.instance, bindings, command, NOW)
            case Bind():
                decision = transitions.bind(self.instance, binding, None, command, NOW)
            case Unbind():
                decision = transitions.unbind(self.instance, binding, command, NOW)
        if decision.record is not None:
            self._store(decision.record)
        return told_of(decision.answer)

    def _record(self, binding: str) -> Record | None:
        return self.bindings.get(binding) if binding else self.instance

    def _store(self, record: Record | None) -> None:
        # What is removed and what is left behind is for the plugin to say; here nothing is left.
        if isinstance(record, Binding):
            self.bindings[record.binding_id] = replace(record, resource={})
        elif isinstance(record, Instance):
            self.instance = replace(record, resource={})


def asked_by(step: Step) -> Asked:
    """Return what a step asks for."""
    which = 1 if step.usual else 2
    match step.kind:
        case "provision":
            return Asked("provision", identity=f"space-{which}", plan="plan-1")
        case "update" if step.binding:
            return Asked("update", parameters=(("size", "1"),))
        case "update":
            return Asked("update", plan=f"plan-{which}")
        case "deprovision":
            return Asked("deprovision")
        case "bind" | "unbind":
            name = step.binding or BINDINGS[0]
            if step.kind == "unbind":
                return Asked("unbind", name)
            return Asked("bind", name, identity=f"app-{which}", plan="plan-1")
        case _:
            return Asked(step.kind, step.binding)


def command_for(
    asked: Asked, operation_id: str, service_id: str, plan_id: str
) -> Provision | Update | Deprovision | Bind | Unbind:
    """Return the command that a change asks for; `plan_id` is what a deletion names."""
    fields: dict[str, Any] = {
        "instance_id": "i",
        "service_id": service_id,
        "plan_id": asked.plan,
        "operation_id": operation_id,
        "duration": 100_000.0,
        "accepts_incomplete": True,
    }
    parameters = dict.fromkeys((name for name, _ in asked.parameters), 1)
    match asked.kind:
        case "provision":
            fields |= {"organization_guid": "o", "space_guid": asked.identity}
            return Provision(**fields, parameters=parameters)
        case "update":
            fields |= {"may_change_plan": True, "may_change_parameters": True}
            return Update(**fields, parameters=parameters)
        case "deprovision":
            return Deprovision(**{**fields, "plan_id": plan_id})
        case "bind":
            scope = {"app_guid": asked.identity}
            return Bind(**fields, binding_id=asked.binding, bind_resource=scope)
        case _:
            return Unbind(**{**fields, "plan_id": plan_id}, binding_id=asked.binding)


def answered_by(record: Record | None, asked: Asked) -> Told:
    """Return the answer to a question about a record."""
    if record is None:
        return Told(404, "NotFound")
    if asked.kind == "last_operation":
        return Told(200, state=str(record.operation.state))
    try:
        check_there(record, "it")
    except OsbError as ex:
        return Told(ex.status, str(ex.body["error"]))
    if isinstance(record, Binding):
        return Told(200, credentials=_credentials(record))
    return Told(200, plan=record.plan_id, parameters=sorted_parameters(record.private.parameters))


def told_of(answer: Answer) -> Told:
    """Return what the platform is told of the answer to a command."""
    record = answer.record
    if answer.verdict in REFUSALS:
        status, error, _ = REFUSALS[answer.verdict]
        return Told(status, error)
    assert record is not None
    if answer.goes_on:
        return Told(202, operation=record.operation.id)
    return Told(200, credentials=_credentials(record))


def _credentials(record: Record) -> str:
    bound = isinstance(record, Binding) and record.operation.kind is not OperationKind.UNBIND
    return str(record.private.credentials) if bound or record.private.credentials else ""
