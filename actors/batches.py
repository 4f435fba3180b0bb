"""From what is pending to the entries of one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from alibroker.actors.actor import Address
from alibroker.actors.decisions import (
    GiveAway,
    Item,
    Reseal,
    TakeOver,
    TimeIsUp,
    Write,
    advance,
    decide,
    depends_on,
)
from alibroker.actors.messages import Change, StepReport, StepTaken, resolve
from alibroker.actors.replica import Replica
from alibroker.actors.replies import Replies
from alibroker.actors.repository import Repository
from alibroker.etcd.client import MAX_BYTES, MAX_ENTRIES
from alibroker.lifecycle import progress
from alibroker.lifecycle.claims import Claim, Claims
from alibroker.lifecycle.commands import Answer, Deprovision, Verdict
from alibroker.lifecycle.deadlines import Deadlines
from alibroker.lifecycle.ownership import owned, taken_over
from alibroker.lifecycle.records import Key, Record
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)


@dataclass
class Batch:
    """What is written together, and what has to wait for the next transaction."""

    writes: list[Write] = field(default_factory=list)
    too_large: list[Write] = field(default_factory=list)
    """What no transaction can hold."""
    later: list[Item] = field(default_factory=list)


class Batches:
    """Asks the lifecycle about what is pending; answers at once what needs no write."""

    def __init__(
        self,
        *,
        store: Repository,
        replica: Replica,
        view: View,
        claims: Claims,
        deadlines: Deadlines,
        replies: Replies,
        dispatcher: Address,
        cut_off: Mapping[Key, float],
    ) -> None:
        """Take also when a step of a record was cut off, by its key; its next write says so."""
        self._store = store
        self._replica = replica
        self._view = view
        self._claims = claims
        self._deadlines = deadlines
        self._replies = replies
        self._dispatcher = dispatcher
        self._cut_off = cut_off

    def gather(self, items: Sequence[Item]) -> Batch:
        """Decide on items, in their order. What depends on a write of the batch waits."""
        batch = Batch()
        touched: set[Key] = set()
        claimed: set[Claim] = set()
        moves: set[str] = set()
        size = 0
        for item in items:
            keys = depends_on(item)
            full = len(batch.writes) >= MAX_ENTRIES or size >= MAX_BYTES
            if full or not touched.isdisjoint(keys):
                batch.later.append(item)
                touched |= keys
                continue
            write = self._decide(item)
            if write is None:
                continue
            claims = self._claims.of(write.record)
            moved = write.entry.moves
            if not (claimed.isdisjoint(claims) and moves.isdisjoint(moved)):
                # Which of the two comes first, and is the only one, has to be durable first.
                batch.later.append(item)
                touched |= keys
                continue
            needed = write.entry.size
            if needed > MAX_BYTES:
                batch.too_large.append(write)
                continue
            batch.writes.append(write)
            touched |= keys
            claimed |= claims
            moves.update(moved)
            size += needed
        while size > MAX_BYTES and len(batch.writes) > 1:
            last = batch.writes.pop()
            size -= last.entry.size
            batch.later.insert(0, last.item)
        return batch

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
            case TakeOver() | GiveAway():
                return self._decide_ownership(item)

    def _write(
        self, item: Item, key: Key, record: Record | None, answer: Answer | None = None
    ) -> Write:
        """Prepare a write, together with what has to become known of a step that was cut off."""
        # Alone, nobody else's work or claims have to be minded.
        before = None if self._replica.owns else self._view.get(key)
        if record is not None:
            record = owned(record, before, self._replica.id)
            if key in self._cut_off:
                record = replace(record, unanswered_at=self._cut_off[key])
        command = item.command if isinstance(item, Change) else None
        entry = self._store.entry(
            key,
            record,
            basis=depends_on(item) - {key} if command is not None else (),
            alone=isinstance(command, Deprovision),
            claims=() if self._replica.owns else self._claims.of(record) - self._claims.of(before),
        )
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
        if change.early:
            resolve(change.reply, Answer(Verdict.UNSURE))
        else:
            self._replies.answer(change, decision.answer)
        return None

    def _decide_report(self, item: StepReport) -> Write | None:
        report = item.report
        record = self._view.get(report.key)
        advanced: Record | None = None
        if record is not None and self._is_ours(record):
            advanced = advance(self._claims, record, report, time.time())
        elif record is not None:
            # Another replica has gone on with it; what this step has made must not be lost.
            advanced = progress.absorbed(record, report, time.time())
        if advanced is None:
            self._dispatcher.tell(StepTaken(report.key, item.broker, item.worker))
            return None
        return self._write(item, report.key, advanced)

    def _decide_time(self, item: TimeIsUp) -> Write | None:
        record = self._view.get(item.key)
        if record is None or record.operation.id != item.operation_id:
            return None
        if record.operation.in_progress and not self._is_ours(record):
            return None
        outcome = self._deadlines.outdated(record, time.time())
        if outcome is record:
            self._deadlines.set(record)
            return None
        return self._write(item, item.key, outcome)

    def _decide_ownership(self, item: TakeOver | GiveAway) -> Write | None:
        record = self._view.get(item.key)
        if record is None or not record.operation.in_progress:
            return None
        operation = record.operation
        if operation.id != item.operation_id:
            return None
        if isinstance(item, TakeOver):
            if operation.replica in self._replica.registrations:
                return None
            return self._write(item, item.key, taken_over(record, self._replica.id, time.time()))
        if operation.replica != self._replica.id:
            return None
        given = taken_over(record, item.replica, time.time())
        if item.idle:
            given = replace(given, unanswered_at=record.unanswered_at)
        return self._write(item, item.key, given)

    def _is_ours(self, record: Record) -> bool:
        return self._replica.owns or record.operation.replica == self._replica.id
