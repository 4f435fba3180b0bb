"""Parameters of an RPC call, read strictly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError, invalid, missing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_COMMON = frozenset(
    [
        "Action",
        "Version",
        "Format",
        "AccessKeyId",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "SignatureType",
        "SignatureNonce",
        "Timestamp",
        "SecurityToken",
        "RegionId",
        "ClientToken",
        "OwnerId",
        "OwnerAccount",
        "ResourceOwnerId",
        "ResourceOwnerAccount",
    ]
)


class _Tag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    Key: str
    Value: str = ""


class Parameters:
    """The merged query and form of a call."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        """Tell whether a parameter was sent with a value."""
        return bool(self._values.get(name))

    def get(self, name: str, default: str = "") -> str:
        """Return an optional parameter; an empty value counts as not sent."""
        return self._values.get(name) or default

    def text(self, name: str) -> str:
        """Return a mandatory parameter.

        Raises:
            ApiError: MissingParameter.
        """
        value = self._values.get(name)
        if not value:
            raise missing(name)
        return value

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        """Return one of the allowed values.

        Raises:
            ApiError: MissingParameter without a default, InvalidParameter for another value.
        """
        value = self.text(name) if default is None else self.get(name, default)
        if value not in allowed:
            raise invalid(name, f"must be one of {', '.join(sorted(allowed))}")
        return value

    def integer(self, name: str, default: int | None, low: int, high: int, code: str = "") -> int:
        """Return a whole number within bounds.

        Raises:
            ApiError: MissingParameter without a default; `code` or InvalidParameter out of bounds.
        """
        raw = self._values.get(name)
        if not raw:
            if default is None:
                raise missing(name)
            return default
        if not re.fullmatch(r"-?[0-9]{1,12}", raw) or not low <= int(raw) <= high:
            message = f"must be a whole number from {low} to {high}"
            if code:
                raise ApiError(400, code, f"The specified parameter {name} {message}.")
            raise invalid(name, message)
        return int(raw)

    def flag(self, name: str, *, default: bool | None = False) -> bool:
        """Return a boolean.

        Raises:
            ApiError: MissingParameter without a default, InvalidParameter for other texts.
        """
        raw = self._values.get(name, "").lower()
        if not raw:
            if default is None:
                raise missing(name)
            return default
        if raw not in ("true", "false"):
            raise invalid(name, "must be true or false")
        return raw == "true"

    def numbered(self, prefix: str) -> list[str]:
        """Return the values of Prefix.1, Prefix.2, ..."""
        found = []
        index = 1
        while (value := self._values.get(f"{prefix}.{index}")) is not None:
            found.append(value)
            index += 1
        return found

    def pairs(self, key: str = "Key", value: str = "Value") -> list[tuple[str, str]]:
        """Return the tags sent as Tag.1.Key, Tag.1.Value, ..."""
        found = []
        index = 1
        while (name := self._values.get(f"Tag.{index}.{key}")) is not None:
            found.append((name, self._values.get(f"Tag.{index}.{value}", "")))
            index += 1
        return found

    def json_pairs(self) -> list[tuple[str, str]]:
        """Return the tags sent in the one parameter Tag, as JSON text: the form of RAM.

        Raises:
            ApiError: InvalidParameter.Tag for anything but a list of objects with Key and Value.
        """
        raw = self._values.get("Tag")
        if not raw:
            return []
        try:
            return [(one.Key, one.Value) for one in msgspec.json.decode(raw, type=list[_Tag])]
        except msgspec.MsgspecError as error:
            raise ApiError(
                400, "InvalidParameter.Tag", f"The specified parameter Tag is not valid: {error}"
            ) from None

    def fingerprint(self) -> str:
        """Return a text that two calls share exactly when they ask for the same."""
        return repr(sorted((n, v) for n, v in self._values.items() if n not in _COMMON and v))
