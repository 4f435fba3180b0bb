"""The whole actor system: started and stopped as one."""

from __future__ import annotations

import importlib.metadata
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import pykka

from alibroker.actors.actor import Address
from alibroker.actors.barrier import Barrier, BehindError
from alibroker.actors.calls import Calls
from alibroker.actors.dispatcher import Dispatcher
from alibroker.actors.membership import Membership
from alibroker.actors.messages import (
    Behind,
    Change,
    Drain,
    HandOver,
    Look,
    Reply,
    Settle,
    Settlement,
    TakeSurvey,
    resolve,
)
from alibroker.actors.poller import Poller
from alibroker.actors.quarantine import Quarantine
from alibroker.actors.replica import Replica
from alibroker.actors.repository import Repository
from alibroker.actors.settings import EngineSettings
from alibroker.actors.storage import Storage
from alibroker.actors.supervisor import Child, Supervisor, report_lost, resume
from alibroker.actors.surveyor import Surveyor
from alibroker.actors.surveys import Surveys
from alibroker.actors.ticker import Ticker
from alibroker.actors.worker import Worker
from alibroker.brokers.api import NOTHING, Broker, Json, TryAgainError
from alibroker.brokers.catalog import Catalog, CatalogError
from alibroker.brokers.contract import ContractError, Plugin, checked, contained
from alibroker.etcd import keys
from alibroker.etcd.client import Etcd
from alibroker.etcd.sealing import Sealer
from alibroker.etcd.space import Disk
from alibroker.lifecycle.commands import Answer, Command, Verdict
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

DRAIN_TIMEOUT = 10.0
"""Seconds that steps in flight get to finish when the system stops."""
CLOSE_TIMEOUT = 5.0
"""Seconds that all plugins together get to let go of their connections."""


