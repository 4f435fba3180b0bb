"""The plugin contract: what a broker offers, and what passes between it and the engine.

A broker is one cloud service. For each kind of operation it has one *step function*. The engine
calls it again and again until the operation has ended, and makes what it returns durable in
between, so a crash at any instant means: the same step is called again with the same `Work`. A step
therefore does the next small thing (one cloud call, or a few) and must be idempotent: called twice,
it yields one cloud resource. Whatever would be left behind if the step crashed half-way must be
named in `resource` *before* the step that creates it.

A plugin never deals with HTTP, actors, etcd, retries, deadlines or crashes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

Json = Mapping[str, Any]
"""A JSON object. Frozen by agreement: what is handed over is never changed."""

NOTHING: Json = {}


class OperationKind(enum.StrEnum):
    """What a platform can ask for, in the words of the OSB API."""

    PROVISION = "provision"
    UPDATE = "update"
    DEPROVISION = "deprovision"
    BIND = "bind"
    UNBIND = "unbind"


class Plan(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A plan as the catalog publishes it (OSB, Plan object), and what only the broker knows."""

    id: str
    name: str
    description: str
    metadata: Json = NOTHING
    free: bool | None = None
    bindable: bool | None = None
    plan_updateable: bool | None = None
    binding_rotatable: bool | None = None
    schemas: Json = NOTHING
    maximum_polling_duration: int
    """Seconds within which every operation on an instance of this plan ends."""
    maintenance_info: Json = NOTHING

    settings: Json = NOTHING
    """What the broker needs to know of the plan; not published."""
    asynchronous_only: tuple[OperationKind, ...] = ()
    """Operations that last too long for a synchronous answer; not published."""
    hidden: bool = False
    """Whether it is not offered any more; instances that have it live on. Not published."""
    requires_app: bool = False
    """Whether a bind has to name an application (OSB `RequiresApp`); not published."""


