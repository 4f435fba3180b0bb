"""The broker listens at once, and lets requests in when all records have been read back."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import falcon.asgi

from alibroker.actors.system import BrokerSystem
from alibroker.etcd import gateway
from alibroker.etcd.reclaim import reclaim
from alibroker.http.authentication import OPEN_PATHS
from alibroker.http.ending import end_broker
from alibroker.http.errors import OsbError

log = logging.getLogger(__name__)

LOOK_INTERVAL: Final = 0.05
"""Seconds between looks at what is waited for."""
FULL_INTERVAL: Final = 1.0
"""Seconds between looks at whether the embedded etcd is full."""
RECLAIM_PAUSE: Final = 60.0
"""Seconds until space is given back once more: it may be the records that take it."""
KEEPER_INTERVAL: Final = 1.0
"""Seconds between looks at the keeper of the embedded etcd."""


class Gate:
    """Keeps requests out until the records have been read back: an answer would be a guess.

    Once open it stays open. Whoever answers looks for himself whether records are missing later.
    """

    def __init__(self, system: BrokerSystem) -> None:
        self._system = system
        self._open = False

    async def process_request(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        """Refuse with 503; comes after authentication.

        Raises:
            OsbError: 503 while the broker is starting.
        """
        if self._open or req.path in OPEN_PATHS:
            return
        self._open = self._system.view.complete
        if not self._open:
            raise OsbError(
                503,
                "ServiceUnavailable",
                "The broker is starting, and reads its records back; try again.",
                headers={"Retry-After": "5"},
            )

    async def process_response(
        self,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        _resource: object,
        _succeeded: bool,  # noqa: FBT001 - Falcon's signature
    ) -> None:
        """Let nobody keep a connection meanwhile: a stop would wait until it is idle for long."""
        if not self._open:
            resp.set_header("Connection", "close")


class Lifespan:
    """Starts the system in the worker process, after the fork, and stops it before its end.

    The server waits for neither store nor records, for gunicorn would wait 30 seconds and no more.

    Args:
        system: what is started and stopped.
        embedded: socket of the embedded etcd, which gunicorn's master has begun to start.
        keeper: process id of what keeps that etcd running.
    """

    def __init__(
        self, system: BrokerSystem, *, embedded: Path | None = None, keeper: int | None = None
    ) -> None:
        self._system = system
        self._embedded = embedded
        self._keeper = keeper
        self.waits_for = "the actors have not been started yet"
        """What keeps the system from being started; empty once it is."""
        self._watch: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()

    async def process_startup(self, _scope: Any, _event: Any) -> None:
        """Begin."""
        if self._keeper is not None:
            self._watch = asyncio.create_task(_watch_keeper(self._keeper))
        # No thread of the pool: the interpreter would wait for its end.
        threading.Thread(target=self._bring_up, name="bringing up", daemon=True).start()

    async def process_shutdown(self, _scope: Any, _event: Any) -> None:
        """Stop, also in the middle of the start."""
        if self._watch is not None:
            self._watch.cancel()
        self._stopping.set()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        with self._starting:
            self._system.stop()

    def _bring_up(self) -> None:
        try:
            if self._embedded is not None:
                self._prepare(self._embedded)
            with self._starting:
                if self._stopping.is_set():
                    return
                self._system.start()
                self.waits_for = ""
            view = self._system.view
            self._until(lambda: view.complete or bool(view.problem))
        except Exception as ex:
            log.exception("Defect while starting")
            end_broker(f"it does not start: {ex}")
            return
        if self._stopping.is_set():
            return
        if not view.complete:
            # No waiting helps; one that serves already stays, for what it can still answer.
            end_broker(view.problem)
            return
        # Records live long and hold no cycles: looking through them again and again costs a third
        # of the throughput, and most of its longest pauses.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 10, 1000)
        log.info("Ready: %d services", len(self._system.catalog.services))
        if self._embedded is not None:
            self._look_after_space(self._embedded)

    def _prepare(self, socket: Path) -> None:
        """Wait until the embedded etcd answers, and let it give back unused space."""
        self.waits_for = "the embedded etcd has not come up yet"
        self._until(lambda: gateway.answers(socket, timeout=1.0))
        if self._stopping.is_set():
            return
        self.waits_for = "the embedded etcd is giving back space"
        _reclaim(socket)

    def _look_after_space(self, socket: Path) -> None:
        """Have a full store give back what its history takes: by itself it stays full."""
        while not self._stopping.wait(FULL_INTERVAL):
            if self._system.view.full:
                log.info("The embedded etcd is full, and gives back the space of its history")
                _reclaim(socket)
                self._stopping.wait(RECLAIM_PAUSE)

    def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, or the process stops."""
        while not condition():
            if self._stopping.wait(LOOK_INTERVAL):
                return


def _reclaim(socket: Path) -> None:
    try:
        reclaim(socket)
    except gateway.GatewayError as ex:
        log.warning("The space of the embedded etcd could not be looked after: %s", ex)


async def _watch_keeper(pid: int) -> None:
    """End the broker when nobody keeps its etcd any more; the master then says why."""
    while True:
        await asyncio.sleep(KEEPER_INTERVAL)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            end_broker("the keeper of the embedded etcd is gone")
            return
