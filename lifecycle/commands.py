"""What a platform can ask for, and what it is answered: the vocabulary of the lifecycle."""

from __future__ import annotations

import enum

import msgspec

from alibroker.brokers.api import NOTHING, Json, Step
from alibroker.lifecycle.records import Key, Record


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A request to change something, checked against the catalog."""

    instance_id: str
    service_id: str
    plan_id: str
    operation_id: str
    """Names the operation, should this command start one."""
    duration: float
    """Seconds within which the operation has to end (the plan's `maximum_polling_duration`)."""
    accepts_incomplete: bool = False
    """Whether the platform is content with an answer before the operation has ended."""
    asynchronous_only: bool = False
    """Whether the plan cannot do it before it answers."""
    requested_by: str = ""

    @property
    def key(self) -> Key:
        """The record that the command is about."""
        return Key(self.instance_id)


class Provision(Command, frozen=True, kw_only=True):
    """Create an instance (OSB, Provisioning)."""

    organization_guid: str
    space_guid: str
    context: Json = NOTHING
    parameters: Json = NOTHING
    maintenance_version: str = ""


class Update(Command, frozen=True, kw_only=True):
    """Change an instance (OSB, Updating); what is empty stays as it is.

    `parameters` are merged into those in force, member by member; `unset` are taken out of them.
    """

    context: Json = NOTHING
    parameters: Json = NOTHING
    unset: frozenset[str] = frozenset()
    maintenance_version: str = ""
    may_change_plan: bool = False
    may_change_parameters: bool = False


class Deprovision(Command, frozen=True, kw_only=True):
    """Delete an instance (OSB, Deprovisioning)."""


class Bind(Command, frozen=True, kw_only=True):
    """Create a binding (OSB, Binding)."""

    binding_id: str
    bind_resource: Json = NOTHING
    context: Json = NOTHING
    parameters: Json = NOTHING
    predecessor_binding_id: str = ""
    """The binding to replace; its parameters and scope are taken over where none are given."""

    @property
    def key(self) -> Key:
        """The record that the command is about."""
        return Key(self.instance_id, self.binding_id)


class Unbind(Command, frozen=True, kw_only=True):
    """Delete a binding (OSB, Unbinding)."""

    binding_id: str

    @property
    def key(self) -> Key:
        """The record that the command is about."""
        return Key(self.instance_id, self.binding_id)


class Adopt(Command, frozen=True, kw_only=True):
    """Make a record of something in the cloud that none knows, be it to delete it.

    An operator's command: the OSB API has nothing like it. An adopted binding is bound anew, since
    nobody knows its credentials.
    """

    binding_id: str = ""
    organization_guid: str = ""
    space_guid: str = ""
    resource: Json = NOTHING
    parameters: Json = NOTHING
    within: Json = NOTHING
    """Of a binding's thing: the facts that name the instance's thing which holds it."""
    marked: bool = False
    """Whether its marks say what it is a record of."""
    delete: bool = False

    @property
    def key(self) -> Key:
        """The record that the command is about."""
        return Key(self.instance_id, self.binding_id)


class Learn(Command, frozen=True, kw_only=True):
    """Add to a record what a survey has seen of its thing; `operation_id` is its last operation's.

    The broker's own command. It starts no operation.
    """

    binding_id: str = ""
    facts: Json

    @property
    def key(self) -> Key:
        """The record that the command is about."""
        return Key(self.instance_id, self.binding_id)


class Verdict(enum.StrEnum):
    """What came of a command. `http/` turns each into a status code, in one table."""

    STARTED = "started"
    """An operation has begun."""
    JOINED = "joined"
    """The same request is being worked on already."""
    DONE = "done"
    """It was so already; nothing had to be done."""
    ENDED = "ended"
    """The operation that was waited for has ended, well or badly."""
    DIFFERENT = "different"
    """The id is in use for something else."""
    BUSY = "busy"
    """Another operation on the same resource is in progress."""
    GONE = "gone"
    """There is nothing (any more) to delete."""
    UNKNOWN = "unknown"
    """There is no such instance."""
    MISMATCH = "mismatch"
    """Service or plan are not those of the instance."""
    BINDINGS_LEFT = "bindings left"
    """The instance still has bindings."""
    UNUSABLE = "unusable"
    """The instance cannot take bindings."""
    ASYNC_REQUIRED = "async required"
    """It takes longer than the platform is ready to wait."""
    UNSUPPORTED = "unsupported"
    """The change is not offered."""
    FULL = "full"
    """So much is going on that nothing more is taken on now."""
    UNAVAILABLE = "unavailable"
    """The store cannot be written now; the change may or may not have been stored."""
    TOO_LARGE = "too large"
    """The record would be larger than what the store takes."""
    UNREADABLE = "unreadable"
    """There is a record, but it cannot be read: an operator has to look at it."""
    UNSURE = "unsure"
    """Other replicas may have written what makes it another answer: wait, and ask again."""
    ERROR = "error"
    """A defect of the broker; see its log."""


class Answer(msgspec.Struct, frozen=True):
    """The reply to a command; `record` as it is after it, where there is one."""

    verdict: Verdict
    description: str = ""
    record: Record | None = None

    @property
    def goes_on(self) -> bool:
        """Whether an operation is in progress that the command began, or found."""
        return self.verdict in (Verdict.STARTED, Verdict.JOINED)


class Decision(msgspec.Struct, frozen=True):
    """What the lifecycle makes of a command: the answer, and the record to store first, if any."""

    answer: Answer
    record: Record | None = None


class Again(msgspec.Struct, frozen=True):
    """A step could not be done now; to be called again with the same work."""

    reason: str
    after: float | None = None
    """Seconds that the cloud asked to wait, if it did."""
    unanswered: bool = False
    """Whether a request may have taken effect, or still take it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one step of one operation."""

    key: Key
    operation_id: str
    step: int
    result: Step | Again
