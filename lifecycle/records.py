"""What the broker remembers: instances, bindings and their last operation.

Records are frozen; a change makes a new one. What must not be read by others is in `private`, which
is sealed before it leaves the process. Times are Unix times in seconds.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from alibroker.brokers.api import NOTHING, Json, OperationKind

R = TypeVar("R", bound="Record")

SCHEMA = 1
DELETIONS = (OperationKind.DEPROVISION, OperationKind.UNBIND)
MAX_EVENTS = 20
MAX_EARLIER_PLANS = 10


class OperationState(enum.StrEnum):
    """The states of an operation (OSB, Polling Last Operation)."""

    IN_PROGRESS = "in progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Status(enum.StrEnum):
    """Where an instance or a binding is in its life."""

    CREATING = "creating"
    READY = "ready"
    CREATION_FAILED = "creation failed"
    UPDATING = "updating"
    DELETING = "deleting"
    DELETED = "deleted"


class Key(NamedTuple):
    """Names an instance (`binding_id` empty) or one of its bindings."""

    instance_id: str
    binding_id: str = ""


class Event(msgspec.Struct, frozen=True):
    """One line of a record's history."""

    at: float
    what: str


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation, from its acceptance to its end and beyond, for late polls."""

    id: str
    kind: OperationKind
    started_at: float
    deadline: float
    """The operation has ended by then."""
    replica: str = ""
    """Which of the broker's processes works on it; the others leave it alone."""
    requested_by: str = ""
    """The originating identity, as `platform user`; empty if the platform sent none."""
    adopting: bool = False
    """Whether it is about what was there before it: then its failure removes nothing."""
    state: OperationState = OperationState.IN_PROGRESS
    description: str = ""
    step: int = 0
    """How many step results were taken in; the result of another step is too late."""
    tries: int = 0
    """How often the step that is due was tried again."""
    chain: int = 0
    """How many steps in a row wanted the next one at once."""
    due_at: float = 0.0
    poll_after: float = 0.0
    """Seconds between looks at the cloud while the operation waits for it; 0 if a step is due."""
    last_word: str = ""
    """What its latest step said: the reason to try again, or what it waits for."""
    failure: str = ""
    """Why the operation fails; set while what it had created is being removed."""
    ended_at: float = 0.0
    instance_usable: bool = True
    update_repeatable: bool = True

    @property
    def in_progress(self) -> bool:
        """Whether the operation has not ended."""
        return self.state is OperationState.IN_PROGRESS

    @property
    def creating(self) -> bool:
        """Whether its failure is followed by removing what it had created."""
        creation = self.kind in (OperationKind.PROVISION, OperationKind.BIND)
        return creation and not self.adopting

    @property
    def removing(self) -> bool:
        """Whether its steps only remove what there is."""
        return self.undoing or self.kind in DELETIONS

    @property
    def has_deleted(self) -> bool:
        """Whether there is nothing any more since it has ended."""
        return self.kind in DELETIONS and self.state is OperationState.SUCCEEDED

    @property
    def undoing(self) -> bool:
        """Whether the operation has failed and is removing what it had created."""
        return self.in_progress and bool(self.failure)


class Private(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What only the broker may read."""

    parameters: Json = NOTHING
    state: Json = NOTHING
    """What the last step of the operation in progress left behind."""
    credentials: Json | None = None
    wanted: Json = NOTHING
    """The parameters that an update in progress is to bring about."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What instances and bindings have in common: an operation on a cloud resource."""

    schema: int = SCHEMA
    instance_id: str
    service_id: str
    plan_id: str
    operation: Operation
    created: bool = False
    """Whether it was ever ready."""
    clean: bool = False
    """Whether a creation that failed has left nothing behind."""
    unanswered_at: float = 0.0
    """When it was last noticed that nobody will see the answer to a request that creates or changes
    the cloud resource; 0 if that never was. The request may take effect after others."""
    resource: Json = NOTHING
    """Facts about the cloud resource, readable by operators."""
    metadata: Json = NOTHING
    """What the platform is told about it, in the words of the OSB API."""
    events: tuple[Event, ...] = ()
    private: Private = Private()

    @property
    def key(self) -> Key:
        """What the record is found under."""
        return Key(self.instance_id)

    @property
    def status(self) -> Status:
        """Where the record is in its life; follows from its last operation."""
        operation = self.operation
        match operation.kind:
            case OperationKind.PROVISION | OperationKind.BIND:
                running, failed = Status.CREATING, Status.CREATION_FAILED
            case OperationKind.UPDATE:
                running, failed = Status.UPDATING, Status.READY
            case OperationKind.DEPROVISION | OperationKind.UNBIND:
                running = Status.DELETING
                failed = Status.READY if self.created else Status.CREATION_FAILED
        if operation.in_progress:
            return running
        if operation.state is OperationState.FAILED:
            return failed
        return Status.DELETED if running is Status.DELETING else Status.READY

    @property
    def holds_something(self) -> bool:
        """Whether there may be something in the cloud that belongs to it."""
        return not (self.clean or self.status is Status.DELETED)


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """What a poll needs of a record, and nothing that is sealed."""

    schema: int = 0
    operation: Operation


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an update in progress is to bring about, kept apart from what is in force."""

    plan_id: str
    maintenance_version: str = ""
    context: Json = NOTHING


class Instance(Record, frozen=True, kw_only=True):
    """A service instance."""

    organization_guid: str = ""
    space_guid: str = ""
    context: Json = NOTHING
    usable: bool = True
    """Whether new bindings make sense (OSB `instance_usable`)."""
    maintenance_version: str = ""
    """The version of the plan that the instance runs with (OSB, Maintenance Info)."""
    earlier_plans: tuple[str, ...] = ()
    """Ids of the plans that it had before, the latest last: a platform may not know better yet."""
    wanted: Wanted | None = None


class Binding(Record, frozen=True, kw_only=True):
    """A service binding."""

    binding_id: str
    bind_resource: Json = NOTHING
    context: Json = NOTHING
    predecessor_binding_id: str = ""
    """The binding that this one is to replace (OSB, Binding Rotation)."""
    endpoints: tuple[Json, ...] = ()

    @property
    def key(self) -> Key:
        """What the record is found under."""
        return Key(self.instance_id, self.binding_id)


def noted(record: R, now: float, what: str) -> R:
    """Return the record with one more line of history, and the oldest gone if it has too many."""
    return replace(record, events=(*record.events, Event(now, what))[-MAX_EVENTS:])


def same_json(one: Any, other: Any) -> bool:
    """Compare as JSON: key order is irrelevant, 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)
