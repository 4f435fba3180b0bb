"""The calls into plugins that are under way, and which of them do not come back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import pykka

from alibroker.actors.quarantine import Quarantine
from alibroker.brokers.contract import contained
from alibroker.brokers.fencing import fenced
from alibroker.lifecycle.records import DELETIONS, Key

T = TypeVar("T")

INVENTORY_PATIENCE: Final = 12.0
"""How many times longer than a step an inventory may take to its next thing: a plugin may return
all of a large account at once."""


class Call(NamedTuple):
    """Which function of which plugin, for which operation if for one."""

    broker: str
    what: str
    """`provision`, ..., `unbind`, `observe`, `share`, `inventory`, `exists`, `keep`,
    `account`."""
    key: Key = Key("")
    operation_id: str = ""

    @property
    def name(self) -> str:
        """Names the call over restarts: an operation's steps, and apart those that only remove."""
        if not self.operation_id:
            return f"{self.broker}: {self.what}"
        kind = "removing" if self.what in DELETIONS else "working on"
        binding = f", binding {self.key.binding_id}" if self.key.binding_id else ""
        of = f"instance {self.key.instance_id}{binding}"
        return f"{self.broker}: {kind} {of} (operation {self.operation_id})"

    def __str__(self) -> str:
        """Name it in logs and probes."""
        of = f" of instance {self.key.instance_id}" if self.key.instance_id else ""
        binding = f", binding {self.key.binding_id}" if self.key.binding_id else ""
        return f"{self.broker}: {self.what}{of}{binding}"


@dataclass(slots=True, eq=False)
class Running:
    """A call that has not come back yet."""

    call: Call
    actor: pykka.ActorRef[Any]
    """Whose thread it is in."""
    bound: float
    """Seconds after which it is taken to hang."""
    since: float = field(default_factory=time.monotonic)
    noticed: bool = False
    """Whether it was seen to hang, and its actor replaced if that was possible."""

    def touch(self) -> None:
        """Note that it gets on."""
        self.since = time.monotonic()


class Calls:
    """Runs what plugins offer, contained, and knows what is running.

    Used by the threads of all actors at once: the table is a dict, of which each thread adds and
    removes its own entries only.
    """

    def __init__(
        self, bound: float, quarantine: Quarantine, permit: Callable[[], Callable[[], bool]]
    ) -> None:
        """Take what every call is under.

        Args:
            bound: seconds within which it has to come back.
            quarantine: where it is noted.
            permit: called when it begins; returns what says whether it may still act.
        """
        self.quarantine = quarantine
        self._permit = permit
        self._bound = bound
        self._numbers = itertools.count()
        self._running: dict[int, Running] = {}

    def run(self, call: Call, actor: pykka.ActorRef[Any], function: Callable[[], T]) -> T:
        """Call into a plugin in this thread, which is the actor's.

        Raises:
            TryAgainError: The plugin asks for patience.
            ContractError: It has a defect, whatever it raised.
        """
        with self.entered(call, actor):
            return contained(function)

    @contextmanager
    def entered(
        self, call: Call, actor: pykka.ActorRef[Any], patience: float = 1.0
    ) -> Iterator[Running]:
        """Count a call as under way until the block ends; it may take `patience` times longer."""
        number = next(self._numbers)
        self._running[number] = running = Running(call, actor, self._bound * patience)
        try:
            with self.quarantine.noted(call.name), fenced(self._permit()):
                yield running
        finally:
            del self._running[number]

    def overdue(self) -> list[Running]:
        """Return the calls that hang."""
        now = time.monotonic()
        running = list(self._running.values())
        return [one for one in running if now - one.since > one.bound]

    def hanging(self, call: Call) -> int:
        """Return how many calls like this one hang."""
        return sum(one.noticed and one.call == call for one in list(self._running.values()))

    def hanging_in(self, broker: str) -> int:
        """Return how many calls of a plugin hang."""
        return sum(
            one.noticed and one.call.broker == broker for one in list(self._running.values())
        )

    def busy(self, actor: pykka.ActorRef[Any]) -> bool:
        """Tell whether an actor's thread is in a plugin's code now."""
        return any(one.actor == actor for one in list(self._running.values()))
