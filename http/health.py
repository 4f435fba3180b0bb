"""Probes: is the process alive, and can it take changes. Neither asks the cloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import falcon.asgi

from alibroker.http.answers import send


class Alive:
    """`/healthz`: answers as long as the process does."""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Probe."""
        send(resp, 200, {"status": "ok"})

    on_head = on_get


class Ready:
    """`/readyz`: plugins loaded, etcd reachable, all records read, all actors alive."""

    def __init__(
        self,
        problems: Callable[[], Sequence[str]],
        warnings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Take what says why changes cannot be taken, and what is not as it should be."""
        self._problems = problems
        self._warnings = warnings

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Probe; 503 names what is missing."""
        if problems := self._problems():
            send(resp, 503, {"status": "not ready", "problems": problems})
        elif warnings := self._warnings():
            send(resp, 200, {"status": "ok", "warnings": warnings})
        else:
            send(resp, 200, {"status": "ok"})

    on_head = on_get
