"""What the broker is measured beside: the least that its server can do, and a peer.

Each is an application that gunicorn serves with the broker's own worker, or the peer's usual one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
from openbrokerapi import api
from openbrokerapi.catalog import ServicePlan
from openbrokerapi.service_broker import (
    LastOperation,
    OperationState,
    ProvisionedServiceSpec,
    ProvisionState,
    Service,
    ServiceBroker,
)

ANSWER = b'{"state":"succeeded"}'
DOCUMENT = "BENCH_DOCUMENT"
"""Names the file with the bytes that `/document` answers."""
OFFER = ("service", "plan")
CREDENTIALS = ("bench", "bench-password")

Message = dict[str, Any]


async def raw(scope: Message, receive: Any, send: Any) -> None:
    """Answer the same, whatever is asked, without any framework."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(ANSWER)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


class Bytes:
    """Answers the same bytes, whatever is asked."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer."""
        resp.data = self._data
        resp.content_type = falcon.MEDIA_JSON


def bare_falcon() -> falcon.asgi.App[Any, Any]:
    """Return Falcon with constant answers, a short and perhaps a long one."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/constant", Bytes(ANSWER))
    if document := os.environ.get(DOCUMENT):
        app.add_route("/document", Bytes(Path(document).read_bytes()))
    return app


class InMemory(ServiceBroker):  # type: ignore[misc] # openbrokerapi publishes no types
    """A broker by the peer's library that remembers nothing for longer than it lives."""

    def __init__(self) -> None:
        self._instances: set[str] = set()

    def catalog(self) -> Service:
        """Offer one plan."""
        service_id, plan_id = OFFER
        plan = ServicePlan(id=plan_id, name="plan", description="A plan")
        return Service(
            id=service_id, name="service", description="A service", bindable=True, plans=[plan]
        )

    def provision(self, instance_id: str, *_: Any, **__: Any) -> ProvisionedServiceSpec:
        """Take a note of it."""
        self._instances.add(instance_id)
        return ProvisionedServiceSpec(ProvisionState.IS_ASYNC, operation="operation")

    def last_operation(self, *_: Any, **__: Any) -> LastOperation:
        """Answer a poll."""
        return LastOperation(OperationState.SUCCEEDED)


def peer() -> Any:
    """Return the WSGI application of openbrokerapi."""
    import logging  # noqa: PLC0415 - of the peer alone

    import flask  # noqa: PLC0415 - the same

    app = flask.Flask(__name__)
    # It logs each request, and who cares for speed would not have it do so.
    log = logging.getLogger("peer")
    log.setLevel(logging.ERROR)
    app.register_blueprint(api.get_blueprint(InMemory(), api.BrokerCredentials(*CREDENTIALS), log))
    return app
