"""Probes: is the process alive, and can it take changes. Neither asks the cloud."""

from __future__ import annotations

import falcon.asgi

from alibroker.actors.system import BrokerSystem
from alibroker.http.answers import send
from alibroker.http.starting import Lifespan


class Alive:
    """`/healthz`: answers as long as the process does."""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Probe."""
        send(resp, 200, {"status": "ok"})


class Ready:
    """`/readyz`: etcd reachable, all records read, all actors alive."""

    def __init__(self, system: BrokerSystem, lifespan: Lifespan | None = None) -> None:
        self._system = system
        self._lifespan = lifespan

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Probe; 503 names what is missing."""
        waits_for = self._lifespan.waits_for if self._lifespan else ""
        problems = [waits_for] if waits_for else self._system.problems()
        if problems:
            send(resp, 503, {"status": "not ready", "problems": problems})
        elif warnings := self._system.warnings():
            send(resp, 200, {"status": "ok", "warnings": warnings})
        else:
            send(resp, 200, {"status": "ok"})
