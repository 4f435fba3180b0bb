"""The whole actor system: started and stopped as one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import pykka

from alibroker.actors.actor import Address
from alibroker.actors.commands import Answer, Command, Verdict
from alibroker.actors.dispatcher import Dispatcher
from alibroker.actors.messages import Change, Drain, Settle, Settlement, TakeSurvey, resolve
from alibroker.actors.poller import Poller
from alibroker.actors.settings import EngineSettings
from alibroker.actors.settling import Settling
from alibroker.actors.storage import Storage
from alibroker.actors.store import RecordStore
from alibroker.actors.supervisor import Child, Supervisor, report_lost, resume
from alibroker.actors.surveyor import Surveyor, Surveys
from alibroker.actors.ticker import Ticker
from alibroker.actors.view import View
from alibroker.actors.worker import Worker
from alibroker.brokers.api import NOTHING, Broker, Json
from alibroker.brokers.catalog import Catalog
from alibroker.etcd.client import Etcd
from alibroker.etcd.sealing import Sealer

log = logging.getLogger(__name__)

DRAIN_TIMEOUT = 15.0
"""Seconds that steps in flight get to finish when the system stops."""


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
        on_give_up: called with a reason, from any thread, when the process should be replaced.
    """

    def __init__(
        self,
        brokers: Sequence[Broker],
        etcd: Etcd,
        sealer: Sealer,
        settings: EngineSettings | None = None,
        *,
        on_give_up: Callable[[str], None] | None = None,
    ) -> None:
        self.catalog = Catalog(brokers)
        self.view = View()
        self.surveys = Surveys()
        """What the last comparison of the cloud with the records found."""
        self.settings = settings or EngineSettings()
        self.gave_up = ""
        """Why the system has given up; empty while it has not."""
        self._brokers = brokers
        self._etcd = etcd
        self._sealer = sealer
        self._on_give_up = on_give_up
        self._dispatcher = Address("dispatcher")
        self._storage = Address("storage")
        self._pollers = {broker.name: Address(f"poller {broker.name}") for broker in brokers}
        self._workers = {
            broker.name: [
                Address(f"worker {broker.name} {number}") for number in range(self.settings.workers)
            ]
            for broker in brokers
        }
        self._surveyor = Address("surveyor")
        self._supervisor = Address("supervisor")
        self._supervising: pykka.ActorRef[Supervisor] | None = None
        self._ticker: Ticker | None = None

    def start(self) -> None:
        """Start all actors. Storage then reads everything back: see `wait_until_ready`."""
        self._supervising = Supervisor.start(self._supervisor, self._children(), self._give_up)
        self._supervisor.move_to(self._supervising)
        self._ticker = Ticker(
            [self._storage, self._supervisor, self._surveyor, *self._pollers.values()]
        )
        self._ticker.start()

    def stop(self) -> None:
        """Let steps in flight finish (bounded), store what came of them, and stop all actors."""
        if self._supervising is None:
            return
        self.surveys.stopping.set()
        reply: Future[bool] = Future()
        self._dispatcher.tell(Drain(reply))
        try:
            reply.result(timeout=DRAIN_TIMEOUT)
        except TimeoutError:
            log.warning("Steps still run after %s s; the next start takes them up", DRAIN_TIMEOUT)
        if self._ticker is not None:
            self._ticker.stop()
        self._supervising.stop()
        self._supervising = None
        for broker in self._brokers:
            broker.close()
        self._etcd.close()

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
        service = self.catalog.service(command.service_id)
        if service is None:
            resolve(reply, Answer(Verdict.MISMATCH, "No plugin offers this service."))
        else:
            self._dispatcher.tell(Change(command, service.broker.name, reply))
        return reply

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
            found.append("the records have not been read back from the store yet")
        elif not self.view.available:
            found.append("the store cannot be written")
        everybody = [self._supervisor, self._storage, self._dispatcher, self._surveyor]
        everybody.extend(self._pollers.values())
        for workers in self._workers.values():
            everybody.extend(workers)
        found.extend(f"{one.name} is not alive" for one in everybody if not one.is_alive)
        return found

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

    def _broker_of(self, service_id: str) -> str | None:
        service = self.catalog.service(service_id)
        return service.broker.name if service else None

    def _give_up(self, reason: str) -> None:
        self.gave_up = reason
        if self._on_give_up is not None:
            self._on_give_up(reason)

    def _children(self) -> list[Child]:
        """List the actors in the order of their start."""
        again = resume(self._storage)
        children = [
            Child(self._storage, self._start_storage, lambda: None),
            Child(self._dispatcher, self._start_dispatcher, again),
        ]
        for broker in self._brokers:
            poller = self._pollers[broker.name]
            children.append(Child(poller, self._poller_start(poller, broker), again))
            for worker in self._workers[broker.name]:
                lost = report_lost(self._dispatcher, broker.name, worker.name)
                children.append(Child(worker, self._worker_start(worker, broker), lost))
        children.append(Child(self._surveyor, self._start_surveyor, lambda: None))
        return children

    def _start_storage(self) -> pykka.ActorRef[Any]:
        settings = self.settings
        return Storage.start(
            self._storage,
            self._supervisor,
            store=RecordStore(
                self._etcd,
                self._sealer,
                timeout=settings.store_timeout,
                marker=settings.marker,
            ),
            view=self.view,
            dispatcher=self._dispatcher,
            pollers=self._pollers,
            broker_of=self._broker_of,
            lifetime=settings.result_lifetime,
        )

    def _start_dispatcher(self) -> pykka.ActorRef[Any]:
        return Dispatcher.start(
            self._dispatcher,
            self._supervisor,
            view=self.view,
            storage=self._storage,
            workers=self._workers,
            max_changes=self.settings.max_changes,
            max_operations=self.settings.max_operations,
        )

    def _start_surveyor(self) -> pykka.ActorRef[Any]:
        return Surveyor.start(
            self._surveyor,
            self._supervisor,
            brokers=self._brokers,
            catalog=self.catalog,
            view=self.view,
            surveys=self.surveys,
            settling=Settling(self._brokers, self.catalog, self._dispatcher),
            settings=self.settings,
        )

    def _poller_start(self, address: Address, broker: Broker) -> Callable[[], pykka.ActorRef[Any]]:
        return lambda: Poller.start(
            address,
            self._supervisor,
            broker=broker,
            catalog=self.catalog,
            view=self.view,
            dispatcher=self._dispatcher,
        )

    def _worker_start(self, address: Address, broker: Broker) -> Callable[[], pykka.ActorRef[Any]]:
        return lambda: Worker.start(
            address,
            self._supervisor,
            broker=broker,
            catalog=self.catalog,
            view=self.view,
            storage=self._storage,
            dispatcher=self._dispatcher,
        )
