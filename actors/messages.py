"""The messages that actors send each other. All are frozen; what they carry is never changed."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pykka

from alibroker.brokers.api import Json
from alibroker.etcd.watch import Event
from alibroker.lifecycle.commands import Answer, Command, Report
from alibroker.lifecycle.records import Key

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Reply(Protocol[T_contra]):
    """Where an answer is awaited: a `Future`, or what does as much of it as actors need."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: T_contra, /) -> None:
        """Answer.

        Raises:
            InvalidStateError: It is done.
        """

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Have it called when this is done."""


def resolve(reply: Reply[T], value: T) -> None:
    """Answer whoever waits for `reply`; whoever has stopped waiting is not disturbed."""
    with contextlib.suppress(InvalidStateError):
        reply.set_result(value)


@dataclass(frozen=True, slots=True)
class Change:
    """Edge to dispatcher to storage: do this, and resolve `reply` with an `Answer`."""

    command: Command
    broker: str
    reply: Reply[Answer]
    early: bool = False
    """Whether it has not passed the barrier. A write compares what it was decided on; any other
    answer is *unsure*."""


@dataclass(frozen=True, slots=True)
class StepDue:
    """Storage or poller to dispatcher to worker: the operation's next step can be done."""

    key: Key
    operation_id: str
    step: int
    broker: str
    observation: Json | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Storage to poller: the operation is to be looked at again.

    With `observe` the cloud is looked at first, else the step is simply called again.
    """

    key: Key
    operation_id: str
    step: int
    due_at: float
    interval: float
    observe: bool


@dataclass(frozen=True, slots=True)
class StepReport:
    """Worker to storage: what came of a step."""

    broker: str
    worker: str
    report: Report


@dataclass(frozen=True, slots=True)
class StepTaken:
    """Storage to dispatcher: a step's result is durable or was of no use; the worker is free."""

    key: Key
    broker: str
    worker: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """Supervisor to dispatcher: the worker failed and was started anew; what it did is lost."""

    broker: str
    worker: str


@dataclass(frozen=True, slots=True)
class TakeSurvey:
    """System to surveyor: compare the cloud with the records."""

    asked_at: float
    """Unix time in seconds; a survey that was begun later will do."""


class Settlement(enum.StrEnum):
    """What operators can decide on an orphan."""

    ADOPT = "adopt"
    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Settle:
    """System to surveyor: do this about a finding, and resolve `reply`."""

    finding_id: str
    settlement: Settlement
    reply: Future[Answer]
    parameters: Json = field(default_factory=dict)
    """Replace those that the thing seems to have been created with."""
    instance_id: str = ""
    """What it is to be adopted as, where its marks do not say."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Surveyor to itself: a finding needs no decision any more."""

    finding_id: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Ticker to storage, pollers, surveyor and supervisor: a moment has passed."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Storage to dispatcher and pollers: forget all work; it will be handed out anew."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Supervisor to storage: hand out work anew, somebody has lost theirs."""

    broker: str = ""
    """Whose work; empty: everybody's."""


@dataclass(frozen=True, slots=True)
class Look:
    """Anybody to storage: another replica has come or gone, or this one was declared dead."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Storage to pollers: so many replicas, this one included, call the cloud."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Follower to storage: what was written, by whichever replica, up to a revision."""

    follower: object
    revision: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class LostSight:
    """Follower to storage: it does not hear any more what others write."""

    follower: object
    reason: str


@dataclass(frozen=True, slots=True)
class Behind:
    """Barrier to storage: what others write has not arrived in time."""


@dataclass(frozen=True, slots=True)
class Drain:
    """System to dispatcher: take on nothing more; resolve `reply` when no step is running."""

    reply: Future[bool]


@dataclass(frozen=True, slots=True)
class HandOver:
    """System to storage: leave all operations to other replicas; resolve `reply` when that is done.

    With `idle` no step of them is running.
    """

    idle: bool
    reply: Future[bool]


@dataclass(frozen=True, slots=True)
class ActorFailed:
    """A dying actor to its supervisor."""

    name: str
    actor: pykka.ActorRef[Any]
    error: str
