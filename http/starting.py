"""The broker listens at once, and lets requests in when all records have been read back."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import falcon.asgi

from alibroker.actors.system import BrokerSystem
from alibroker.etcd import gateway
from alibroker.etcd.reclaim import reclaim
from alibroker.http.authentication import OPEN_PATHS
from alibroker.http.ending import end_broker
from alibroker.http.errors import OsbError, behind
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

App = falcon.asgi.App[Any, Any]

LOOK_INTERVAL: Final = 0.05
"""Seconds between looks at what is waited for."""
FIRST_WORD: Final = 3.0
NEXT_WORD: Final = 30.0
"""Seconds of waiting after which the log says for what, and then says it again."""
FULL_INTERVAL: Final = 1.0
"""Seconds between looks at whether the embedded etcd is full."""
RECLAIM_PAUSE: Final = 60.0
"""Seconds until space is given back once more: it may be the records that take it."""
OTHERS_INTERVAL: Final = 1.0
"""Seconds between looks at whether other processes serve where this one cannot."""
KEEPER_INTERVAL: Final = 1.0
"""Seconds between looks at the keeper of the embedded etcd."""


STATIC_PATHS: Final = ("/v2/catalog", "/openapi.json")
"""What is the same whatever the records say."""


class Gate:
    """Keeps requests out while an answer would be a guess.

    That is until the records have been read back; and, for each request, until what other replicas
    had answered before it is known. Once open it stays open: whoever answers looks for himself
    whether records are missing later.
    """

    def __init__(
        self,
        is_open: Callable[[], bool],
        up_to_date: Callable[[], Awaitable[bool]],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_open = is_open
        self._up_to_date = up_to_date
        self._is_stopping = is_stopping
        self._open = False

    async def process_request(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        """Refuse with 503; comes after authentication.

        Raises:
            OsbError: 503 while the broker is starting.
        """
        if req.path in OPEN_PATHS:
            return
        self._open = self._open or self._is_open()
        if not self._open:
            raise OsbError(
                503,
                "ServiceUnavailable",
                "The broker is starting, and reads its records back; try again.",
                headers={"Retry-After": "5"},
            )
        # What creates is mostly new, which the store itself sees to: it waits only if it is not.
        if req.path in STATIC_PATHS or req.method == "PUT":
            return
        if not await self._up_to_date():
            raise behind()

    async def process_response(
        self,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        _resource: object,
        _succeeded: bool,  # noqa: FBT001 - Falcon's signature
    ) -> None:
        """Let nobody keep a connection meanwhile, or at the end: a stop would wait for it."""
        if not self._open or self._is_stopping():
            resp.set_header("Connection", "close")


class Deployment:
    """The ASGI application of a deployment: one that only says what it waits for, then the broker.

    Attributes:
        app: who answers requests now; the first one is told of the server's start and stop.
    """

    def __init__(self, first: App, lifespan: Lifespan) -> None:
        self._first = self.app = first
        self._lifespan = lifespan
        self.stopping = False
        """Whether the process is to stop: connections are not to be kept."""
        self.last = False
        """Whether it is, and nobody takes its place: balancers should send nothing more."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on what the server says."""
        app = self._first if scope["type"] == "lifespan" else self.app
        await app(scope, receive, send)

    @property
    def others_can_answer(self) -> Callable[[], bool]:
        """Tells whether other processes answer at the same address; set by who knows."""
        return self._lifespan.others_can_answer

    @others_can_answer.setter
    def others_can_answer(self, others_can_answer: Callable[[], bool]) -> None:
        self._lifespan.others_can_answer = others_can_answer

    def can_answer(self) -> bool:
        """Whether it can do what it is there for."""
        system = self._lifespan.system
        return self.app is not self._first and system is not None and not system.problems()

    def fail(self, reason: str) -> None:
        """End the broker, unless others serve."""
        threading.Thread(target=self._lifespan.fail, args=[reason], daemon=True).start()

    async def stop(self) -> None:
        """Stop, after the last answer."""
        await self._lifespan.process_shutdown(None, None)


