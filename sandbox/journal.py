"""A file that tells what the RPC APIs were asked, and what their answers looked like.

Each different call is a line of JSON, written before it is answered, so that who has the answer
finds the line. It has no secrets: values of passwords and tokens are left out, and of an answer it
says the names and types of its fields.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alibroker.sandbox.wire import Response

# What is different in each call, and says nothing about it.
_PROTOCOL = frozenset(["Signature", "SignatureNonce", "Timestamp", "AccessKeyId"])
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
        self, product: str, parameters: Mapping[str, str], code: str, response: Response | None
    ) -> None:
        """Note a call, unless one just like it has been noted.

        Args:
            product: rds, ram, sts, vpc, or unknown.
            parameters: Query and form together, and the action.
            code: OK, an error code, or what a fault made of the call.
            response: What came of it, if anything; its body is read only if the code is OK.
        """
        line = msgspec.json.encode(
            {
                "product": product,
                "action": parameters.get("Action", ""),
                "parameters": {
                    name: "***" if _is_secret(name, value) else value
                    for name, value in parameters.items()
                    if name not in _PROTOCOL
                },
                "code": code,
                "answer": shape(msgspec.json.decode(response.body))
                if response is not None and code == "OK"
                else None,
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
