"""Whether the store can be used: who is told, what is logged, and what an operator has to mend."""

from __future__ import annotations

import logging
from collections.abc import Callable

from alibroker.actors.replica import DeregisteredError, NotYetError, StoreRefusedError
from alibroker.actors.repository import Repository
from alibroker.etcd.errors import EtcdDiskFullError, EtcdError, EtcdFullError
from alibroker.etcd.identity import StoreReplacedError
from alibroker.etcd.records import UnknownSchemaError
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

AWAY = "The broker cannot reach its store now; try again."
FULL = "The broker's store has no space left; its operator has to make room (docs/etcd.md)."
DISK_FULL = "The disk of the broker's store is full; its operator has to make room (docs/etcd.md)."


class Availability:
    """Draws conclusions from what came of calls to the store, for the storage actor alone.

    The view carries them to whoever reads.
    """

    def __init__(
        self,
        store: Repository,
        view: View,
        on_step_down: Callable[[Exception], None],
        on_deregistered: Callable[[str], None],
    ) -> None:
        """Take what is called with the reason: when no waiting helps, when all begins anew."""
        self._store = store
        self._on_deregistered = on_deregistered
        self._on_step_down = on_step_down
        self._view = view
        self._troubles: set[type[EtcdError]] = set()
        self.stepped_down = False
        """Whether no waiting helps: an operator has to mend something first."""

    @property
    def sorry(self) -> str:
        """What whoever asked for a change is told while the store cannot be used."""
        if EtcdDiskFullError in self._troubles:
            return DISK_FULL
        return FULL if EtcdFullError in self._troubles else AWAY

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something that shows, by going well, that the store can be used."""
        try:
            action()
        except (StoreRefusedError, StoreReplacedError, UnknownSchemaError) as ex:
            self.step_down(ex)
        except DeregisteredError as ex:
            self._on_deregistered(str(ex))
        except NotYetError as ex:
            self._wait(ex)
        except EtcdError as ex:
            self.away(ex)
        else:
            self._back()

    def away(self, error: EtcdError) -> None:
        """Take note that a call to the store failed."""
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

    def _wait(self, reason: NotYetError) -> None:
        if self._view.waits_for != str(reason):
            log.info("Not yet: %s", reason)
        self._view.waits_for = str(reason)
        self._view.available = False

    def _back(self) -> None:
        if not self._view.available:
            log.info("The store can be used")
            self._view.waits_for = ""
            self._view.full = False
        self._troubles.clear()
        self._view.available = True

    def step_down(self, error: Exception) -> None:
        """Be of no use, visibly, until an operator has mended what only an operator can mend."""
        log.critical("%s", error)
        self.stepped_down = True
        self._view.complete = False
        self._view.available = False
        self._view.problem = str(error)
        self._on_step_down(error)
