"""One replica without threads: what it is told waits until it is made to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etcd_model import Client, Store

from alibroker.actors.actor import Address
from alibroker.actors.membership import Membership
from alibroker.actors.messages import Look, Reset, StepDue, Tick, Wait
from alibroker.actors.replica import Replica
from alibroker.actors.repository import Repository
from alibroker.actors.storage import Storage
from alibroker.brokers.catalog import Catalog
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.view import View

EPOCH = 1_000_000.0
"""Unix time when the store's clock stands at 0."""


class Clock:
    """Takes the place of the module `time`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def time(self) -> float:
        return EPOCH + self._store.now

    def monotonic(self) -> float:
        return self._store.now


class Mailbox(Address):
    """Takes what an actor is told, until it is made to read it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.messages: list[Any] = []

    def tell(self, message: Any) -> None:
        self.messages.append(message)


class _Inbox:
    """What storage sees of its mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def empty(self) -> bool:
        return not self._mailbox.messages

    def put(self, envelope: Any) -> None:
        self._mailbox.tell(envelope.message)


class _Barrier:
    """The barrier, without its thread."""

    def __init__(self) -> None:
        self.known = 0
        self.parked: list[tuple[int, Callable[[bool], None]]] = []

    def reached(self, revision: int) -> None:
        self.known = revision
        there = [go for wanted, go in self.parked if wanted <= revision]
        self.parked = [one for one in self.parked if one[0] > revision]
        for go in there:
            go(True)

    def fail(self) -> None:
        parked, self.parked = self.parked, []
        self.known = 0
        for _, go in parked:
            go(False)


@dataclass(eq=False)
class Running:
    """A step that a worker has begun."""

    due: StepDue
    began_at: float
    may_act: Callable[[], bool]


class Node:
    """One life of one replica."""

    def __init__(
        self,
        directory: Path,
        catalog: Catalog,
        store: Store,
        fault: Callable[[], str],
        meanwhile: Callable[[Node], None],
    ) -> None:
        self.directory = directory
        self.etcd = Client(store, fault, lambda: meanwhile(self))
        self.paused = False
        self.inbox = Mailbox("storage")
        self.dispatcher = Mailbox("dispatcher")
        self.poller = Mailbox("poller")
        self.steps: list[Running] = []
        self.view = View()
        self.barrier = _Barrier()
        self.replica = Replica(
            self.etcd,  # type: ignore[arg-type] # a model of it
            release="1",
            directory=directory / "presences",
            timeout=1.0,
            private=False,
            on_change=lambda: self.inbox.tell(Look()),
        )
        self.repository = Repository(
            self.etcd,  # type: ignore[arg-type]
            Sealer({"k": bytes(32)}, "k"),
            self.replica,
            timeout=1.0,
            marker=directory / "marker",
        )
        inbox = _Inbox(self.inbox)

        class Quiet(Storage):
            @staticmethod
            def _create_actor_inbox() -> Any:
                return inbox

        self.storage = Quiet(
            self.inbox,
            Mailbox("supervisor"),
            membership=Membership(
                self.etcd,  # type: ignore[arg-type]
                self.repository,
                self.replica,
                self.view,
                self.barrier,  # type: ignore[arg-type]
                self.inbox,
                [self.poller],
            ),
            view=self.view,
            dispatcher=self.dispatcher,
            pollers={"drawer": self.poller},
            catalog=catalog,
            lifetime=1e9,
        )
        self.storage.on_start()

    def due(self) -> list[StepDue]:
        """Return what the dispatcher and the poller would have a worker do."""
        due: list[StepDue] = []
        for message in [*self.dispatcher.messages, *self.poller.messages]:
            if isinstance(message, StepDue):
                due.append(message)
            elif isinstance(message, Wait):
                due.append(StepDue(message.key, message.operation_id, message.step, "drawer"))
        return due

    def read(self) -> bool:
        """Let storage read its next message; returns whether there was one."""
        if not self.inbox.messages:
            return False
        message = self.inbox.messages.pop(0)
        if isinstance(message, Tick):
            self.storage._next_try = 0.0
        self.storage.receive(message)
        for box in (self.dispatcher, self.poller):
            for number, told in reversed(list(enumerate(box.messages))):
                if isinstance(told, Reset):
                    del box.messages[: number + 1]
                    break
        return True
