"""What the storage actor decides on, and the lifecycle's word on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from alibroker.actors.messages import Change, StepReport
from alibroker.brokers.api import Failed
from alibroker.etcd.client import Entry
from alibroker.lifecycle import progress, transitions
from alibroker.lifecycle.adoption import adopt
from alibroker.lifecycle.claims import Claims
from alibroker.lifecycle.commands import (
    Adopt,
    Answer,
    Bind,
    Command,
    Decision,
    Deprovision,
    Learn,
    Provision,
    Report,
    Unbind,
    Update,
    Verdict,
)
from alibroker.lifecycle.learning import learn
from alibroker.lifecycle.records import Key, Record
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeIsUp:
    """A record's time has come (see `Deadlines`)."""

    key: Key
    operation_id: str


@dataclass(frozen=True, slots=True)
class Reseal:
    """A record is sealed with a key that is to be given up."""

    key: Key


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The operation of a replica that lives no more goes to this one."""

    key: Key
    operation_id: str


@dataclass(frozen=True, slots=True)
class GiveAway:
    """An operation of this replica goes to another."""

    key: Key
    operation_id: str
    replica: str
    idle: bool
    """Whether none of its steps is running."""


Item = Change | StepReport | TimeIsUp | Reseal | TakeOver | GiveAway


@dataclass(frozen=True, slots=True)
class Write:
    """One entry of a commit: what led to it, and what it makes of the record."""

    item: Item
    key: Key
    record: Record | None
    entry: Entry
    answer: Answer | None = None


def decide(view: View, claims: Claims, change: Change, now: float) -> Decision:
    """Put the lifecycle's question about a command to the records.

    Whether the platform has to wait for something is only known once there is something to do.
    """
    command = change.command
    needed = depends_on(change)
    if any(key in needed or _is_within(key, command) for key in view.unreadable):
        return transitions.refused(Verdict.UNREADABLE, "")
    if view.unreadable and isinstance(command, Adopt) and not command.marked:
        return transitions.refused(Verdict.UNREADABLE, "An unreadable record may be the one of it.")
    decision = _decide(view, command, now)
    if decision.answer.goes_on and command.asynchronous_only and not command.accepts_incomplete:
        return transitions.refused(Verdict.ASYNC_REQUIRED, "")
    if decision.record is not None:
        wrong = _objection(view, claims, command, decision.record)
        if wrong:
            return transitions.refused(Verdict.DIFFERENT, wrong)
    return decision


def _decide(view: View, command: Command, now: float) -> Decision:
    instance = view.instance(command.instance_id)
    match command:
        case Provision():
            return transitions.provision(instance, command, now)
        case Update():
            return transitions.update(instance, command, now)
        case Deprovision():
            bindings = view.bindings_of(command.instance_id)
            return transitions.deprovision(instance, bindings, command, now)
        case Bind():
            binding = view.binding(command.instance_id, command.binding_id)
            predecessor = view.binding(command.instance_id, command.predecessor_binding_id)
            return transitions.bind(instance, binding, predecessor, command, now)
        case Unbind():
            binding = view.binding(command.instance_id, command.binding_id)
            return transitions.unbind(instance, binding, command, now)
        case Adopt():
            return adopt(instance, view.get(command.key), command, now)
        case Learn():
            return learn(view.get(command.key), command, now)
    raise TypeError(type(command).__name__)


def _is_within(key: Key, command: Command) -> bool:
    """Whether it is a binding of an instance that is to be deleted."""
    return isinstance(command, Deprovision) and key.instance_id == command.instance_id


def _objection(view: View, claims: Claims, command: Command, record: Record) -> str:
    """Say why another record keeps this one from coming to be; empty if none does."""
    if not claims.of(record):
        return ""
    taken = claims.taken(view.get(command.key), record)
    if taken is not None:
        claim, holder = taken
        return f"There is a record of {claim}: {'/'.join(filter(None, holder))}."
    if isinstance(command, Deprovision | Unbind | Adopt) and claims.disputed(record):
        return "Another record names the same thing: the broker's operator has to see whose it is."
    return ""


def advance(claims: Claims, record: Record, report: Report, now: float) -> Record | None:
    """Take in what came of a step, but for what it names and another record has: that fails."""
    advanced = progress.advance(record, report, now)
    taken = claims.taken(record, advanced) if advanced is not None else None
    if taken is None:
        return advanced
    claim, holder = taken
    log.error("A step of %s named %s, which is that of %s", report.key, claim, holder)
    kind = "binding" if claim.of_binding else "instance"
    # Not whose: that is nobody's business.
    reason = f"{claim.name} is another service {kind}'s already; if you chose it, choose another."
    return progress.advance(record, progress.with_result(report, Failed(reason=reason)), now)


def depends_on(item: Item) -> set[Key]:
    """Return the records that a decision on the item depends on."""
    match item:
        case Change(command=command):
            keys = {command.key, Key(command.instance_id)}
            if isinstance(command, Bind) and command.predecessor_binding_id:
                keys.add(Key(command.instance_id, command.predecessor_binding_id))
            return keys
        case StepReport(report=report):
            return {report.key}
        case TimeIsUp(key=key) | Reseal(key=key) | TakeOver(key=key) | GiveAway(key=key):
            return {key}
