"""Who goes on with an operation: the dispatcher if a step is due, else the poller of its broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from alibroker.actors.actor import Address
from alibroker.actors.messages import Reset, StepDue, Wait
from alibroker.brokers.catalog import Catalog
from alibroker.lifecycle import progress
from alibroker.lifecycle.records import Record

log = logging.getLogger(__name__)


class Handout:
    """Hands operations in progress to the actors that carry them on."""

    def __init__(
        self, catalog: Catalog, dispatcher: Address, pollers: Mapping[str, Address]
    ) -> None:
        """Take the pollers by the names of their brokers."""
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._pollers = pollers

    def all(self, running: Iterable[Record]) -> None:
        """Hand out everything, to actors that forget what they had."""
        self._dispatcher.tell(Reset())
        for poller in self._pollers.values():
            poller.tell(Reset())
        for record in running:
            self.one(record)

    def of(self, broker: str, running: Iterable[Record]) -> None:
        """Hand out what a poller has lost; whoever has got some of it already knows it again."""
        self._pollers[broker].tell(Reset())
        for record in running:
            service = self._catalog.service(record.service_id)
            if service is not None and service.broker == broker:
                self.one(record)

    def one(self, record: Record) -> None:
        """Hand out the operation of a record."""
        operation = record.operation
        service = self._catalog.service(record.service_id)
        if service is None:
            log.error("%s: no plugin offers service %s", record.key, record.service_id)
        elif not (pause := progress.due_in(operation, now := time.time())):
            due = StepDue(record.key, operation.id, operation.step, service.broker)
            self._dispatcher.tell(due)
        else:
            self._pollers[service.broker].tell(
                Wait(
                    record.key,
                    operation.id,
                    operation.step,
                    due_at=now + pause,
                    interval=operation.poll_after,
                    observe=operation.poll_after > 0,
                )
            )
