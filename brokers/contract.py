"""The contract, held against what a plugin is and what it returns.

A plugin is somebody else's code: it may raise anything, return anything and be anything. Whatever
does not keep to `brokers/api.py` becomes a `ContractError` here, and never more than that.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from alibroker.brokers.api import (
    Accounts,
    Broker,
    Failed,
    Found,
    InProgress,
    Inventory,
    Json,
    OperationKind,
    ServiceOffering,
    Sharing,
    Step,
    Succeeded,
    TryAgainError,
    Work,
)
from alibroker.brokers.offerings import faults
from alibroker.brokers.texts import plain

T = TypeVar("T")

MAX_OFFERINGS: Final = 1_000
MAX_TEXT: Final = 4_096
"""Characters of a description or a reason that are kept."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_METHODS: Final = (*OperationKind, "observe", "close", "offerings")


class ContractError(Exception):
    """A plugin does not keep to the contract; the text says in what."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A broker that keeps to the contract, as far as that shows before it is asked for anything."""

    name: str
    broker: Broker
    offerings: tuple[ServiceOffering, ...] = ()
    inventory: Inventory | None = None
    """The broker itself, if it can say what exists."""
    instance_fact: str = ""
    binding_fact: str = ""
    """As the inventory names them; empty without one."""
    sharing: Sharing | None = None
    """The broker itself, if it keeps below limits that its replicas share."""
    accounts: Accounts | None = None
    """The broker itself, if it can say in which account of its cloud it works."""


def contained(call: Callable[[], T]) -> T:
    """Call into a plugin.

    Raises:
        TryAgainError: As the plugin raised it, and well formed.
        ContractError: The plugin raised anything else, of whatever class: what is not an
            `Exception` would otherwise end the thread, and with pykka's actors all others.
    """
    try:
        return call()
    except ContractError:
        raise
    except TryAgainError as error:
        raise _checked_error(error) from error
    except BaseException as error:
        raise ContractError(f"it raised {_described(error)}") from error


def checked(broker: Broker, others: Iterable[Plugin] = ()) -> Plugin:
    """Hold a new broker against the contract; `others` are there already.

    Raises:
        ContractError: It lacks a method, its offerings break a rule, or what it calls itself or
            offers has a name or an id that is taken.
    """
    return contained(lambda: _checked(broker, tuple(others)))


