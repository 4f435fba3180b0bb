"""The storage actor: decides on changes and makes them durable. The only code that writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from alibroker.actors.actor import Actor, Address
from alibroker.actors.decisions import (
    Item,
    Reseal,
    TimeIsUp,
    Write,
    advance,
    decide,
    depends_on,
)
from alibroker.actors.messages import (
    Change,
    Reset,
    Resume,
    StepDue,
    StepReport,
    StepTaken,
    Tick,
    Wait,
    resolve,
)
from alibroker.actors.replies import Replies
from alibroker.actors.repository import Repository, StoreRefusedError
from alibroker.brokers.api import Failed
from alibroker.brokers.catalog import Catalog
from alibroker.etcd.client import MAX_BYTES, MAX_ENTRIES, Committed, Lost
from alibroker.etcd.errors import (
    EtcdDiskFullError,
    EtcdError,
    EtcdFullError,
    EtcdRejectedError,
    EtcdUnknownError,
)
from alibroker.etcd.identity import StoreReplacedError
from alibroker.etcd.records import UnknownSchemaError
from alibroker.lifecycle import progress
from alibroker.lifecycle.claims import Claim, Claims
from alibroker.lifecycle.commands import Answer, Verdict
from alibroker.lifecycle.deadlines import Deadlines
from alibroker.lifecycle.records import Key, Record
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

AWAY = "The broker cannot reach its store now; try again."
FULL = "The broker's store has no space left; its operator has to make room (docs/etcd.md)."
DISK_FULL = "The disk of the broker's store is full; its operator has to make room (docs/etcd.md)."
PING_INTERVAL = 2.0
RESEAL_BATCH = 50
"""Records sealed anew in each tick after a change of the key."""


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
        store: Repository,
        view: View,
        dispatcher: Address,
        pollers: Mapping[str, Address],
        catalog: Catalog,
        lifetime: float,
    ) -> None:
        super().__init__(address, supervisor)
        self._store = store
        self._view = view
        self._claims = Claims(catalog)
        self._dispatcher = dispatcher
        self._pollers = pollers
        self._catalog = catalog
        self._deadlines = Deadlines(lifetime)
        self._pending: list[Item] = []
        self._unsettled: list[Write] = []
        self._replies = Replies()
        self._cut_off: dict[Key, float] = {}
        self._next_try = 0.0
        self._stepped_down = False
        self._troubles: set[type[EtcdError]] = set()

    def on_start(self) -> None:
        """Begin with nothing known: what an earlier life saw may be out of date."""
        self._view.clear(self._store.decoded)

    def receive(self, message: Item | Tick | Resume) -> None:
        """Gather, and commit when nothing more waits."""
        match message:
            case Tick():
                self._tick()
            case Resume(broker=""):
                self._hand_out_all()
            case Resume(broker=broker):
                self._hand_out_of(broker)
            case _:
                self._pending.append(message)
        if self._pending and (len(self._pending) >= MAX_ENTRIES or self.actor_inbox.empty()):
            self._flush()

    def on_stop(self) -> None:
        """Store what has been gathered."""
        self._flush()
        self._store.close()

    def on_failure(self, *error: Any) -> None:
        """Leave nobody waiting."""
        sorry = Answer(Verdict.UNAVAILABLE, AWAY)
        for item in self._pending:
            if isinstance(item, Change):
                resolve(item.reply, sorry)
        self._replies.end_all(sorry)
        super().on_failure(*error)

    # -- time -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        if self._stepped_down:
            return
        if not self._view.complete or self._unsettled or not self._view.available:
            if now >= self._next_try:
                self._recover_or_settle()
                self._next_try = time.monotonic() + 0.2
        elif now >= self._next_try:
            self._next_try = now + PING_INTERVAL
            self._attempt(self._store.ping)
        if self._view.complete and not self._unsettled:
            due = self._deadlines.due(time.time())
            self._pending.extend(TimeIsUp(*one) for one in due)
            self._reseal()

    def _reseal(self) -> None:
        """Seal some more records with the current key, a few at a time beside the real work."""
        outdated = self._store.outdated
        some = [outdated.pop() for _ in range(min(RESEAL_BATCH, len(outdated)))]
        self._pending.extend(Reseal(key) for key in some)
        if some and not outdated:
            log.info("All records are sealed with the current key")

    def _recover_or_settle(self) -> None:
        if not self._view.complete:
            self._attempt(self._recover)
        elif self._unsettled:
            writes, self._unsettled = self._unsettled, []
            self._commit(writes, in_doubt=True)
        else:
            self._attempt(self._store.ping)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (StoreRefusedError, StoreReplacedError, UnknownSchemaError) as ex:
            self._step_down(ex)
        except EtcdError as ex:
            self._away(ex)
        else:
            self._back()

    # -- start ----------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Take over the store, read everything back and resume every operation in progress."""
        started = time.monotonic()
        self._store.take_over()
        self._view.clear(self._store.decoded)
        self._claims.clear()
        self._deadlines.clear()
        count = 0
        for record, value in self._store.load():
            self._view.put(record.key, record, value)
            self._claims.put(record.key, None, record)
            self._deadlines.set(record)
            count += 1
        self._view.unreadable = frozenset(self._store.unreadable)
        self._view.complete = True
        resumed = self._hand_out_all()
        if self._store.outdated:
            log.info("%d records are to be sealed with another key", len(self._store.outdated))
        log.info(
            "%d records read back in %.2f s, %d operations resumed",
            count,
            time.monotonic() - started,
            resumed,
        )

    def _hand_out_all(self) -> int:
        self._dispatcher.tell(Reset())
        for poller in self._pollers.values():
            poller.tell(Reset())
        running = self._view.running()
        now = time.time()
        for record in running:
            if not record.operation.removing:
                # A step may have been in the middle of a request; its next write makes that known.
                self._cut_off[record.key] = now
            self._hand_out(record)
        return len(running)

    def _hand_out_of(self, broker: str) -> None:
        """Hand out what a poller has lost; whoever has got some of it already knows it again."""
        self._pollers[broker].tell(Reset())
        for record in self._view.running():
            service = self._catalog.service(record.service_id)
            if service is not None and service.broker == broker:
                self._hand_out(record)

    def _hand_out(self, record: Record) -> None:
        operation = record.operation
        service = self._catalog.service(record.service_id)
        if service is None:
            log.error("%s: no plugin offers service %s", record.key, record.service_id)
        elif operation.due_at <= time.time():
            due = StepDue(record.key, operation.id, operation.step, service.broker)
            self._dispatcher.tell(due)
        else:
            self._pollers[service.broker].tell(
                Wait(
                    record.key,
                    operation.id,
                    operation.step,
                    due_at=operation.due_at,
                    interval=operation.poll_after,
                    observe=operation.poll_after > 0,
                )
            )

    # -- deciding -------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._pending and self._usable:
            writes = self._gather()
            if writes:
                self._commit(writes)
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
            resolve(item.reply, Answer(Verdict.UNAVAILABLE, self._sorry))
        else:
            self._pending.append(item)

    def _gather(self) -> list[Write]:
        """Decide on what is pending. What depends on a write of this batch stays pending."""
        writes: list[Write] = []
        later: list[Item] = []
        touched: set[Key] = set()
        claimed: set[Claim] = set()
        size = 0
        items, self._pending = self._pending, []
        for item in items:
            keys = depends_on(item)
            if len(writes) >= MAX_ENTRIES or size >= MAX_BYTES or not touched.isdisjoint(keys):
                later.append(item)
                touched |= keys
                continue
            write = self._decide(item)
            if write is None:
                continue
            claims = self._claims.of(write.record)
            if not claimed.isdisjoint(claims):
                # Which of the two comes first, and is the only one, has to be durable first.
                later.append(item)
                touched |= keys
                continue
            needed = write.entry.size
            if needed > MAX_BYTES:
                self._rejected(write, "it is too large")
                continue
            writes.append(write)
            touched |= keys
            claimed |= claims
            size += needed
        self._pending += later
        while size > MAX_BYTES and len(writes) > 1:
            last = writes.pop()
            size -= last.entry.size
            self._pending.insert(0, last.item)
        return writes

    def _decide(self, item: Item) -> Write | None:
        match item:
            case Change():
                return self._decide_change(item)
            case StepReport():
                return self._decide_report(item)
            case TimeIsUp():
                return self._decide_time(item)
            case Reseal(key=key):
                record = self._view.get(key)
                if record is None:
                    return None
                return self._write(item, key, record)

    def _write(
        self, item: Item, key: Key, record: Record | None, answer: Answer | None = None
    ) -> Write:
        """Prepare a write, together with what has to become known of a step that was cut off."""
        if record is not None and key in self._cut_off:
            record = replace(record, unanswered_at=self._cut_off[key])
        entry = self._store.entry(key, record, guard_instance=isinstance(item, Change))
        return Write(item, key, record, entry, answer)

    def _decide_change(self, change: Change) -> Write | None:
        if change.reply.done():
            return None
        try:
            decision = decide(self._view, self._claims, change, time.time())
        except Exception:
            log.exception("Defect in the lifecycle: %s", type(change.command).__name__)
            resolve(change.reply, Answer(Verdict.ERROR))
            return None
        if decision.record is not None:
            key = change.command.key
            return self._write(change, key, decision.record, decision.answer)
        self._replies.answer(change, decision.answer)
        return None

    def _decide_report(self, item: StepReport) -> Write | None:
        report = item.report
        record = self._view.get(report.key)
        advanced = advance(self._claims, record, report, time.time()) if record else None
        if advanced is None:
            self._dispatcher.tell(StepTaken(report.key, item.broker, item.worker))
            return None
        return self._write(item, report.key, advanced)

    def _decide_time(self, item: TimeIsUp) -> Write | None:
        record = self._view.get(item.key)
        if record is None or record.operation.id != item.operation_id:
            return None
        outcome = self._deadlines.outdated(record, time.time())
        if outcome is record:
            self._deadlines.set(record)
            return None
        return self._write(item, item.key, outcome)

    # -- committing -----------------------------------------------------------------------------

    def _commit(self, writes: list[Write], *, in_doubt: bool = False) -> None:
        results = self._try(writes, in_doubt=in_doubt)
        if results is None:
            return
        lost = []
        for write, result in zip(writes, results, strict=True):
            if isinstance(result, Committed):
                self._store.committed(write.key, write.record, result.revision)
                self._apply(write)
            else:
                lost.append(write)
        if lost:
            self._attempt(lambda: self._reread(lost))
        elif not self._view.available:
            # That it took these does not say that it takes more: its disk may be full.
            self._attempt(self._store.ping)

    def _try(self, writes: list[Write], *, in_doubt: bool) -> list[Committed | Lost] | None:
        """Return what came of each write; None if that was nothing, or nothing sure."""
        try:
            return self._store.commit([write.entry for write in writes], in_doubt=in_doubt)
        except EtcdUnknownError as ex:
            self._unsettled += writes
            self._away(ex)
            for write in writes:
                if isinstance(write.item, Change):
                    resolve(write.item.reply, Answer(Verdict.UNAVAILABLE, self._sorry))
        except EtcdRejectedError as ex:
            # Find the entry that etcd will not have, and store the others.
            if len(writes) == 1:
                self._rejected(writes[0], str(ex))
            else:
                for write in writes:
                    self._commit([write], in_doubt=in_doubt)
        except EtcdError as ex:
            self._away(ex)
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

    def _reread(self, lost: list[Write]) -> None:
        """Somebody else has written: learn what, and decide again."""
        self._pending = [write.item for write in lost] + self._pending
        keys = {write.key for write in lost} | {Key(write.key.instance_id) for write in lost}
        for key, record, value in self._store.read(sorted(keys)):
            self._claims.put(key, self._view.get(key), record)
            self._view.put(key, record, value)

    def _apply(self, write: Write) -> None:
        """Let everybody see what is durable now, and set the next thing going."""
        before = self._view.get(write.key)
        record = write.record
        self._view.put(write.key, record, write.entry.value)
        self._claims.put(write.key, before, record)
        self._cut_off.pop(write.key, None)
        if isinstance(write.item, StepReport):
            item = write.item
            self._dispatcher.tell(StepTaken(item.report.key, item.broker, item.worker))
        if record is not None:
            self._deadlines.set(record)
            if before is not None and before.operation.id != record.operation.id:
                stopped = Answer(Verdict.BUSY, f"It was stopped: {record.operation.kind}.")
                self._replies.end(before.operation.id, stopped)
            if isinstance(write.item, Reseal):
                pass
            elif record.operation.in_progress:
                self._hand_out(record)
            else:
                ended = Answer(Verdict.ENDED, record.operation.description, record)
                self._replies.end(record.operation.id, ended)
        if isinstance(write.item, Change) and write.answer is not None:
            self._replies.answer(write.item, write.answer)

    # -- health ---------------------------------------------------------------------------------

    @property
    def _sorry(self) -> str:
        if EtcdDiskFullError in self._troubles:
            return DISK_FULL
        return FULL if EtcdFullError in self._troubles else AWAY

    def _away(self, error: EtcdError) -> None:
        cause = self._store.cause_of(error)
        if type(cause) not in self._troubles:
            log.error("The store cannot be used, changes are refused until it can: %s", cause)
            self._troubles.add(type(cause))
        self._view.full = isinstance(cause, EtcdFullError)
        if isinstance(cause, EtcdFullError | EtcdDiskFullError):
            self._view.waits_for = str(cause)
        else:
            # Where it is asked is nobody's business who may look at the probe.
            self._view.waits_for = "etcd does not answer, or does not let the broker in"
        self._view.available = False

    def _back(self) -> None:
        if not self._view.available:
            log.info("The store can be used")
            self._view.waits_for = ""
            self._view.full = False
        self._troubles.clear()
        self._view.available = True

    def _step_down(self, error: Exception) -> None:
        """Be of no use, visibly, until an operator has mended what only an operator can mend."""
        log.critical("%s", error)
        self._stepped_down = True
        self._view.complete = False
        self._view.available = False
        self._view.problem = str(error)
