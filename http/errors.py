"""Errors as the OSB API wants them: a status, a JSON object, and a description that helps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import falcon
import falcon.asgi
import msgspec

log = logging.getLogger(__name__)

# Platforms compare these texts literally (OSB, Broker Errors; the Kubernetes client library).
ASYNC_REQUIRED = "This service plan requires client support for asynchronous service operations."
REQUIRES_APP = (
    "This service supports generation of credentials through binding an application only."
)
CONCURRENCY = (
    "The Service Broker does not support concurrent requests that mutate the same resource."
)

_RENAMED: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class OsbError(Exception):
    """An answer that says no: becomes a response in exactly one place."""

    def __init__(
        self,
        status: int,
        error: str,
        description: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "description": description, **(more or {})}
        self.headers = headers or {}


def bad_request(description: str) -> OsbError:
    """Return the error for a request that has to be changed by whoever sent it."""
    return OsbError(400, "BadRequest", description)


def behind() -> OsbError:
    """Return the error where records may have been changed by others, and it cannot be seen."""
    return OsbError(
        503,
        "ServiceUnavailable",
        "The broker cannot see now whether it knows the latest state; try again.",
        headers={"Retry-After": "2"},
    )


def phrase(status: int) -> str:
    """Return a status in words (RFC 9110, section 15), whatever this Python calls it."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase


def error_name(status: int) -> str:
    """Return what the member `error` says where the OSB API has no name: the status in words."""
    return phrase(status).title().replace(" ", "").replace("-", "")


async def render_osb_error(
    _req: falcon.asgi.Request, resp: falcon.asgi.Response, ex: OsbError, _params: Any
) -> None:
    """Answer with what the error says."""
    _render(resp, ex.status, ex.body, ex.headers)


async def render_http_error(
    _req: falcon.asgi.Request, resp: falcon.asgi.Response, ex: falcon.HTTPError, _params: Any
) -> None:
    """Answer an error of the framework, such as an unknown path, in the same form."""
    description = ex.description or f"{phrase(ex.status_code)}."
    body = {"error": error_name(ex.status_code), "description": description}
    _render(resp, ex.status_code, body, dict(ex.headers or {}))


async def render_defect(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, ex: Exception, _params: Any
) -> None:
    """Answer a defect without showing anything of it; the log says more."""
    log.error("Defect while answering %s %s", req.method, req.uri_template or "?", exc_info=ex)
    body = {"error": "InternalError", "description": "An internal error of the broker."}
    _render(resp, 500, body, {})


def _render(
    resp: falcon.asgi.Response, status: int, body: dict[str, Any], headers: Mapping[str, str]
) -> None:
    resp.status = status
    resp.data = msgspec.json.encode(body)
    resp.content_type = falcon.MEDIA_JSON
    for name, value in headers.items():
        resp.set_header(name, value)
