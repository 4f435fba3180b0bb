"""Replicas without threads, processes, network or clock: every interleaving that a seed asks for.

What decides, commits, follows and takes over is the broker's own code. Around it are a model of
etcd, a clock that is set by hand, and a driver that lets one thing happen after the other: a
request arrives, a message is read, a watch tells something, a step begins or ends, a lease runs
out, a replica stands still, is cut off, is killed or stops, an answer of etcd is lost, a write
takes effect late; and all of that also in the middle of a call to etcd.
"""

from __future__ import annotations

import math
import random
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drawers import Drawer, DrawerBroker
from etcd_model import Store
from history import READS, Asked, Request, Told
from played_history import BINDINGS, CHANGES, Step, answered_by, asked_by, command_for, told_of
from simulated_replica import EPOCH, Clock, Node, Running

from alibroker.actors import batches, handout, membership, replica, storage
from alibroker.actors.messages import Change, HandOver, StepDue, StepReport, Tick
from alibroker.brokers.api import Failed, InProgress, Succeeded
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import checked
from alibroker.etcd import keys
from alibroker.etcd.errors import EtcdError
from alibroker.lifecycle.commands import Again, Report
from alibroker.lifecycle.records import Key, Record

INSTANCE = "i"
ALL = (Key(INSTANCE), *(Key(INSTANCE, name) for name in BINDINGS))


