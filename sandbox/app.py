"""The sandbox as an ASGI application: which service a request is for, faults, delays, counts."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alibroker.sandbox import control, metadata, rpc
from alibroker.sandbox.accounts import Accounts
from alibroker.sandbox.body import Body, DisconnectedError
from alibroker.sandbox.counters import Counters
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.faults import ConnectionLostError, Fault, Faults, strike
from alibroker.sandbox.journal import kinds
from alibroker.sandbox.nonces import Nonces
from alibroker.sandbox.oss import hosts, routing
from alibroker.sandbox.oss import protocol as oss
from alibroker.sandbox.ram.product import RAM
from alibroker.sandbox.rates import Rates
from alibroker.sandbox.rds.product import RDS
from alibroker.sandbox.sts import STS
from alibroker.sandbox.vpc import VPC
from alibroker.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.journal import Journal

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FORM_LIMIT = 1024 * 1024
_CHUNK = 256 * 1024
_PRODUCTS = {"2014-08-15": RDS, "2015-05-01": RAM, "2015-04-01": STS, "2016-04-28": VPC}
_CHANGE_NAMES = frozenset({"PutBucket", "PutBucketAcl", "DeleteBucket"})
_log = logging.getLogger("alibroker.sandbox")


@dataclass(frozen=True)
class Target:
    """What a request calls: for counters, faults and limits, and how to refuse or do it.

    Attributes:
        parameters: For the journal.
        body: For the journal as well.
    """

    product: str
    action: str
    refuse: Callable[[ApiError], Response]
    perform: Callable[[], Awaitable[Response]]
    parameters: Mapping[str, str] | None = None
    body: Body | None = None


class Application:
    """Routes requests; one instance serves one cloud, with one account or two."""

    def __init__(self, cloud: Cloud, journal: Journal | None = None) -> None:
        self.cloud = cloud
        self.accounts = Accounts(cloud)
        self._journal = journal
        self.counters = Counters()
        self.faults = Faults()
        self._nonces = Nonces()
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            msg = f"the sandbox does not speak {scope['type']}"
            raise RuntimeError(msg)
        body = Body(receive)
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers={
                name.decode("latin-1"): value.decode(errors="replace")
                for name, value in scope["headers"]
            },
        )
        try:
            response = await self._respond(request, body)
        except ConnectionLostError as lost:
            _cut(scope, reset=lost.reset)
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            # The server stops: whoever still waits sees the connection end.
            _cut(scope, reset=False)
            raise
        except DisconnectedError:
            _log.info("a client left before its request was complete")
        else:
            await _write(send, request, response)

    async def _respond(self, request: Request, body: Body) -> Response:
        request = hosts.addressed(self.cloud, request)
        if not request.headers.get("authorization", "").startswith("OSS"):
            if request.path.startswith("/sandbox/"):
                return await control.respond(self, request, body)
            if request.path.startswith("/latest/"):
                return metadata.respond(self.cloud, request)
        if request.path == "/" and _is_rpc(request):
            try:
                target = await self._rpc_target(request, body)
            except ApiError as error:
                return rpc.refuse(None, error)
            return await self._call(target)
        await body.begin()
        return await self._call(self._oss_target(request, body))

    async def _rpc_target(self, request: Request, body: Body) -> Target:
        request = Request(
            request.method,
            request.path,
            request.query,
            request.headers,
            await body.read(FORM_LIMIT),
        )
        values = rpc.merge(request)
        product = _PRODUCTS.get(values.get("Version", ""))
        action = values.get("Action", "")

        async def perform() -> Response:
            cloud = self.accounts.of_request(request, values)
            return rpc.answer(cloud, product, request, values, self._nonces)

        return Target(
            product.name if product else "unknown",
            action if product and action in product.actions else "unknown",
            lambda error: rpc.refuse(product, error),
            perform,
            values,
        )

    def _oss_target(self, request: Request, body: Body) -> Target:
        operation = routing.find(request)
        name = operation.name if operation else "unknown"
        cloud = self.accounts.of_request(request, request.arguments)

        async def perform() -> Response:
            response = await oss.answer(cloud, request, body)
            if name in _CHANGE_NAMES:
                self.accounts.share_names()
            return response

        return Target(
            "oss",
            name,
            lambda error: oss.refuse(cloud, request, error),
            perform,
            {"Action": name, **kinds(request)} if self._journal is not None else None,
            body,
        )

    async def _call(self, target: Target) -> Response:
        started = time.perf_counter()
        self.counters.begin(target.product, target.action)
        code = "Disconnected"
        response = None
        try:
            response = await self._with_faults(target)
            code = response.code or "OK"
        except ConnectionLostError as lost:
            code = "Fault.Reset" if lost.reset else "Fault.Hang"
            raise
        except Exception:
            code = "Crash"
            raise
        finally:
            self.counters.end(target.product, target.action, code)
            if self._journal is not None and target.parameters is not None:
                body = target.body.content if target.body else b""
                self._journal.write(target.product, target.parameters, code, response, body)
            milliseconds = (time.perf_counter() - started) * 1000
            _log.info("%s %s %s %.1f ms", target.product, target.action, code, milliseconds)
        return response

    async def _with_faults(self, target: Target) -> Response:
        settings = self.cloud.settings
        limit = settings.rate_limits.get(target.product)  # type: ignore[call-overload]
        if limit is not None:
            wait = self._rates.take(target.product, limit, time.monotonic())
            if wait:
                return target.refuse(_throttled(target.product, wait))
        fault = self.faults.match(target.product, target.action)
        if fault and fault.when == "before":
            wrong = await _struck(fault, target)
            if wrong is not None:
                return wrong
        response = await target.perform()
        if settings.latency_ms:
            await asyncio.sleep(settings.latency_ms / 1000)
        if fault and fault.when == "after":
            return await _struck(fault, target) or response
        return response


def _is_rpc(request: Request) -> bool:
    return (
        request.method == "POST"
        or "Action" in request.arguments
        or "x-acs-action" in request.headers
    )


async def _struck(fault: Fault, target: Target) -> Response | None:
    if fault.kind == "throttle":
        error = _throttled(target.product, 1.0 if fault.seconds is None else fault.seconds)
    elif fault.kind == "error":
        error = ApiError(500, "InternalError", "The request processing has failed: a fault.")
    else:
        return await strike(fault)
    return target.refuse(
        ApiError(
            fault.status or error.status,
            fault.code or error.code,
            fault.message or error.message,
            retry_after_ms=error.retry_after_ms,
            ec=error.ec,
        )
    )


def _throttled(product: str, seconds: float) -> ApiError:
    if product == "oss":
        return ApiError(503, "ServiceBusy", "The service is busy. Please try again later.")
    return ApiError(
        400,
        "Throttling.User",
        "Request was denied due to user flow control.",
        retry_after_ms=max(1, round(seconds * 1000)),
    )


async def _write(send: Send, request: Request, response: Response) -> None:
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    if not any(name == b"content-length" for name, _ in headers):
        length = len(response.body) + sum(length for _, _, length in response.files)
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if request.method == "HEAD":
        await send({"type": "http.response.body"})
        return
    for path, offset, length in response.files:
        left = length
        with path.open("rb") as file:
            file.seek(offset)
            while left and (part := file.read(min(_CHUNK, left))):
                left -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": response.body})


def _cut(scope: Scope, *, reset: bool) -> None:
    transport = scope["extensions"]["sandbox.transport"]
    if reset:
        # Without lingering, closing sends a reset instead of an orderly end.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
