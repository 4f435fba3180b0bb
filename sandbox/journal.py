"""A file that tells what the APIs were asked, and what their answers looked like.

Each different call is a line of JSON, written before it is answered, so that who has the answer
finds the line. It has no secrets: values of passwords and tokens are left out, and of an answer it
says the names and types of its fields. Of calls to OSS it has no values at all.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alibroker.sandbox.wire import Request, Response

# What is different in each call, and says nothing about it.
_PROTOCOL = frozenset(["Signature", "SignatureNonce", "Timestamp", "AccessKeyId"])
_SIGNED = re.compile(
    r"x-oss-(signature.*|credential|date|expires|additional-headers|content-sha256|security-token)"
    r"|OSSAccessKeyId|Signature|Expires|security-token"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_HIDDEN = ("Password", "PassWord", "SecurityToken", "OIDCToken", "Secret")


class Journal:
    """Appends to a file; several sandboxes may share one."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: It cannot be written.
        """
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written: set[int] = set()

    def write(
        self,
        product: str,
        parameters: Mapping[str, str],
        code: str,
        response: Response | None,
        body: bytes = b"",
    ) -> None:
        """Note a call, unless one just like it has been noted.

        Args:
            product: rds, ram, sts, vpc, oss, or unknown.
            parameters: Query and form together, and the action; of OSS those of `kinds`.
            code: OK, an error code, or what a fault made of the call.
            response: What came of it, if anything; its body is read only if the code is OK.
            body: What was sent to OSS, other than an object; only of XML there is a note.
        """
        answer: Any = None
        if response is not None and code == "OK":
            is_oss = product == "oss"
            answer = answered(response) if is_oss else shape(msgspec.json.decode(response.body))
        line = msgspec.json.encode(
            {
                "product": product,
                "action": parameters.get("Action", ""),
                "parameters": {
                    name: "***" if _is_secret(name, value) else value
                    for name, value in parameters.items()
                    if name not in _PROTOCOL
                },
                "body": outline(body) if body else None,
                "code": code,
                "answer": answer,
            }
        )
        # By its hash, since a sandbox that runs for days sees many.
        if (known := hash(line)) not in self._written:
            self._written.add(known)
            # One write for a line, so that those of several processes do not mix.
            os.write(self._file, line + b"\n")


def _is_secret(name: str, value: str) -> bool:
    """Tell, by a parameter's name; PasswordResetRequired is none."""
    return any(hidden in name for hidden in _HIDDEN) and value.lower() not in ("true", "false")


def shape(value: Any) -> Any:
    """Return names and types: objects and lists as such, anything else as the name of its type."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        found: list[Any] = []
        for one in map(shape, value):
            if one not in found:
                found.append(one)
        return found
    return "null" if value is None else type(value).__name__


def kinds(request: Request) -> dict[str, str]:
    """Return what a call to OSS says beside its path and body, with a sample of each one's kind.

    Those are the query and the headers of OSS, without what belongs to the signature.
    """
    headers = {name: one for name, one in request.headers.items() if name.startswith("x-oss-")}
    return {
        name: _sample(value)
        for name, value in {**request.arguments, **headers}.items()
        if not _SIGNED.fullmatch(name)
    }


def answered(response: Response) -> str | None:
    """Return the outline of an answer's XML, None for other answers."""
    if ("content-type", "application/xml") not in response.headers or response.files:
        return None
    return outline(response.body)


def outline(text: bytes) -> str | None:
    """Return XML with samples for its texts, and alike elements at most twice.

    Returns None for other texts, and for XML that no parser takes: some names of objects are so.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - our own, or from a loopback client, and bounded
    except ET.ParseError:
        return None
    return ET.tostring(_outlined(root), encoding="unicode")


def _outlined(element: ET.Element) -> ET.Element:
    made = ET.Element(element.tag)
    seen: Counter[bytes] = Counter()
    for child in element:
        inner = _outlined(child)
        text = ET.tostring(inner)
        seen[text] += 1
        if seen[text] <= 2:  # noqa: PLR2004 - two tell that there can be many
            made.append(inner)
    if not len(element):
        made.text = _sample(element.text or "")
    return made


def _sample(text: str) -> str:
    if text in ("", "true", "false", "True", "False"):
        return text
    if re.fullmatch(r"-?\d+", text):
        return "1"
    return "2000-01-01T00:00:00.000Z" if _TIME.fullmatch(text) else "x"
