"""The XML of OSS."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from alibroker.sandbox.errors import ApiError

Tree = Mapping[str, Any]


def render(name: str, content: Tree | str) -> bytes:
    """Write a document: mappings are elements, sequences are repeated elements."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return (head + _element(name, content)).encode()


def parse(body: bytes) -> ET.Element:
    """Read a request's document.

    Raises:
        ApiError: MalformedXML.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - from a loopback client, of bounded size
    except ET.ParseError as error:
        raise malformed(str(error)) from None
    for element in root.iter():
        # Clients may or may not send a namespace.
        element.tag = element.tag.rpartition("}")[2]
    return root


def malformed(why: str) -> ApiError:
    """Build MalformedXML."""
    return ApiError(
        400,
        "MalformedXML",
        f"The XML you provided was not well-formed or did not validate: {why}",
        ec="0030-00000001",
    )


def timestamp(moment: float) -> str:
    """Write a time as OSS does: UTC, with milliseconds that are always 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(moment))


def _element(name: str, content: Any) -> str:
    if isinstance(content, Mapping):
        inner = "".join(_element(key, value) for key, value in content.items())
    elif isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(_element(name, item) for item in content)
    else:
        inner = escape(content if isinstance(content, str) else str(content))
    return f"<{name}>{inner}</{name}>"