class BrokerSystem:
    """Dispatcher, workers, pollers, storage and their supervisor, over one etcd.

    Nothing runs before `start`, so it can be constructed before a fork.

        with BrokerSystem(brokers, Etcd(endpoints), sealer) as system:
            answer = system.submit(command).result(timeout=60)

    Args:
        brokers: the plugins; closed when the system stops.
        etcd: the store; closed when the system stops.
        sealer: seals what is secret in the records.
        settings: bounds and times.
        not_loaded: names of plugins that should be there and are not.
        quarantine: what is known of calls in which a process died; by default, what the data
            directory says.
        on_give_up: called with a reason, from any thread, when the process should be replaced.
    """

    def __init__(
        self,
        brokers: Sequence[Broker | Plugin],
        etcd: Etcd,
        sealer: Sealer,
        settings: EngineSettings | None = None,
        *,
        not_loaded: Iterable[str] = (),
        quarantine: Quarantine | None = None,
        on_give_up: Callable[[str], None] | None = None,
    ) -> None:
        self.catalog = Catalog(_plugins(brokers), not_loaded)
        self.view = View()
        self.settings = settings or EngineSettings()
        self.surveys = Surveys(
            etcd, sealer, self.settings.store_timeout, lambda: self.replica.is_chosen("survey")
        )
        """What the last comparison of the cloud with the records found."""
        self.gave_up = ""
        """Why the system has given up; empty while it has not."""
        self._etcd = etcd
        self._sealer = sealer
        self._on_give_up = on_give_up
        self._dispatcher = Address("dispatcher")
        self._storage = Address("storage")
        names = [plugin.name for plugin in self.catalog.plugins]
        self._pollers = {name: Address(f"poller {name}") for name in names}
        self._workers = {
            name: [Address(f"worker {name} {number}") for number in range(self.settings.workers)]
            for name in names
        }
        self.replica = Replica(
            etcd,
            release=release(),
            directory=self.settings.presences,
            timeout=self.settings.store_timeout,
            private=not self.settings.endpoints,
            on_change=lambda: self._storage.tell(Look()),
        )
        self._calls = Calls(
            self.settings.step_timeout,
            quarantine or Quarantine(self.settings.notes),
            self.replica.permit,
        )
        self._barrier = Barrier(self._read_clock, lambda: self._storage.tell(Behind()))
        self._surveyor = Address("surveyor")
        self._supervisor = Address("supervisor")
        self._supervising: pykka.ActorRef[Supervisor] | None = None
        self._ticker: Ticker | None = None

    def start(self) -> None:
        """Start all actors. Storage then reads everything back: see `wait_until_ready`."""
        self._barrier.start()
        self._supervising = Supervisor.start(
            self._supervisor, self._children(), self._calls, self._give_up
        )
        self._supervisor.move_to(self._supervising)
        self._ticker = Ticker(
            [self._storage, self._dispatcher, self._surveyor, *self._pollers.values()],
            self._supervisor,
            lambda: self._give_up("the actors have died"),
        )
        self._ticker.start()

    def stop(self) -> None:
        """Let steps in flight finish (bounded), store what came of them, and stop all actors."""
        if self._supervising is None:
            return
        self.surveys.stopping.set()
        if not self.view.complete:
            # Nothing to store, and whoever still reads would hold up the stop.
            self._etcd.close()
        self._hand_over(idle=self._drain())
        if self._ticker is not None:
            self._ticker.stop()
        self._supervising.stop()
        self._supervising = None
        self._barrier.stop()
        self._close_plugins()
        self._calls.quarantine.close()
        self._etcd.close()

    def _drain(self) -> bool:
        """Let steps in flight finish; returns whether none runs any more."""
        if not self._dispatcher.is_alive:
            return False
        reply: Future[bool] = Future()
        self._dispatcher.tell(Drain(reply))
        try:
            return reply.result(timeout=DRAIN_TIMEOUT)
        except TimeoutError:
            log.warning("Steps still run after %s s; the next start takes them up", DRAIN_TIMEOUT)
            return False

    def _hand_over(self, *, idle: bool) -> None:
        """Let other replicas go on with what this one has begun."""
        if not self._storage.is_alive:
            return
        reply: Future[bool] = Future()
        self._storage.tell(HandOver(idle, reply))
        try:
            reply.result(timeout=CLOSE_TIMEOUT)
        except TimeoutError:
            log.warning("Other replicas take over what this one leaves when it is gone")

    def _close_plugins(self) -> None:
        closing = [
            threading.Thread(target=_close, args=[plugin], daemon=True)
            for plugin in self.catalog.plugins
        ]
        for thread in closing:
            thread.start()
        end = time.monotonic() + CLOSE_TIMEOUT
        for thread in closing:
            thread.join(max(0.0, end - time.monotonic()))

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def submit(self, command: Command) -> Future[Answer]:
        """Send a command on its way. The answer comes when it is durable or refused.

        A command that does not accept an incomplete operation is answered when that has ended.
        """
        reply: Future[Answer] = Future()
        self.send(command, reply)
        return reply

    def send(self, command: Command, reply: Reply[Answer], *, early: bool = False) -> None:
        """Send a command on its way, with where its answer is awaited; see `submit`.

        With `early` nobody has waited until the records are `up_to_date`: then the answer is that
        it has begun, or that this is *unsure*.
        """
        service = self.catalog.service(command.service_id)
        if service is None:
            resolve(reply, Answer(Verdict.UNAVAILABLE, "The plugin of this service is not loaded."))
        else:
            early = early and not self.replica.is_current
            self._dispatcher.tell(Change(command, service.broker, reply, early))

    def replicas(self) -> int:
        """Return how many replicas live, this one included."""
        return max(1, len(self.replica.registrations))

    async def up_to_date(self) -> bool:
        """Wait until the view holds all changes that had been answered, by whichever replica.

        Returns False if that cannot be seen to now: then whatever the view says is a guess.
        """
        if self.replica.is_current:
            return True
        try:
            await self._barrier.passed()
        except BehindError:
            return False
        return True

    def survey(self) -> None:
        """Have the cloud compared with the records; see `surveys` for what comes of it."""
        self._surveyor.tell(TakeSurvey(time.time()))

    def settle(
        self,
        finding_id: str,
        settlement: Settlement,
        parameters: Json = NOTHING,
        instance_id: str = "",
    ) -> Future[Answer]:
        """Do something about a finding of the last survey. The answer comes when it is begun."""
        reply: Future[Answer] = Future()
        self._surveyor.tell(Settle(finding_id, settlement, reply, parameters, instance_id))
        return reply

    def problems(self) -> list[str]:
        """Return why the system cannot take changes now; empty if it can."""
        found = []
        if self.gave_up:
            found.append(f"gave up: {self.gave_up}")
        if self.view.problem:
            found.append(self.view.problem)
        elif not self.view.complete:
            reason = self.view.waits_for or "they are being read"
            found.append(f"the records have not been read back from the store yet: {reason}")
        elif not self.view.available:
            found.append(f"the store cannot be written: {self.view.waits_for}")
        everybody = [self._supervisor, self._storage, self._dispatcher, self._surveyor]
        everybody.extend(self._pollers.values())
        for workers in self._workers.values():
            everybody.extend(workers)
        found.extend(f"{one.name} is not alive" for one in everybody if not one.is_alive)
        return found

    def warnings(self) -> list[str]:
        """Return what is not as it should be although changes can be taken."""
        hanging = [f"{one.call} has not come back" for one in self._calls.overdue()]
        missing = [f"plugin {name} is not loaded" for name in self.catalog.not_loaded]
        deadly = [
            f"{name}: the process died {one.deaths} times in it"
            for name, one in self._calls.quarantine.suspects().items()
        ]
        return missing + hanging + deadly

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until changes can be taken.

        Raises:
            TimeoutError: It still cannot after `timeout` seconds, or never will; the text says why.
        """
        end = time.monotonic() + timeout
        while problems := self.problems():
            if time.monotonic() > end or (self.view.problem and not self.view.complete):
                raise TimeoutError("; ".join(problems))
            time.sleep(0.01)

    def _give_up(self, reason: str) -> None:
        log.critical("The actor system has failed: %s", reason)
        self.gave_up = reason
        if self._on_give_up is not None:
            self._on_give_up(reason)

    def _children(self) -> list[Child]:
        """List the actors in the order of their start."""
        children = [
            Child(self._storage, self._start_storage, lambda: None),
            Child(self._dispatcher, self._start_dispatcher, resume(self._storage)),
        ]
        for plugin in self.catalog.plugins:
            poller = self._pollers[plugin.name]
            again = resume(self._storage, plugin.name)
            children.append(Child(poller, self._poller_start(poller, plugin), again))
            for worker in self._workers[plugin.name]:
                lost = report_lost(self._dispatcher, plugin.name, worker.name)
                children.append(Child(worker, self._worker_start(worker, plugin), lost))
        children.append(Child(self._surveyor, self._start_surveyor, lambda: None))
        return children

    def _read_clock(self) -> int:
        revision, _ = self._etcd.read_revision(keys.CLOCK, timeout=self.settings.store_timeout)
        return revision

    def _start_storage(self) -> pykka.ActorRef[Any]:
        settings = self.settings
        store = Repository(
            self._etcd,
            self._sealer,
            self.replica,
            timeout=settings.store_timeout,
            marker=settings.marker,
            disk=None if settings.endpoints else Disk(settings.data_dir / "etcd"),
        )
        return Storage.start(
            self._storage,
            self._supervisor,
            membership=Membership(
                self._etcd,
                store,
                self.replica,
                self.view,
                self._barrier,
                self._storage,
                self._pollers.values(),
            ),
            view=self.view,
            dispatcher=self._dispatcher,
            pollers=self._pollers,
            catalog=self.catalog,
            lifetime=settings.result_lifetime,
        )

    def _start_dispatcher(self) -> pykka.ActorRef[Any]:
        return Dispatcher.start(
            self._dispatcher,
            self._supervisor,
            view=self.view,
            storage=self._storage,
            workers=self._workers,
            quarantine=self._calls.quarantine,
            max_changes=self.settings.max_changes,
            max_operations=self.settings.max_operations,
        )

    def _start_surveyor(self) -> pykka.ActorRef[Any]:
        return Surveyor.start(
            self._surveyor,
            self._supervisor,
            calls=self._calls,
            catalog=self.catalog,
            view=self.view,
            surveys=self.surveys,
            dispatcher=self._dispatcher,
            settings=self.settings,
        )

    def _poller_start(self, address: Address, plugin: Plugin) -> Callable[[], pykka.ActorRef[Any]]:
        return lambda: Poller.start(
            address,
            self._supervisor,
            plugin=plugin,
            calls=self._calls,
            catalog=self.catalog,
            view=self.view,
            dispatcher=self._dispatcher,
        )

    def _worker_start(self, address: Address, plugin: Plugin) -> Callable[[], pykka.ActorRef[Any]]:
        return lambda: Worker.start(
            address,
            self._supervisor,
            plugin=plugin,
            calls=self._calls,
            catalog=self.catalog,
            view=self.view,
            storage=self._storage,
            dispatcher=self._dispatcher,
        )


def release() -> str:
    """Return the version of the broker that is installed."""
    return importlib.metadata.version("alibroker")


def _plugins(brokers: Sequence[Broker | Plugin]) -> list[Plugin]:
    """Hold brokers against the contract that have not been."""
    plugins: list[Plugin] = []
    for broker in brokers:
        try:
            plugins.append(broker if isinstance(broker, Plugin) else checked(broker, plugins))
        except ContractError as ex:
            raise CatalogError(f"{type(broker).__name__}: {ex}") from ex
    return plugins


def _close(plugin: Plugin) -> None:
    try:
        contained(plugin.broker.close)
    except (ContractError, TryAgainError):
        log.exception("%s: defect in close", plugin.name)
