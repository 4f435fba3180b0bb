"""The RPC protocol: one dispatcher for RDS, RAM, STS and VPC.

Checks are made in the cloud's order: action, key, time, signature, nonce, token, permission,
parameters. The protocol is described on the vendor's "Request structure" and "Signature" pages.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from alibroker.sandbox import authentication, identity
from alibroker.sandbox.errors import ApiError, missing
from alibroker.sandbox.parameters import Parameters
from alibroker.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.nonces import Nonces


@dataclass(frozen=True)
class Call:
    """A checked call, as an action sees it."""

    cloud: Cloud
    parameters: Parameters
    caller: identity.Credential | None
    now: float


Answer = dict[str, Any]
Run = Callable[[Call], Answer]
Resource = Callable[["Cloud", Parameters], str]


@dataclass(frozen=True)
class Action:
    """An entry of a product's table.

    Attributes:
        run: Does it.
        resource: Names the resource that policies are checked against.
        signed: Whether the call carries a signature.
    """

    run: Run
    resource: Resource
    signed: bool = True


@dataclass(frozen=True)
class Product:
    """An API version and its actions.

    Attributes:
        name: As in policies and counters: rds, ram, sts, vpc.
        refusal: Error code for a caller whose policies do not allow the action.
    """

    name: str
    host: str
    refusal: str
    actions: dict[str, Action]


def merge(request: Request) -> dict[str, str]:
    """Return the call's parameters: query and form together.

    The newer SDKs name action and version in headers.
    """
    values = dict(request.parameters)
    for name, header in (("Action", "x-acs-action"), ("Version", "x-acs-version")):
        if header in request.headers:
            values.setdefault(name, request.headers[header])
    return values


def answer(
    cloud: Cloud, product: Product | None, request: Request, values: dict[str, str], nonces: Nonces
) -> Response:
    """Answer one call, as one transaction."""
    request_id = str(uuid.uuid4()).upper()
    cloud.servers.harvest(cloud)
    try:
        content = _perform(cloud, product, request, values, nonces)
        cloud.servers.follow(cloud)
        cloud.store.commit()
    except ApiError as error:
        cloud.store.rollback()
        return refuse(product, error, request_id)
    except BaseException:
        cloud.store.rollback()
        raise
    body = msgspec.json.encode({"RequestId": request_id, **content})
    return Response(200, body, [*_HEADERS, ("x-acs-request-id", request_id)])


_HEADERS = [("content-type", "application/json;charset=utf-8")]


def refuse(product: Product | None, error: ApiError, request_id: str = "") -> Response:
    """Render an error answer."""
    request_id = request_id or str(uuid.uuid4()).upper()
    name = product.name.capitalize() if product else ""
    headers = [*_HEADERS, ("x-acs-request-id", request_id)]
    if error.retry_after_ms is not None:
        headers.append(("x-acs-retry-after", str(error.retry_after_ms)))
    body = msgspec.json.encode(
        {
            "RequestId": request_id,
            "HostId": product.host if product else "sandbox.aliyuncs.com",
            "Code": error.code,
            "Message": error.message,
            "Recommend": "https://api.alibabacloud.com/troubleshoot"
            f"?q={error.code}&product={name}&requestId={request_id}",
        }
    )
    return Response(error.status, body, headers, code=error.code)


def _perform(
    cloud: Cloud, product: Product | None, request: Request, values: dict[str, str], nonces: Nonces
) -> Answer:
    now = time.time()
    if not values.get("Action"):
        raise missing("Action")
    if not values.get("Version"):
        raise missing("Version")
    if product is None:
        raise ApiError(404, "InvalidVersion", "Specified parameter Version is not valid.")
    name = values["Action"]
    action = product.actions.get(name)
    if action is None:
        raise ApiError(
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.",
        )
    parameters = Parameters(values)
    caller = None
    if action.signed:
        caller = authentication.authenticate(cloud, request, nonces, now)
        _authorise(cloud, product, caller, name, action.resource(cloud, parameters))
    return action.run(Call(cloud, parameters, caller, now))


def _authorise(
    cloud: Cloud, product: Product, caller: identity.Credential, action: str, resource: str
) -> None:
    if caller.may_do_anything() or action == "GetCallerIdentity":
        return
    context = {"acs:sourceip": "127.0.0.1", "acs:securetransport": "false"}
    if identity.decide(cloud, caller, f"{product.name}:{action}", resource, context):
        return
    if product.refusal == "NoPermission":
        raise ApiError(
            403,
            "NoPermission",
            "You are not authorized to do this action. You should be authorized by RAM.",
        )
    raise ApiError(
        403,
        product.refusal,
        "User not authorized to operate on the specified resource, "
        "or this API doesn't support RAM.",
    )