class Lifespan:
    """Starts the system in the worker process, after the fork, and stops it before its end.

    The server waits for none of it, for gunicorn would wait 30 seconds for a start, and two minutes
    for what comes before that, and no more.

    Args:
        load: makes the system, which takes as long as plugins and key management take.
        on_started: called when the system has been started.
        expected: what `load` raises where an operator has to change something, and the text says
            what.
        on_stop: called last.
        embedded: socket of the embedded etcd, which gunicorn's master has begun to start.
        keeper: process id of what keeps that etcd running.
    """

    def __init__(
        self,
        load: Callable[[], BrokerSystem],
        on_started: Callable[[BrokerSystem], None],
        *,
        expected: tuple[type[Exception], ...] = (),
        on_stop: Callable[[], None] = lambda: None,
        embedded: Path | None = None,
        keeper: int | None = None,
    ) -> None:
        self._load = load
        self._on_started = on_started
        self._expected = expected
        self._on_stop = on_stop
        self._embedded = embedded
        self._keeper = keeper
        self.system: BrokerSystem | None = None
        self.others_can_answer: Callable[[], bool] = lambda: False
        """Tells whether other processes answer at the same address."""
        self.waits_for = "plugins and sealing key are being loaded"
        """What keeps the system from being started."""
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
            if self.system is not None:
                self.system.stop()
        self._on_stop()

    def _bring_up(self) -> None:
        try:
            system = self._load()
            if self._embedded is not None:
                self._prepare(self._embedded)
            with self._starting:
                if self._stopping.is_set():
                    return
                self.system = system
                system.start()
            self._on_started(system)
            view = system.view
            self._until(
                lambda: view.complete or bool(view.problem), lambda: "; ".join(system.problems())
            )
        except self._expected as ex:
            self.fail(ex)
            return
        except Exception as ex:
            log.exception("Defect while starting")
            self.fail(ex)
            return
        if self._stopping.is_set():
            return
        if not view.complete:
            # No waiting helps; one that serves already stays, for what it can still answer.
            self.fail(view.problem)
            return
        # Records live long and hold no cycles: looking through them again and again costs a third
        # of the throughput, and most of its longest pauses.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 10, 1000)
        log.info("Ready: %d services", len(system.catalog.services))
        if self._embedded is not None:
            self._look_after_space(self._embedded, view)

    def fail(self, reason: object) -> None:
        """End the broker, unless others serve: a change that was wrong does not take them away."""
        reason = f"alibroker does not start: {reason}"
        if self.others_can_answer():
            log.critical("%s; those that were started before go on meanwhile", reason)
            while self.others_can_answer():
                if self._stopping.wait(OTHERS_INTERVAL):
                    return
        end_broker(reason)

    def _prepare(self, socket: Path) -> None:
        """Wait until the embedded etcd answers, and let it give back unused space."""
        self.waits_for = "the embedded etcd has not come up yet"
        self._until(lambda: gateway.answers(socket, timeout=1.0), lambda: self.waits_for)
        if self._stopping.is_set():
            return
        if not self.others_can_answer():
            self.waits_for = "the embedded etcd is giving back space"
            _reclaim(socket)

    def _look_after_space(self, socket: Path, view: View) -> None:
        """Have a full store give back what its history takes: by itself it stays full."""
        while not self._stopping.wait(FULL_INTERVAL):
            if view.full:
                log.info("The embedded etcd is full, and gives back the space of its history")
                _reclaim(socket)
                self._stopping.wait(RECLAIM_PAUSE)

    def _until(self, condition: Callable[[], bool], reason: Callable[[], str]) -> None:
        """Wait until the condition holds, or the process stops; now and then say for what."""
        say_at = time.monotonic() + FIRST_WORD
        while not condition():
            if self._stopping.wait(LOOK_INTERVAL):
                return
            if time.monotonic() > say_at:
                log.warning("Not ready yet: %s", reason())
                say_at = time.monotonic() + NEXT_WORD


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
            end_broker("Stopping the broker: the keeper of the embedded etcd is gone")
            return
