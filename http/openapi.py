"""The OpenAPI document of the broker's own API, made once, at start.

`openapi.yaml` has what only people can say. What classes enforce is taken from the classes.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from string import Template
from typing import Any, Final

import falcon
import falcon.asgi
import msgspec
import yaml

from alibroker.brokers.api import ServiceOffering
from alibroker.http.bodies import (
    MAX_DEPTH,
    MAX_ID,
    MAX_MEMBERS,
    BindBody,
    ProvisionBody,
    UpdateBody,
)
from alibroker.http.connections import MAX_HEAD
from alibroker.http.headers import MAX_IDENTITY, MAX_REQUEST_IDENTITY
from alibroker.http.operator import FindingBody
from alibroker.http.receiving import BODY_TIMEOUT
from alibroker.http.settings import EdgeSettings

_TEXT: Final = Path(__file__).with_name("openapi.yaml")

_UNPUBLISHED: Final = ("settings", "asynchronous_only", "hidden", "requires_app")
"""Members of a plan that the catalog keeps to itself."""

_BODY: Final = (
    "At most {max_body} bytes of JSON in UTF-8, nested at most {max_depth} levels, with at most "
    "{max_members} members and items, no member of an object named twice, numbers of at most 64 "
    "bits, and no Content-Encoding. Unknown members are ignored. Without a Content-Type it is "
    "taken for JSON."
)


def openapi_document(settings: EdgeSettings) -> dict[str, Any]:
    """Return the document, an OpenAPI 3.1 object."""
    text = Template(_TEXT.read_text(encoding="utf-8")).safe_substitute(
        version=importlib.metadata.version("alibroker"),
        body=_BODY.format(max_body=settings.max_body, max_depth=MAX_DEPTH, max_members=MAX_MEMBERS),
        body_timeout=f"{BODY_TIMEOUT:.0f}",
        max_body=settings.max_body,
        max_head=MAX_HEAD,
        max_id=MAX_ID,
        max_identity=MAX_IDENTITY,
        max_request_identity=MAX_REQUEST_IDENTITY,
    )
    in_c = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # where PyYAML was built with libyaml
    document: dict[str, Any] = yaml.load(text, in_c)  # noqa: S506 - a safe loader
    document["components"]["schemas"] |= _schemas()
    return document


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any]
    _, schemas = msgspec.json.schema_components(
        [ProvisionBody, UpdateBody, BindBody, FindingBody, ServiceOffering],
        ref_template="#/components/schemas/{name}",
    )
    for name in _UNPUBLISHED:
        del schemas["Plan"]["properties"][name]
    schemas["Plan"]["description"] = "A plan (OSB, Plan object)."
    del schemas["OperationKind"]
    # Else there would be tuples, which JSON does not have.
    schemas = msgspec.json.decode(msgspec.json.encode(schemas))
    # The catalog always says these, since their defaults in the OSB API are not ours.
    schemas["ServiceOffering"]["required"] += ["instances_retrievable", "bindings_retrievable"]
    return schemas


class OpenApi:
    """`/openapi.json`."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._document = msgspec.json.encode(openapi_document(settings))

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Fetch."""
        resp.data = self._document
        resp.content_type = falcon.MEDIA_JSON

    on_head = on_get