class ServiceOffering(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A service offering as the catalog publishes it (OSB, Service Offering object)."""

    id: str
    name: str
    description: str
    bindable: bool
    plans: tuple[Plan, ...]
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    instances_retrievable: bool = True
    bindings_retrievable: bool = True
    allow_context_updates: bool = False
    plan_updateable: bool = False
    metadata: Json = NOTHING


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as a step function sees it.

    `resource` holds the facts about the instance's cloud resource that earlier steps, also those of
    earlier operations, wanted kept; operators can read them, so nothing in it is secret.
    `state` is what the last step of *this* operation left behind; it is sealed at rest and may hold
    secrets. `observation` is what `Broker.observe` saw of this operation, if that is why it is
    called.
    """

    operation_id: str
    kind: OperationKind
    instance_id: str
    service_id: str
    plan_id: str
    plan_settings: Json = NOTHING
    parameters: Json = NOTHING
    """The instance's parameters as the platform sent them; in an update, those that are wanted."""
    previous_plan_id: str = ""
    """In an update: the plan that is in force."""
    previous_parameters: Json = NOTHING
    """In an update: the parameters that are in force."""
    context: Json = NOTHING
    organization_guid: str = ""
    space_guid: str = ""
    requested_by: str = ""
    """Who asked for the operation, as `platform user`; empty if the platform did not say (OSB,
    Originating Identity)."""
    resource: Json = NOTHING

    binding_id: str = ""
    binding_parameters: Json = NOTHING
    bind_resource: Json = NOTHING
    """`bind_resource` of the bind request; `app_guid` in it, if the platform sent one."""
    binding_resource: Json = NOTHING
    """As `resource`, of the binding."""

    state: Json = NOTHING
    observation: Json | None = None
    unanswered_at: float = 0.0
    """Unix time in seconds before which a request of ours that creates or changes something, of
    this or an earlier operation on the same thing, was sent and its answer never seen; 0 if there
    is none. The request may still be on its way: what it creates may appear after a deletion."""
    started_at: float
    """Unix time in seconds at which the operation was accepted; the same in every call."""
    now: float
    """Unix time in seconds."""


class InProgress(msgspec.Struct, frozen=True, kw_only=True):
    """There is more to do.

    With `poll_after` 0 the step function is called again as soon as this is durable. With more, the
    operation waits for the cloud: after about so many seconds `Broker.observe` is asked about it.
    `resource` is merged into the facts known (of the binding, for bind and unbind).
    """

    description: str
    """For the platform's user: what is going on."""
    state: Json = NOTHING
    resource: Json = NOTHING
    poll_after: float = 0.0


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The operation has ended well. `resource` is merged; `credentials` are those of a bind."""

    resource: Json = NOTHING
    credentials: Json | None = None
    metadata: Json = NOTHING
    """Of an instance: `labels`, `attributes`; of a binding: `expires_at`, `renew_before` (OSB)."""
    endpoints: tuple[Json, ...] = ()
    """Of a binding: where the service is reached (OSB, Endpoint Object; ports are strings)."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The operation cannot succeed.

    After a failed provision or bind the engine calls `deprovision` or `unbind` by itself, so that
    nothing is left behind.
    """

    reason: str
    """For the platform's user: what went wrong and what to change. Never secret."""
    instance_usable: bool = True
    update_repeatable: bool = True


Step = InProgress | Succeeded | Failed


class TryAgainError(Exception):
    """Raised by a step or an observation when the cloud cannot do it now.

    It is throttled, busy or unreachable. The engine calls again with the same `Work`, later and
    later, until the operation's deadline.
    """

    def __init__(
        self, reason: str, *, after: float | None = None, unanswered: bool = False
    ) -> None:
        """Take a reason that may be shown to the user, and the seconds the cloud asked to wait.

        `unanswered` says that a request may have taken effect, or still take it: see
        `Work.unanswered_at`.
        """
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.unanswered = unanswered


class Broker(Protocol):
    """One cloud service. Called from several threads at once; one operation is in one thread only.

    A step that makes several calls to the cloud asks `alibroker.brokers.fencing.check` before each.
    A step function raises `TryAgainError` where trying later helps. Any other exception is taken
    for a defect: it is logged and tried again in the same way.
    """

    name: str
    """Short and unique: names threads, metrics and log lines."""

    def offerings(self) -> Sequence[ServiceOffering]:
        """Return what is on offer; asked once, at start."""
        ...

    def provision(self, work: Work) -> Step:
        """Do the next step towards the instance."""
        ...

    def update(self, work: Work) -> Step:
        """Do the next step towards the changed instance."""
        ...

    def deprovision(self, work: Work) -> Step:
        """Do the next step towards there being nothing left, whatever state provision reached."""
        ...

    def bind(self, work: Work) -> Step:
        """Do the next step towards the credentials."""
        ...

    def unbind(self, work: Work) -> Step:
        """Do the next step towards there being nothing left, whatever state bind reached."""
        ...

    def observe(self, works: Sequence[Work]) -> Mapping[str, Json]:
        """Look at many waiting operations with few cloud calls.

        Returns, by operation id, what was seen of those whose step function should now be called;
        the others go on waiting. A broker that cannot look at many at once returns all of them.
        """
        ...

    def close(self) -> None:
        """Let go of connections; no step is running any more."""
        ...


class CheckState(enum.StrEnum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should look at it."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Nothing harmless tells."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that has to be right before the first instance is created."""

    subject: str
    """What was looked at: `RDS: plan mysql small`. Names it among all checks."""
    state: CheckState
    detail: str = ""
    """What was seen."""
    remedy: str = ""
    """What an operator has to change; empty if nothing."""


class Price(msgspec.Struct, frozen=True):
    """What an instance costs in an hour."""

    amount: float
    currency: str


@runtime_checkable
class Preflight(Protocol):
    """What a broker offers besides, if its cloud can be asked beforehand what would go wrong."""

    def preflight(self) -> Iterable[Check]:
        """Look at all that instances and bindings will need; changes and costs nothing."""
        ...

    def price(self, plan_id: str) -> Price | None:
        """Return what an instance of the plan costs; None if the cloud does not say.

        Raises:
            TryAgainError: The cloud cannot be asked now.
        """
        ...


@runtime_checkable
class Sharing(Protocol):
    """What a broker offers besides, if it keeps below limits that the cloud has for an account."""

    def share(self, replicas: int) -> None:
        """Take note how many of the broker's processes call the cloud, this one included.

        Each keeps below its part of a limit. Called whenever that changes; returns at once.
        """
        ...


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in the cloud that carries this broker's mark, as `Inventory.inventory` saw it."""

    kind: str
    """What it is, in the cloud's words: `RDS instance`, `RAM user`."""
    name: str
    """Names it among its kind, as the cloud's console shows it."""
    main: bool = True
    """Whether it is what `instance_fact` or `binding_fact` names, and not a part beside that."""
    instance_id: str = ""
    """The service instance it was created for; empty if its marks do not say."""
    instance_digest: str = ""
    """The `digest` of its instance's id, where that is all that its marks have room for."""
    binding_id: str = ""
    """The binding it was created for; empty for what belongs to the instance. If the marks of
    something of a binding do not say which, its own name."""
    service_id: str = ""
    plan_id: str = ""
    organization_guid: str = ""
    space_guid: str = ""
    created_at: float = 0.0
    """Unix time in seconds at which the cloud created it; 0 if it does not say."""
    kept: bool = False
    """Whether an operator said that it is to stay although no record knows it."""
    held: str = ""
    """What keeps it from being deleted until somebody else lets go of it, in words that follow
    `while it is`; empty if nothing does."""
    contents_unknown: bool = False
    """Whether the cloud would not say just now what belongs to this instance."""
    resource: Json = NOTHING
    """The facts that a record of it would hold, and that deleting it needs. One that differs from
    the record's was changed behind the broker's back."""
    parameters: Json = NOTHING
    """The parameters that it seems to have been created with, as far as the cloud shows them."""


@runtime_checkable
class Accounts(Protocol):
    """What a broker offers besides, if what it creates is in an account of its cloud.

    Surveys do not take for missing, or for an orphan, what the credentials of another account show.
    """

    account_fact: str
    """The fact in a `resource` that says in which account the thing is."""

    def account(self) -> str:
        """Return the account that the broker's credentials belong to.

        Raises:
            TryAgainError: the cloud cannot be asked now.
        """
        ...


@runtime_checkable
class Inventory(Protocol):
    """What a broker offers besides, if its cloud can be asked what exists.

    With it orphans are found, and a lost store is rebuilt. An adopted binding is bound anew: `bind`
    meets the facts that `Found.resource` holds, and gives what is there new credentials.
    """

    instance_fact: str
    """The fact in an instance's `resource` that names its thing in the cloud, and no other's: what
    one instance has named there, no other can."""
    binding_fact: str
    """The same of a binding. If such names are only told apart within the instance's thing, the
    binding's `resource` holds the `instance_fact` as well."""

    def inventory(self) -> Iterable[Found]:
        """Return all that carries this broker's mark, but for what the cloud is deleting already.

        Raises:
            TryAgainError: the cloud cannot be asked now. Half an inventory is never returned.
        """
        ...

    def exists(self, resource: Json, *, of_binding: bool) -> bool:
        """Tell whether there is what the facts of a record name, whatever marks it carries now.

        Asked of what `inventory` did not return; what the cloud is deleting does not exist.

        Raises:
            TryAgainError: the cloud cannot say now.
        """
        ...

    def keep(self, found: Found) -> None:
        """Mark something of an instance as kept, in the cloud: see `Found.kept`.

        Raises:
            TryAgainError: the cloud cannot do it now.
        """
        ...
