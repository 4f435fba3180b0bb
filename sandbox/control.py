"""The control API under /sandbox/: what a tester sees and turns. It is not signed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from alibroker.sandbox import inventory
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.faults import Fault
from alibroker.sandbox.oss.buckets import is_valid_name
from alibroker.sandbox.oss.documents import Bucket
from alibroker.sandbox.oss.filling import Filling, fill
from alibroker.sandbox.settings import merge
from alibroker.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from alibroker.sandbox.app import Application
    from alibroker.sandbox.body import Body

_LIMIT = 1024 * 1024


class ForeignBucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bucket that the second account is to own."""

    name: str


async def respond(application: Application, request: Request, body: Body) -> Response:
    """Answer a request to the control API."""
    try:
        content = await body.read(_LIMIT)
        return _route(application, request, content)
    except ApiError as error:
        return _json({"error": error.message}, error.status)
    except msgspec.MsgspecError as error:
        return _json({"error": f"The body cannot be used: {error}"}, 400)


def _route(application: Application, request: Request, content: bytes) -> Response:
    path = request.path.removeprefix("/sandbox/").rstrip("/")
    name, _, identifier = path.partition("/")
    if name == "faults" and identifier:
        return _one_fault(application, request.method, identifier)
    methods = _ROUTES.get(path)
    if methods is None:
        known = ", ".join(f"/sandbox/{known}" for known in _ROUTES)
        raise ApiError(404, "NotFound", f"There is no {request.path}; there are {known}.")
    run = methods.get(request.method)
    if run is None:
        raise ApiError(405, "MethodNotAllowed", f"{request.path} knows {', '.join(methods)}.")
    return run(application, content)


def _health(application: Application, _: bytes) -> Response:
    cloud = application.cloud
    return _json({"status": "ok", "region": cloud.region, "time": time.time()})


def _counters(application: Application, _: bytes) -> Response:
    return _json(application.counters.report())


def _reset_counters(application: Application, _: bytes) -> Response:
    application.counters.reset()
    return Response(204)


def _inventory(application: Application, _: bytes) -> Response:
    return _json(inventory.report(application.cloud))


def _settings(application: Application, _: bytes) -> Response:
    return _json(application.cloud.settings)


def _change_settings(application: Application, content: bytes) -> Response:
    cloud = application.cloud
    application.accounts.change_settings(merge(cloud.settings, content))
    return _json(cloud.settings)


def _faults(application: Application, _: bytes) -> Response:
    return _json({"faults": application.faults.all()})


def _arm(application: Application, content: bytes) -> Response:
    fault = msgspec.json.decode(content, type=Fault)
    return _json(application.faults.arm(fault), 201)


def _clear_faults(application: Application, _: bytes) -> Response:
    application.faults.clear()
    return Response(204)


def _one_fault(application: Application, method: str, identifier: str) -> Response:
    armed = application.faults.find(identifier)
    if armed is None:
        raise ApiError(404, "NotFound", f"There is no fault {identifier}; GET /sandbox/faults.")
    if method == "DELETE":
        application.faults.disarm(identifier)
        return Response(204)
    if method != "GET":
        raise ApiError(405, "MethodNotAllowed", "A fault knows GET and DELETE.")
    return _json(armed)


def _add_foreign_bucket(application: Application, content: bytes) -> Response:
    name = msgspec.json.decode(content, type=ForeignBucket).name
    accounts = application.accounts
    cloud = accounts.second or accounts.first
    if not is_valid_name(name):
        raise ApiError(
            400, "InvalidBucketName", f"{name!r} is no bucket name: 3 to 63 of a-z, 0-9 and -."
        )
    if name in cloud.buckets:
        raise ApiError(409, "BucketAlreadyExists", f"The bucket {name} exists; choose another.")
    owner = application.cloud.owner.foreign_id
    cloud.buckets.put(name, Bucket(name=name, owner=owner, created=time.time()))
    cloud.store.commit()
    accounts.share_names()
    return _json({"name": name, "owner": owner}, 201)


def _second_account(application: Application, _: bytes) -> Response:
    cloud = application.accounts.open_second()
    owner = cloud.owner
    answer = {
        "id": owner.id,
        "access_key_id": owner.key_id,
        "access_key_secret": cloud.vault.unseal(owner.sealed_secret),
    }
    return _json(answer, 201)


def _second_inventory(application: Application, _: bytes) -> Response:
    cloud = application.accounts.second
    if cloud is None:
        raise ApiError(404, "NotFound", "It was not opened: POST /sandbox/second-account.")
    return _json(inventory.report(cloud))


def _fill(application: Application, content: bytes) -> Response:
    cloud = application.cloud
    fill(cloud, msgspec.json.decode(content, type=Filling))
    cloud.store.commit()
    return Response(204)


def _json(content: Any, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(content), [("content-type", "application/json")])


_ROUTES: dict[str, dict[str, Callable[[Application, bytes], Response]]] = {
    "health": {"GET": _health},
    "counters": {"GET": _counters, "DELETE": _reset_counters},
    "inventory": {"GET": _inventory},
    "settings": {"GET": _settings, "PUT": _change_settings},
    "faults": {"GET": _faults, "POST": _arm, "DELETE": _clear_faults},
    "foreign-buckets": {"POST": _add_foreign_bucket},
    "second-account": {"GET": _second_inventory, "POST": _second_account},
    "objects": {"POST": _fill},
}
