"""How this process gets along with the other replicas, as they come and go.

    alone     the store is its own: it knows all, answers reads at once, and works on everything
    sharing   a newcomer is there: it names itself in all that it works on, begins to follow what
              others write, and gives the store up
    shared    it follows; each reads behind the barrier, and works on what names it

and back again when nobody else has been there for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final

from alibroker.actors.actor import Address
from alibroker.actors.barrier import Barrier
from alibroker.actors.decisions import GiveAway, TakeOver
from alibroker.actors.following import Follower, Neighbours
from alibroker.actors.messages import Look, Shared
from alibroker.actors.replica import Replica
from alibroker.actors.repository import Repository
from alibroker.etcd.client import Etcd
from alibroker.lifecycle.ownership import chosen_for
from alibroker.lifecycle.records import Key, Record
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

LONELY: Final = 5.0
"""Seconds without others after which a replica makes the store its own: in the middle of a rolling
restart the next one comes soon."""


class Membership:
    """For the storage actor alone."""

    def __init__(
        self,
        etcd: Etcd,
        store: Repository,
        replica: Replica,
        view: View,
        barrier: Barrier,
        storage: Address,
        pollers: Iterable[Address],
    ) -> None:
        self._etcd = etcd
        self.store = store
        self.replica = replica
        self._view = view
        self._barrier = barrier
        self._storage = storage
        self._pollers = tuple(pollers)
        self._neighbours = Neighbours(etcd, storage, Look())
        self._follower: Follower | None = None
        self._living: frozenset[str] = frozenset()
        self._lonely_since = 0.0
        self._strays = False

    @property
    def follows(self) -> bool:
        """Whether what other replicas write arrives by itself."""
        return self._follower is not None

    def is_from(self, follower: object) -> bool:
        """Whether that follower is the one that counts."""
        return follower is self._follower

    def is_ours(self, record: Record) -> bool:
        """Whether this process works on the record's operation."""
        return self.replica.owns or record.operation.replica == self.replica.id

    def is_due_here(self, key: Key) -> bool:
        """Whether it is for this process to end or forget what a record's time has come for."""
        if self.replica.owns:
            return True
        operation = self._view.operation(key)
        if operation is not None and operation.in_progress:
            return operation.replica == self.replica.id
        return self.replica.is_chosen_for(key)

    # -- coming and going -----------------------------------------------------------------------

    def join(self) -> None:
        """Register, if that is not done, and see whether work can begin.

        Raises:
            NotYetError: Another replica has to do something first.
            EtcdError: etcd does not answer.
            StoreReplacedError: it is not the store that this broker has worked with.
            StoreRefusedError: this process must not use it.
        """
        if not self.replica.id:
            self.store.open()
            self.replica.join()
            self._neighbours.start()
        else:
            self.replica.join()

    def begin(self) -> None:
        """Begin to work, with all records read at the store's revision."""
        self._stop_following()
        if self.replica.owns:
            self.replica.alone = True
        else:
            self._follower = Follower(self._etcd, self._storage, self.store.revision)
        self._strays = True
        self._lonely_since = 0.0
        self.reached()

    def leave(self) -> None:
        """Take no part any more; whoever reads has to wait until this process does again."""
        self._neighbours.stop()
        self._stop_following()
        self.replica.leave()
        self._barrier.fail()

    def reached(self) -> None:
        """Let go on who waits for what is known now."""
        self._barrier.reached(self.store.revision)

    # -- living together ------------------------------------------------------------------------

    def adapt(self) -> list[TakeOver]:
        """Do what the coming and going of others asks for; return what has to be written for it.

        Raises:
            EtcdError: etcd does not answer; this is to be repeated.
        """
        self._note_changes()
        replica = self.replica
        names = () if replica.owns else (replica.id,)
        replica.report(self._view.in_progress_at(*names), self.store.revision)
        if replica.owns and replica.others:
            unnamed = self._not_named(self._view.running())
            if not unnamed:
                self._share()
            return unnamed
        if replica.owns:
            self._settle_down()
        elif not replica.others:
            self._be_lonely()
        else:
            self._lonely_since = 0.0
        return self._stray() if self._strays and not replica.owns else []

    def may_be_stray(self, record: Record) -> None:
        """Take note of an operation that may be in the hands of one who lives no more."""
        operation = record.operation
        if operation.in_progress and operation.replica not in self.replica.registrations:
            self._strays = True

    def given_away(self, *, idle: bool) -> list[GiveAway]:
        """Return what has to be written for others to go on with all that is done here."""
        others = self.replica.others
        if self.replica.owns or not others:
            return []
        return [
            GiveAway(record.key, record.operation.id, chosen_for(record.key, others), idle)
            for record in self._view.running()
            if record.operation.replica == self.replica.id
        ]

    def catch_up(self) -> None:
        """Listen to another server, if the one that is listened to lags behind."""
        if self._follower is not None:
            self._follower.restart()

    def _note_changes(self) -> None:
        living = frozenset(self.replica.registrations)
        for one in living - self._living - {self.replica.id}:
            log.info("Replica %s is there", one)
        for one in self._living - living - {self.replica.id}:
            log.info("Replica %s is gone", one)
            self._strays = True
        if len(living) != max(1, len(self._living)):
            for poller in self._pollers:
                poller.tell(Shared(len(living)))
        self._living = living

    def _not_named(self, running: Iterable[Record]) -> list[TakeOver]:
        return [
            TakeOver(record.key, record.operation.id)
            for record in running
            if record.operation.replica != self.replica.id
        ]

    def _stray(self) -> list[TakeOver]:
        """Return the operations of the dead that are for this replica to go on with."""
        living = self.replica.registrations
        strays = [
            record for record in self._view.running() if record.operation.replica not in living
        ]
        self._strays = bool(strays)
        return [
            TakeOver(record.key, record.operation.id)
            for record in strays
            if self.replica.is_chosen_for(record.key)
        ]

    def _share(self) -> None:
        if self._follower is None:
            self.store.come_up()
            self._follower = Follower(self._etcd, self._storage, self.store.revision)
            self.reached()
        self.replica.share()
        self._strays = True
        log.info("The store is shared with %s", ", ".join(sorted(self.replica.others)))

    def _be_lonely(self) -> None:
        now = time.monotonic()
        self._lonely_since = self._lonely_since or now
        if now - self._lonely_since >= LONELY:
            self._lonely_since = now
            self.replica.take()

    def _settle_down(self) -> None:
        """Be alone, once all is known that others wrote before the store became this one's own."""
        if not self.replica.alone and self.store.revision >= self.replica.owns_from:
            self.replica.alone = True
            self._stop_following()
            log.info("No other replica is there")

    def _stop_following(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
