"""This process as one of the broker's replicas: its registration, and what that lets it do.

All replicas meet in etcd and nowhere else. Each has a key of its own there that goes with its
lease, and compares it in each write: who has been declared dead cannot write. A replica that finds
itself alone takes the store for its own (`keys.OWNER`). All others compare that there is no owner,
so for as long as it is, nothing changes but by its hand, and what it knows is all there is to know.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from alibroker.actors.presence import Presence
from alibroker.etcd import keys
from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue
from alibroker.etcd.errors import EtcdError, EtcdUnavailableError
from alibroker.etcd.fence import Fence
from alibroker.etcd.lease import Session, now
from alibroker.etcd.transaction import Guard
from alibroker.lifecycle.ownership import Registration, chosen, chosen_for
from alibroker.lifecycle.records import SCHEMA, Key

log = logging.getLogger(__name__)

TTL: Final = 6
"""Seconds after which a replica that gives no sign of life is taken for dead."""
REPORT_INTERVAL: Final = 5.0
"""Seconds between what a replica tells operators of itself."""
PRIVATE_TTL: Final = 20
"""The same where all replicas are on one machine, and see each other end at once."""


class StoreRefusedError(Exception):
    """This process must not use the store; an operator has to mend that."""


class SupersededError(StoreRefusedError):
    """An earlier release has taken over the store; nothing of ours can be written any more."""

    def __init__(self) -> None:
        super().__init__(
            "A broker of an earlier release, which shares its store with nobody, has taken over "
            "this one: stop it, or give it a store of its own (ALIBROKER_ETCD_ENDPOINTS)."
        )


class DeregisteredError(Exception):
    """This process was declared dead: its registration is gone, and others do its work."""


class NotYetError(EtcdError):
    """Another replica has to do something first."""


class Replica:
    """For the storage actor alone, but for what says otherwise."""

    def __init__(
        self,
        etcd: Etcd,
        *,
        release: str,
        directory: Path,
        timeout: float,
        private: bool,
        on_change: Callable[[], None],
    ) -> None:
        """Register nothing yet.

        Args:
            etcd: where all replicas meet.
            release: of the broker.
            directory: where the processes of this machine show each other that they live.
            timeout: seconds for each call to etcd.
            private: whether nobody on another machine can reach that etcd.
            on_change: called, from any thread, when it is time to look again.
        """
        self._etcd = etcd
        self._release = release
        self._directory = directory
        self._timeout = timeout
        self._private = private
        self._on_change = on_change
        self._session: Session | None = None
        self._presence: Presence | None = None
        self._owner = 0
        self._lost = ""
        self._registration = Registration(id="", host="", pid=0, release=release, started_at=0.0)
        self._report_at = 0.0
        self._beat = now()
        self._interrupted = False
        self.id = ""
        """Names this process; another one after each registration. Empty while it has none."""
        self.registrations: dict[str, Registration] = {}
        """All replicas that live, as of the last look."""
        self.alone = False
        """Whether what this process knows is all there is to know, for as long as its registration
        lives. Read by all threads."""

    @property
    def owns(self) -> bool:
        """Whether the store is this process's own."""
        return self._owner > 0

    @property
    def owns_from(self) -> int:
        """The revision from which on nobody else has changed anything; 0 if it does not own."""
        return self._owner

    @property
    def others(self) -> set[str]:
        """Who else lives."""
        return self.registrations.keys() - {self.id}

    @property
    def lost(self) -> str:
        """Why this process has no registration any more although it had one; empty if it has."""
        return self._lost

    @property
    def is_current(self) -> bool:
        """Whether nobody can have changed anything unknown to this process. For all threads."""
        return self.alone and self._lives()

    def permit(self) -> Callable[[], bool]:
        """Return what says whether this process may go on with what it begins now.

        It may not once it was taken for dead, even if it has registered anew since.
        """
        mine = self.id
        return lambda: self.id == mine and self._lives()

    def _lives(self) -> bool:
        """Whether nobody can have taken this process for dead yet.

        An etcd that only this machine reaches and that does not answer lets nobody do so either;
        unless this process stood still, and others had the time to.
        """
        session = self._session
        if session is None or session.lost is not None:
            return False
        if session.is_valid():
            return True
        return self._private and not self._interrupted and now() - self._beat < PRIVATE_TTL / 2

    def beat(self) -> None:
        """Note that this process does not stand still."""
        before, self._beat = self._beat, now()
        if self._beat - before > PRIVATE_TTL / 2:
            self._interrupted = True

    def join(self) -> None:
        """Register, unless that is done, and see who else lives.

        Raises:
            NotYetError: Another replica has the store to itself, and will share it in a moment; or
                one has to end before this release can begin.
            EtcdError: etcd does not answer.
        """
        if self._session is None:
            self._check_releases(self._registrations())
            self._register()
        self.look()
        (owner,) = self._etcd.read([keys.OWNER], timeout=self._timeout)
        if owner is None and self.others:
            return
        # Without a lease it is that of an earlier release, which knows of no replicas.
        if owner is None or owner.lease == 0:
            self._take(owner)
            return
        if owner.revision != self._owner:
            raise NotYetError(f"{owner.value.decode()} has the store to itself and is to share it")

    def look(self) -> None:
        """See who lives.

        Raises:
            DeregisteredError: This one does not any more.
            SupersededError: The store is an earlier release's.
            EtcdError: etcd does not answer.
        """
        if self._session is None:
            return
        found = self._registrations()
        if self.id not in found:
            raise DeregisteredError("its registration is gone")
        self.registrations = found
        (owner,) = self._etcd.read([keys.OWNER], timeout=self._timeout)
        if owner is not None and owner.lease == 0:
            raise SupersededError
        if self.owns and (owner is None or owner.revision != self._owner):
            raise DeregisteredError("the store is not its own any more")
        if owner is not None and owner.value == self.id.encode():
            # Perhaps it was taken by a write whose answer was lost.
            self._owner = owner.revision
        self._interrupted = False

    def guards(self) -> tuple[Guard, ...]:
        """Return what each write has to compare, so that it counts only while this one lives."""
        if self.owns:
            return ((keys.OWNER, self._owner),)
        session = self._session
        return (session.guard, (keys.OWNER, 0)) if session else ()

    @property
    def fence(self) -> Fence | None:
        """What keeps a repeated call from being carried out once more, much later."""
        return self._session.fence if self._session else None

    def report(self, operations: int, revision: int) -> None:
        """Tell operators what this replica is at, now and then.

        Raises:
            EtcdError: etcd does not answer; `SessionLostError`: this one does not live any more.
        """
        session, moment = self._session, time.monotonic()
        registration = replace(
            self._registration, operations=operations, revision=revision, alone=self.alone
        )
        if session is None or registration == self._registration or moment < self._report_at:
            return
        self._report_at = moment + REPORT_INTERVAL
        session.update(msgspec.json.encode(registration), timeout=self._timeout)
        self._registration = registration

    def take(self) -> None:
        """Make the store this process's own, once nobody else is there and nobody is faster.

        Raises:
            EtcdError: etcd does not answer, or may have done it: the next look shows.
        """
        self._take(None)

    def share(self) -> None:
        """Let others change things as well.

        Raises:
            EtcdError: etcd does not answer, or may have done it: then this has to be repeated.
        """
        self.alone = False
        if self.owns:
            entry = Entry(keys.OWNER, None, self._owner)
            self._etcd.commit([entry], timeout=self._timeout)
            (owner,) = self._etcd.read([keys.OWNER], timeout=self._timeout)
            if owner is not None and owner.revision == self._owner:
                raise EtcdUnavailableError("the store could not be given up")
            self._owner = 0

    def is_chosen_for(self, key: Key) -> bool:
        """Whether a record is this one's part, if it is nobody's yet."""
        return chosen_for(key, self.registrations) == self.id

    def is_chosen(self, task: str) -> bool:
        """Whether what only one should do is this one's part. For all threads."""
        return bool(self.id) and chosen(task, dict(self.registrations)) == self.id

    def leave(self) -> None:
        """End the registration, so that others can take over at once. Never raises."""
        self.alone = False
        self._owner = 0
        session, self._session = self._session, None
        if session is not None:
            session.close(timeout=self._timeout)
        if self._presence is not None:
            self._presence.end()
            self._presence = None
        self.registrations = {}
        self._lost = ""
        self.id = ""

    # -- registering ----------------------------------------------------------------------------

    def _register(self) -> None:
        host, pid = socket.gethostname()[:64], os.getpid()
        self.id = f"{host}-{pid}-{secrets.token_hex(4)}"
        registration = self._registration = Registration(
            id=self.id, host=host, pid=pid, release=self._release, started_at=time.time()
        )
        self._presence = Presence(self._directory, self.id)
        session = self._etcd.session(
            keys.REPLICAS + self.id,
            msgspec.json.encode(registration),
            ttl=PRIVATE_TTL if self._private else TTL,
            on_lost=self._on_lost,
        )
        session.open(timeout=self._timeout)
        self._session = session
        log.info("Registered as replica %s", self.id)

    def _on_lost(self, reason: str) -> None:
        self.alone = False
        self._lost = reason
        self._on_change()

    def _take(self, former: KeyValue | None) -> None:
        session = self._session
        if session is None:
            return
        entry = Entry(
            keys.OWNER,
            self.id.encode(),
            former.revision if former else 0,
            guards=(session.guard,),
            lease=session.lease,
        )
        done = self._etcd.write(
            [entry], timeout=self._timeout, clock=keys.CLOCK, fence=session.fence
        )
        (outcome,) = done.outcomes
        if isinstance(outcome, Committed):
            self._owner = outcome.revision

    def _registrations(self) -> dict[str, Registration]:
        """Read who lives; end the registrations of those on this machine that are seen not to.

        Raises:
            EtcdError: etcd does not answer.
        """
        found = {}
        for pair in self._etcd.scan(keys.REPLICAS, timeout=self._timeout):
            registration = _registration(pair)
            # Without a lease it was put there by something else, and would never end.
            if registration is None or pair.lease == 0:
                continue
            if registration.id != self.id and Presence.has_ended(self._directory, registration.id):
                log.info("Replica %s has ended on this machine", registration.id)
                self._etcd.revoke(pair.lease, timeout=self._timeout)
                Presence.forget(self._directory, registration.id)
                continue
            found[registration.id] = registration
        return found

    def _check_releases(self, found: dict[str, Registration]) -> None:
        for one in found.values():
            if one.schema != SCHEMA:
                raise NotYetError(
                    f"replica {one.id} (release {one.release}) keeps records of version "
                    f"{one.schema}, this release ({self._release}) of version {SCHEMA}: it begins "
                    "when the other has ended (docs/replicas.md)"
                )


def _registration(pair: KeyValue) -> Registration | None:
    try:
        return msgspec.json.decode(pair.value, type=Registration)
    except msgspec.MsgspecError:
        log.error("%s is no registration, and is ignored", pair.key)  # noqa: TRY400 - no defect
        return None
