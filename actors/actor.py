"""What all actors share: an address that outlives them, and a death that is noticed."""

from __future__ import annotations

import abc
import collections
import queue
import threading
from types import TracebackType
from typing import Any, ClassVar

import pykka

from alibroker.actors.messages import ActorFailed


class Address:
    """Where an actor is reached, whichever of its lives it is in.

    An actor that fails is started anew under the same address. Messages told in between, and those
    it had not yet read, wait here.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._actor: pykka.ActorRef[Any] | None = None
        self._waiting: collections.deque[Any] = collections.deque()
        self._abandoned: set[pykka.ActorRef[Any]] = set()

    @property
    def is_alive(self) -> bool:
        """Whether somebody is there to read."""
        actor = self._actor
        return actor is not None and actor.is_alive()

    def tell(self, message: Any) -> None:
        """Send without waiting; never blocks and never raises."""
        actor = self._actor
        if actor is not None:
            try:
                actor.tell(message)
            except pykka.ActorDeadError:
                pass
            else:
                return
        with self._lock:
            if self._actor is actor:
                self._waiting.append(message)
                return
        self.tell(message)

    def keep(self, messages: list[Any]) -> None:
        """Keep what a dying actor had not read, before what was told since."""
        with self._lock:
            self._waiting.extendleft(reversed(messages))

    def abandon(self, actor: pykka.ActorRef[Any]) -> None:
        """Note that another takes the place of an actor that does not come back, for if it does."""
        self._abandoned.add(actor)
        self.keep(_unread(actor.actor_inbox, self.name))

    def was_left_by(self, actor: pykka.ActorRef[Any]) -> bool:
        """Tell whether another actor took this one's place."""
        return actor in self._abandoned

    def move_to(self, actor: pykka.ActorRef[Any]) -> None:
        """Let a new actor live here, and read what has waited."""
        with self._lock:
            while self._waiting:
                actor.tell(self._waiting.popleft())
            self._actor = actor


class ActorDefectError(Exception):
    """Something escaped from an actor that is no `Exception`."""


class Actor(pykka.ThreadingActor):
    """An actor with an address and a supervisor.

    An exception that escapes from handling a told message ends a pykka actor for good. Here that
    is how defects are handled: the supervisor is told, and what was not yet read moves to the next
    life. Expected errors never escape; they are answers.

    An actor whose message takes too long may have been replaced when it is through: then it ends.
    """

    # The interpreter must be able to exit whatever an actor is stuck in; `BrokerSystem` stops them.
    use_daemon_thread: ClassVar[bool] = True

    def __init__(self, address: Address, supervisor: Address) -> None:
        super().__init__()
        self.address = address
        self._supervisor = supervisor

    @property
    def abandoned(self) -> bool:
        """Whether another actor has taken this one's place."""
        return self.address.was_left_by(self.actor_ref)

    @abc.abstractmethod
    def receive(self, message: Any) -> None:
        """Handle a message."""

    def on_receive(self, message: Any) -> None:
        """Handle a message, and let nothing through that would stop all actors of the process.

        Raises:
            ActorDefectError: What escaped is no `Exception`: pykka takes that for the order to stop
                everybody, and says nothing.
        """
        try:
            self.receive(message)
        except Exception:
            raise
        except BaseException as error:
            raise ActorDefectError(f"{type(error).__name__} escaped") from error
        if self.abandoned:
            self.stop()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,  # noqa: ARG002 - pykka has logged it
    ) -> None:
        """Save what was not read and tell the supervisor."""
        self.address.keep(_unread(self.actor_inbox, self.address.name))
        kind = exception_type.__name__ if exception_type else "?"
        self._supervisor.tell(
            ActorFailed(self.address.name, self.actor_ref, f"{kind}: {exception_value}")
        )


def _unread(inbox: Any, name: str) -> list[Any]:
    """Take out what was told to an actor that will not read it."""
    unread: list[Any] = []
    dead = pykka.ActorDeadError(name)
    while True:
        try:
            envelope = inbox.get(block=False)
        except queue.Empty:
            return unread
        if envelope.reply_to is None:
            unread.append(envelope.message)
        else:
            envelope.reply_to.set_exception((pykka.ActorDeadError, dead, None))