@dataclass
class Simulation:
    """Several replicas on one store, and a platform that sends requests to any of them."""

    directory: Path
    chance: random.Random
    patch: pytest.MonkeyPatch
    replicas: int = 3
    store: Store = field(default_factory=Store)
    nodes: list[Node] = field(default_factory=list)
    history: list[Request] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.catalog = Catalog([checked(DrawerBroker(Drawer()), [])], ())
        clock = Clock(self.store)
        for module in (batches, handout, membership, storage):
            self.patch.setattr(module, "time", clock)
        self.patch.setattr(replica, "time", clock)
        self.patch.setattr(replica, "now", clock.monotonic)
        # Which replica a rendezvous hash names depends on their ids, so a seed has to set these.
        identity = SimpleNamespace(
            gethostname=lambda: "host",
            getpid=lambda: 1,
            token_hex=lambda _: f"{self.chance.getrandbits(32):08x}",
        )
        for name in ("secrets", "os", "socket"):
            self.patch.setattr(replica, name, identity)
        self._calm = True
        self._depth = 0
        self._lives = 0
        self._requests = 0
        self._busy: list[Node] = []
        for number in range(self.replicas):
            self.nodes.append(self._born(number))
        for _ in range(50):
            self._round()
        self._calm = False

    # -- chance ---------------------------------------------------------------------------------

    def fault(self) -> str:
        """Say what happens to a write."""
        if self._calm or self.chance.random() < 0.85:
            return ""
        return self.chance.choice(["refused", "lost", "dropped", "late"])

    def meanwhile(self, node: Node) -> None:
        """Let others do something while a replica is in the middle of a call."""
        if self._calm or self._depth > 1 or self.chance.random() < 0.8:
            return
        self._depth += 1
        self._busy.append(node)
        for _ in range(self.chance.randrange(1, 8)):
            self._happen()
        self._busy.pop()
        self._depth -= 1

    def run(self, events: int) -> None:
        """Let so much happen."""
        for _ in range(events):
            self._happen()

    def settle(self) -> None:
        """Let nothing more go wrong, until all operations have ended."""
        self._calm = True
        for node in self.nodes:
            node.paused = node.etcd.cut_off = False
            node.etcd.late.clear()
        for _ in range(300):
            self._round()
            if not any(self._in_progress()) and not any(node.inbox.messages for node in self.nodes):
                break
        else:
            self.wrong += [
                f"{record.key}: no end of {record.operation}" for record in self._in_progress()
            ]
        self._find_out()
        for node in self.nodes:
            for asked in [Asked(kind, name) for kind in READS for name in ("", *BINDINGS)]:
                self._ask(node, asked)
            for _ in range(20):
                self._round()

    def _find_out(self) -> None:
        """See what came of the requests without an answer: here that can be known."""
        begun: dict[str, float] = {}
        for revision, events in self.store.log:
            for event in events:
                if event.value and event.key.startswith((keys.INSTANCES, keys.BINDINGS)):
                    record = self.nodes[0].repository.decoded(_key(event.key), event.value)
                    begun.setdefault(record.operation.id, self.store.times[revision])
        self.history = [
            one if one.told else replace(one, told=Told(202, operation=name), answered=begun[name])
            for name, one in [(f"op-{place}", one) for place, one in enumerate(self.history)]
            if one.told or name in begun
        ]

    # -- what happens ---------------------------------------------------------------------------

    def _happen(self) -> None:
        self.store.now += self.chance.choice([0.001, 0.001, 0.01, 0.05])
        awake = [node for node in self.nodes if not node.paused and node not in self._busy]
        if not awake:
            self._wake()
            return
        node = self.chance.choice(awake)
        weights = {
            self._read: 30,
            self._request: 9,
            self._tell: 16,
            self._begin: 10,
            self._finish: 12,
            self._tick: 8,
            self._pass_time: 5,
            self._pause: 2,
            self._wake_one: 2,
            self._cut_off: 2,
            self._arrive: 3,
            self._kill: 1,
            self._stop: 1,
        }
        what = self.chance.choices(list(weights), weights=list(weights.values()))[0]
        what(node)
        self._look()

    def _read(self, node: Node) -> None:
        node.read()

    def _request(self, _: Node) -> None:
        """Send some requests at once, each to another replica."""
        nodes = [node for node in self.nodes if not node.paused and node not in self._busy]
        for node in self.chance.sample(nodes, self.chance.randrange(1, len(nodes) + 1)):
            known = node.view.instance(INSTANCE) if node.view.complete else None
            kinds = [*CHANGES, *READS, *READS, "bind", "update"]
            if known is None or known.operation.has_deleted:
                kinds = ["provision", *READS]
            step = Step(
                self.chance.choice(kinds),
                self.chance.choice(["", *BINDINGS]),
                usual=self.chance.random() < 0.9,
            )
            self._ask(node, asked_by(step))

    def _tell(self, node: Node) -> None:
        watches = [watch for watch in node.etcd.watches if not watch.closed]
        if watches:
            self.chance.choice(watches).deliver()

    def _begin(self, node: Node) -> None:
        """Let a worker begin a step that is due."""
        due = node.due()
        if not due:
            return
        one = self.chance.choice(due)
        record = node.view.get(one.key)
        if record is None or not record.operation.in_progress:
            return
        operation = record.operation
        if (operation.id, operation.step) != (one.operation_id, one.step):
            return
        if any(step.due == one for step in node.steps):
            return
        may_act = node.replica.permit()
        if not may_act():
            node.inbox.tell(_report(one, Again("unsure")))
            return
        self._check_alone(node, one)
        node.steps.append(Running(one, self.store.now, may_act))

    def _check_alone(self, node: Node, due: StepDue) -> None:
        """Note it if another replica may be at the same, and nobody has noted that."""
        known = self._stored(due.key)
        for other in self.nodes:
            for step in other.steps if other is not node else ():
                if step.due.key != due.key or step.due.operation_id != due.operation_id:
                    continue
                noted = known is not None and known.unanswered_at >= EPOCH + step.began_at
                removing = known is not None and known.operation.removing
                if step.may_act():
                    self.wrong.append(f"two replicas that may both act run {due} at once")
                elif not noted and not removing:
                    self.wrong.append(f"{due} goes on, and nothing says that another ran")

    def _finish(self, node: Node) -> None:
        if not node.steps:
            return
        step = node.steps.pop(self.chance.randrange(len(node.steps)))
        result = self.chance.choices(
            [
                Succeeded(credentials={"password": step.due.operation_id}),
                InProgress(description="on"),
                Failed(reason="No."),
                Again("later", unanswered=True),
            ],
            weights=[5, 3, 1, 1],
        )[0]
        node.inbox.tell(_report(step.due, result))

    def _tick(self, node: Node) -> None:
        node.inbox.tell(Tick())

    def _pass_time(self, _: Node) -> None:
        """Let time pass: who can renews its lease, and what is not renewed ends."""
        self.store.now += self.chance.choice([0.5, 1.0, 4.0])
        for node in self.nodes:
            if not node.paused and node not in self._busy:
                for session in node.etcd.sessions:
                    session.renew()
        for lease, end in list(self.store.leases.items()):
            # etcd may take its time, but never too little.
            if end <= self.store.now and self.chance.random() < 0.7:
                self.store.revoke(lease)

    def _pause(self, node: Node) -> None:
        node.paused = True

    def _wake_one(self, _: Node) -> None:
        self._wake()

    def _wake(self) -> None:
        asleep = [node for node in self.nodes if node.paused]
        if asleep:
            self.chance.choice(asleep).paused = False

    def _cut_off(self, node: Node) -> None:
        node.etcd.cut_off = not node.etcd.cut_off

    def _arrive(self, node: Node) -> None:
        if node.etcd.late:
            node.etcd.arrive(self.chance.randrange(len(node.etcd.late)))

    def _kill(self, node: Node) -> None:
        number = self.nodes.index(node)
        node.barrier.fail()
        self.nodes[number] = self._born(number)
        # What it had sent may still arrive.
        self.nodes[number].etcd.late += node.etcd.late

    def _stop(self, node: Node) -> None:
        """Stop in good order, if no step has to be waited for."""
        if node.steps or self._busy:
            return
        node.inbox.tell(HandOver(True, Future()))
        while node.read():
            pass
        node.storage.on_stop()
        self._kill(node)

    def _born(self, number: int) -> Node:
        self._lives += 1
        place = self.directory / f"{number}-{self._lives}"
        place.mkdir()
        return Node(place, self.catalog, self.store, self.fault, self.meanwhile)

    def _round(self) -> None:
        """Let all do all that they can, and a second pass."""
        for node in self.nodes:
            node.inbox.tell(Tick())
            while any(watch.deliver() for watch in node.etcd.watches):
                pass
            while node.read():
                pass
            for _ in node.due():
                self._begin(node)
            for step in node.steps:
                node.inbox.tell(
                    _report(step.due, Succeeded(credentials={"password": step.due.operation_id}))
                )
            node.steps.clear()
            while node.read():
                pass
            self._look()
        self.store.now += 1.0
        for node in self.nodes:
            for session in node.etcd.sessions:
                session.renew()
        for lease, end in list(self.store.leases.items()):
            if end <= self.store.now:
                self.store.revoke(lease)

    # -- the platform ---------------------------------------------------------------------------

    def _ask(self, node: Node, asked: Asked) -> None:
        """Send a request to a replica; its answer is taken down when it comes.

        What is refused before anything looked at a record has no effect, and is forgotten.
        """
        sent = self.store.now

        def go(*, passed: bool) -> None:
            if not passed or not node.view.complete:
                return
            place = len(self.history)
            self.history.append(Request(asked, None, sent, math.inf))

            def answer(told: Told) -> None:
                if told.status < 500:
                    self.store.now += 0.0001
                    self.history[place] = Request(asked, told, sent, self.store.now)

            if asked.kind in READS:
                answer(answered_by(node.view.get(Key(INSTANCE, asked.binding)), asked))
                return
            reply: Future[Any] = Future()
            reply.add_done_callback(lambda done: answer(told_of(done.result())))
            command = command_for(asked, f"op-{place}", "service-1", "plan-1")
            node.inbox.tell(Change(command, "drawer", reply))

        if not node.view.complete:
            return
        if node.replica.is_current:
            go(passed=True)
            return
        try:
            revision, _ = node.etcd.read_revision(keys.CLOCK, timeout=1.0)
        except EtcdError:
            return
        if revision <= node.barrier.known:
            go(passed=True)
        else:
            node.barrier.parked.append((revision, lambda passed: go(passed=passed)))

    # -- what has to be true --------------------------------------------------------------------

    def _look(self) -> None:
        """See that whoever reads without asking knows all there is."""
        for node in self.nodes:
            if node.paused or node in self._busy or not node.view.complete:
                continue
            if node.replica.is_current and node.repository._revisions != self._revisions():
                self.wrong.append(f"{node.replica.id} takes itself to be alone, and is not")

    def _revisions(self) -> dict[Key, int]:
        found = {}
        for key in ALL:
            path = _path(key)
            if path in self.store.rows:
                found[key] = self.store.rows[path].revision
        return found

    def _stored(self, key: Key) -> Record | None:
        row = self.store.rows.get(_path(key))
        return self.nodes[0].repository.decoded(key, row.value) if row else None

    def _in_progress(self) -> list[Record]:
        found = [self._stored(key) for key in ALL]
        return [one for one in found if one is not None and one.operation.in_progress]


def _report(due: StepDue, result: Any) -> StepReport:
    report = Report(key=due.key, operation_id=due.operation_id, step=due.step, result=result)
    return StepReport("drawer", "worker", report)


def _key(path: str) -> Key:
    return next(key for key in ALL if _path(key) == path)


def _path(key: Key) -> str:
    if key.binding_id:
        return keys.binding_key(key.instance_id, key.binding_id)
    return keys.instance_key(key.instance_id)
