"""The storage actor: decides on changes and makes them durable. The only code that writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from alibroker.actors.actor import Actor, Address
from alibroker.actors.availability import AWAY, Availability
from alibroker.actors.batches import Batches
from alibroker.actors.decisions import (
    Item,
    Reseal,
    TimeIsUp,
    Write,
)
from alibroker.actors.effects import Effects
from alibroker.actors.handout import Handout
from alibroker.actors.membership import Membership
from alibroker.actors.messages import (
    Behind,
    Change,
    HandOver,
    Look,
    LostSight,
    Resume,
    Seen,
    StepReport,
    StepTaken,
    Tick,
    resolve,
)
from alibroker.actors.replica import SupersededError
from alibroker.actors.replies import Replies
from alibroker.brokers.api import Failed
from alibroker.brokers.catalog import Catalog
from alibroker.etcd.client import MAX_ENTRIES, Commit, Committed
from alibroker.etcd.errors import (
    EtcdError,
    EtcdRejectedError,
    EtcdUnknownError,
)
from alibroker.etcd.records import UnknownSchemaError
from alibroker.lifecycle import progress
from alibroker.lifecycle.claims import Claims
from alibroker.lifecycle.commands import Answer, Verdict
from alibroker.lifecycle.deadlines import Deadlines
from alibroker.lifecycle.records import Key
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

PING_INTERVAL = 2.0
RESEAL_BATCH = 50
"""Records sealed anew in each tick after a change of the key."""
NOT_OURS = 60.0
"""Seconds until it is seen again whether another replica has done what it should."""


class Storage(Actor):
    """Receives `Change`, `StepReport` and `Tick`; tells dispatcher and pollers what to do next.

    Group commit: what waits in the inbox is decided and committed as one transaction; while that is
    under way the next batch gathers. The view changes, and anybody hears of it, only after etcd has
    acknowledged. A commit whose answer was lost stays *unsettled*: it is repeated (each entry
    compares, so it takes effect once) before anything else is written.

    On failure: the next life reads everything back and hands out all work anew.
    """

    def __init__(
        self,
        address: Address,
        supervisor: Address,
        *,
        membership: Membership,
        view: View,
        dispatcher: Address,
        pollers: Mapping[str, Address],
        catalog: Catalog,
        lifetime: float,
    ) -> None:
        super().__init__(address, supervisor)
        self._store = store = membership.store
        self._membership = membership
        self._replica = membership.replica
        self._view = view
        self._dispatcher = dispatcher
        self._deadlines = Deadlines(lifetime)
        self._pending: list[Item] = []
        self._unsettled: list[Write] = []
        self._replies = Replies()
        self._held: list[tuple[int, Item]] = []
        self._next_try = 0.0
        self._availability = Availability(store, view, self._step_down, self._deregistered)
        self._handout = Handout(catalog, dispatcher, pollers)
        claims = Claims(catalog)
        self._effects = Effects(
            view=view,
            claims=claims,
            deadlines=self._deadlines,
            replies=self._replies,
            handout=self._handout,
            membership=membership,
        )
        self._batches = Batches(
            store=store,
            replica=membership.replica,
            view=view,
            claims=claims,
            deadlines=self._deadlines,
            replies=self._replies,
            dispatcher=dispatcher,
            cut_off=self._effects.cut_off,
        )

    def on_start(self) -> None:
        """Begin with nothing known: what an earlier life saw may be out of date."""
        self._membership.leave()
        self._view.clear(self._store.decoded)
        self.actor_ref.tell(Tick())  # nobody is served before all is read: begin at once

    def receive(
        self, message: Item | Tick | Resume | Look | Seen | LostSight | Behind | HandOver
    ) -> None:
        """Gather, and commit when nothing more waits."""
        match message:
            case Tick():
                self._tick()
            case Look():
                self._next_try = 0.0
                self._tick()
            case Seen():
                self._see(message)
            case LostSight(follower=follower, reason=reason):
                if self._membership.is_from(follower):
                    self._deregistered(reason)
            case Behind():
                self._membership.catch_up()
            case HandOver(idle=idle, reply=reply):
                self._hand_over(reply, idle=idle)
            case Resume(broker=""):
                self._effects.resume()
            case Resume(broker=broker):
                self._handout.of(broker, self._effects.ours())
            case _:
                self._pending.append(message)
        if self._pending and (len(self._pending) >= MAX_ENTRIES or self.actor_inbox.empty()):
            self._flush()

    def on_stop(self) -> None:
        """Store what has been gathered."""
        self._flush()
        self._store.close()
        self._membership.leave()

    def on_failure(self, *error: Any) -> None:
        """Leave nobody waiting."""
        sorry = Answer(Verdict.UNAVAILABLE, AWAY)
        for item in self._pending:
            if isinstance(item, Change):
                resolve(item.reply, sorry)
        self._replies.end_all(sorry)
        self._membership.leave()
        super().on_failure(*error)

    # -- time -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        if self._availability.stepped_down:
            return
        self._replica.beat()
        if self._replica.lost:
            self._deregistered(self._replica.lost)
        if not self._view.complete or self._unsettled or not self._view.available:
            if now >= self._next_try:
                self._recover_or_settle()
                self._next_try = time.monotonic() + 0.2
        elif now >= self._next_try:
            self._next_try = now + PING_INTERVAL
            self._availability.attempt(self._store.ping)
        if self._usable:
            self._availability.attempt(self._adapt)
        if self._view.complete and not self._unsettled:
            self._time_is_up(time.time())
            if self._replica.is_chosen("reseal"):
                self._reseal()

    def _adapt(self) -> None:
        taken = self._membership.adapt()
        if taken:
            log.info("%d operations are taken over from replicas that are gone", len(taken))
            self._pending.extend(taken)

    def _time_is_up(self, now: float) -> None:
        for key, operation_id in self._deadlines.due(now):
            if self._membership.is_due_here(key):
                self._pending.append(TimeIsUp(key, operation_id))
            elif self._view.operation(key) is not None:
                self._deadlines.again(key, operation_id, now + NOT_OURS)

    def _reseal(self) -> None:
        """Seal some more records with the current key, a few at a time beside the real work."""
        outdated = self._store.outdated
        some = [outdated.pop() for _ in range(min(RESEAL_BATCH, len(outdated)))]
        self._pending.extend(Reseal(key) for key in some)
        if some and not outdated:
            log.info("All records are sealed with the current key")

    def _recover_or_settle(self) -> None:
        if not self._view.complete:
            self._availability.attempt(self._recover)
        elif self._unsettled:
            writes, self._unsettled = self._unsettled, []
            self._commit(writes, in_doubt=True)
        else:
            self._availability.attempt(self._store.ping)

    def _step_down(self, error: Exception) -> None:
        """Leave the store to others: neither answer from what was, nor act."""
        self._membership.leave()
        if isinstance(error, SupersededError | UnknownSchemaError):
            self._let_go()

    def _deregistered(self, reason: str) -> None:
        """Drop all that was known, and come back as another replica."""
        log.warning("This replica has to begin anew: %s", reason)
        self._view.waits_for = f"this replica was taken for dead and begins anew: {reason}"
        items = [write.item for write in self._unsettled] + [item for _, item in self._held]
        self._unsettled, self._held = [], []
        self._pending = items + self._pending
        self._let_go()
        self._next_try = 0.0

    def _let_go(self) -> None:
        self._membership.leave()
        self._view.clear(self._store.decoded)
        self._handout.all(())
        self._replies.end_all(Answer(Verdict.UNAVAILABLE, AWAY))

    # -- start ----------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Register, read everything back and resume every operation that is ours to go on with."""
        self._membership.join()
        started = time.monotonic()
        self._view.clear(self._store.decoded)
        self._effects.clear()
        count = 0
        for record, value in self._store.load():
            self._effects.read_back(record, value)
            count += 1
        self._view.unreadable = frozenset(self._store.unreadable)
        self._membership.begin()
        self._view.complete = True
        resumed = self._effects.resume()
        if self._store.outdated:
            log.info("%d records are to be sealed with another key", len(self._store.outdated))
        log.info(
            "%d records read back in %.2f s, %d operations resumed",
            count,
            time.monotonic() - started,
            resumed,
        )

    # -- other replicas -------------------------------------------------------------------------

    def _see(self, seen: Seen) -> None:
        """Take in what was written, by whichever replica."""
        if not self._membership.is_from(seen.follower):
            return
        try:
            for event in seen.events:
                news = self._store.news(event.key, event.value, event.revision)
                if news is not None:
                    self._view.unreadable = frozenset(self._store.unreadable)
                    self._effects.take_in(*news, event.value)
        except UnknownSchemaError as ex:
            self._availability.step_down(ex)
            return
        self._store.followed(seen.revision)
        self._caught_up()

    def _caught_up(self) -> None:
        """Let go on who had to wait until the view is as far as it is now."""
        self._membership.reached()
        if self._held:
            known = self._store.revision
            self._pending += [item for revision, item in self._held if revision <= known]
            self._held = [one for one in self._held if one[0] > known]

    def _hand_over(self, reply: Future[bool], *, idle: bool) -> None:
        """Leave to others what they can go on with at once."""
        if self._usable:
            self._pending.extend(self._membership.given_away(idle=idle))
        self._flush()
        resolve(reply, value=True)

    # -- deciding -------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._pending and self._usable:
            items, self._pending = self._pending, []
            batch = self._batches.gather(items)
            self._pending += batch.later
            for write in batch.too_large:
                self._rejected(write, "it is too large")
            if batch.writes:
                self._commit(batch.writes)
        if not self._usable:
            refused, self._pending = self._pending, []
            for item in refused:
                self._refuse(item)

    @property
    def _usable(self) -> bool:
        return self._view.complete and self._view.available and not self._unsettled

    def _refuse(self, item: Item) -> None:
        """Answer a change; keep what the broker itself has to store until etcd is back."""
        if isinstance(item, Change):
            resolve(item.reply, Answer(Verdict.UNAVAILABLE, self._availability.sorry))
        else:
            self._pending.append(item)

    # -- committing -----------------------------------------------------------------------------

    def _commit(self, writes: list[Write], *, in_doubt: bool = False) -> None:
        done = self._try(writes, in_doubt=in_doubt)
        if done is None:
            return
        lost = []
        for write, outcome in zip(writes, done.outcomes, strict=True):
            if isinstance(outcome, Committed):
                latest = self._store.committed(write.key, write.record, outcome.revision)
                self._apply(write, latest=latest)
            else:
                lost.append(write)
        self._store.applied(done)
        if lost:
            self._availability.attempt(lambda: self._reconsider(lost, done.revision))
        elif not self._view.available:
            # That it took these does not say that it takes more: its disk may be full.
            self._availability.attempt(self._store.ping)
        self._caught_up()

    def _try(self, writes: list[Write], *, in_doubt: bool) -> Commit | None:
        """Return what came of the writes; None if that was nothing, or nothing sure."""
        try:
            return self._store.commit([write.entry for write in writes], in_doubt=in_doubt)
        except EtcdUnknownError as ex:
            self._unsettled += writes
            self._availability.away(ex)
            for write in writes:
                if isinstance(write.item, Change):
                    resolve(write.item.reply, Answer(Verdict.UNAVAILABLE, self._availability.sorry))
        except EtcdRejectedError as ex:
            # Find the entry that etcd will not have, and store the others.
            if len(writes) == 1:
                self._rejected(writes[0], str(ex))
            else:
                for write in writes:
                    self._commit([write], in_doubt=in_doubt)
        except EtcdError as ex:
            self._availability.away(ex)
            for write in writes:
                self._refuse(write.item)
        return None

    def _rejected(self, write: Write, reason: str) -> None:
        """End what led to a write that etcd will never take."""
        log.error("A change of %s cannot be stored: %s", write.key, reason)
        match write.item:
            case Change(reply=reply):
                resolve(reply, Answer(Verdict.TOO_LARGE, "The request holds more than is stored."))
            case StepReport(broker, worker, report) if not isinstance(report.result, Failed):
                failed = Failed(reason="The result of a step could not be stored.")
                self._pending.append(
                    StepReport(broker, worker, progress.with_result(report, failed))
                )

    def _reconsider(self, lost: list[Write], revision: int) -> None:
        """Somebody else has written: decide again as soon as it is known what."""
        if self._membership.follows:
            # It may be that this one may not write any more, of which no event tells.
            self._store.ping()
            self._held += [(revision, write.item) for write in lost]
        else:
            self._reread(lost)

    def _reread(self, lost: list[Write]) -> None:
        """Somebody else has written: learn what, and decide again."""
        self._pending = [write.item for write in lost] + self._pending
        keys = {write.key for write in lost} | {Key(write.key.instance_id) for write in lost}
        for key, record, value in self._store.read(sorted(keys)):
            self._effects.correct(key, record, value)

    def _apply(self, write: Write, *, latest: bool) -> None:
        """Let what is durable now take effect; if not the latest, others have gone on since."""
        if latest:
            self._effects.take_in(write.key, write.record, write.entry.value)
        if isinstance(write.item, StepReport):
            item = write.item
            self._dispatcher.tell(StepTaken(item.report.key, item.broker, item.worker))
        if isinstance(write.item, Change) and write.answer is not None:
            self._replies.answer(write.item, write.answer)
        if not latest:
            self._effects.answer_again(write.key)