def _checked(broker: Broker, others: Sequence[Plugin]) -> Plugin:
    name: object = getattr(broker, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ContractError("its name is not 1 to 63 letters, digits and . _ -")
    if name in {other.name for other in others}:
        raise ContractError(f"another broker is called {name!r} too")
    missing = [method for method in _METHODS if not callable(getattr(broker, method, None))]
    if missing:
        raise ContractError(f"it has no method {', '.join(missing)}")
    offerings = _offerings(broker)
    inventory = _inventory(broker)
    facts = (inventory.instance_fact, inventory.binding_fact) if inventory else ("", "")
    taken = [offering for other in others for offering in other.offerings]
    for fault in faults([*taken, *offerings]):
        raise ContractError(fault)
    return Plugin(
        name,
        broker,
        offerings,
        inventory,
        *facts,
        sharing=_sharing(broker),
        accounts=_accounts(broker),
    )


def _offerings(broker: Broker) -> tuple[ServiceOffering, ...]:
    offered = list(itertools.islice(iter(broker.offerings()), MAX_OFFERINGS + 1))
    if len(offered) > MAX_OFFERINGS:
        raise ContractError(f"offerings() returns more than {MAX_OFFERINGS}")
    for one in offered:
        if not isinstance(one, ServiceOffering):
            raise ContractError(f"offerings() returns a {type(one).__name__}")
        # Made by hand, a struct can hold anything: only what is converted is checked.
        msgspec.convert(msgspec.to_builtins(one), ServiceOffering)
    return tuple(offered)


def _inventory(broker: Broker) -> Inventory | None:
    if not hasattr(broker, "inventory"):
        return None
    for method in ("inventory", "exists", "keep"):
        if not callable(getattr(broker, method, None)):
            raise ContractError(f"it has an inventory, but no method {method}")
    for fact in ("instance_fact", "binding_fact"):
        if not isinstance(getattr(broker, fact, None), str):
            raise ContractError(f"it has an inventory, but {fact} is no text")
    return broker if isinstance(broker, Inventory) else None


def _sharing(broker: Broker) -> Sharing | None:
    if not hasattr(broker, "share"):
        return None
    if not isinstance(broker, Sharing) or not callable(broker.share):
        raise ContractError("its share is no method")
    return broker


def _accounts(broker: Broker) -> Accounts | None:
    if not hasattr(broker, "account_fact"):
        return None
    if not isinstance(broker.account_fact, str) or not broker.account_fact:
        raise ContractError("account_fact is no text")
    if not callable(getattr(broker, "account", None)):
        raise ContractError("it has an account_fact, but no method account")
    return broker if isinstance(broker, Accounts) else None


def checked_step(work: Work, result: object) -> Step:
    """Return what a step came to, such that it can be stored.

    Raises:
        ContractError: It is no result of a step, or one that cannot be.
    """
    kinds: tuple[type[InProgress | Succeeded | Failed], ...] = (InProgress, Succeeded, Failed)
    for kind in kinds:
        if isinstance(result, kind):
            step = msgspec.json.decode(msgspec.json.encode(result), type=kind)
            break
    else:
        raise ContractError(f"a step returned a {type(result).__name__}")
    match step:
        case InProgress(poll_after=pause, description=text):
            if pause < 0:
                raise ContractError(f"a step wants to wait for {pause} seconds")
            return msgspec.structs.replace(step, description=plain(text[:MAX_TEXT]))
        case Succeeded(credentials=None) if work.kind is OperationKind.BIND:
            raise ContractError("a bind succeeded without credentials")
        case Failed(reason=text):
            return msgspec.structs.replace(step, reason=plain(text[:MAX_TEXT]))
    return step


def checked_observations(works: Sequence[Work], seen: object) -> dict[str, Json]:
    """Return what was seen, by operation id, of the operations that were asked about.

    Raises:
        ContractError: It is no mapping of mappings.
    """
    if not isinstance(seen, Mapping):
        raise ContractError(f"observe() returned a {type(seen).__name__}")
    found = {}
    for work in works:
        if work.operation_id in seen:
            what = seen[work.operation_id]
            if not isinstance(what, Mapping):
                raise ContractError(f"observe() saw a {type(what).__name__} of an operation")
            found[work.operation_id] = what
    return found


def checked_found(one: object) -> Found:
    """Return one thing of an inventory.

    Raises:
        ContractError: It is none.
    """
    if not isinstance(one, Found):
        raise ContractError(f"the inventory holds a {type(one).__name__}")
    return msgspec.convert(msgspec.to_builtins(one), Found)


def _checked_error(error: TryAgainError) -> Exception:
    """Return the error if it is well formed, else what is wrong with it."""
    reason: Any = getattr(error, "reason", None)
    after: Any = getattr(error, "after", None)
    if not isinstance(reason, str):
        return ContractError("it raised a TryAgainError without a reason")
    number = isinstance(after, int | float) and not isinstance(after, bool)
    if after is not None and not (number and math.isfinite(after) and after >= 0):
        return ContractError("it raised a TryAgainError whose pause is no number of seconds")
    unanswered = getattr(error, "unanswered", False) is not False
    return TryAgainError(plain(reason[:MAX_TEXT]), after=after, unanswered=unanswered)


def _described(error: BaseException) -> str:
    """Return class and text of an error, even if it cannot say its text."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - its class may do what it likes
        text = "(no text)"
    return plain(f"{type(error).__name__}: {text}"[:MAX_TEXT])
