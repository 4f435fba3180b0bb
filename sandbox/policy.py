"""Policy documents: parsing and evaluation.

An explicit Deny wins, then an Allow, else the answer is no (RAM's policy evaluation rules).
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

Context = Mapping[str, str]


class PolicyError(ValueError):
    """A policy document that cannot be accepted; the text says why."""


@dataclass(frozen=True)
class Statement:
    """One statement: what it does to whom, and when."""

    allow: bool
    actions: re.Pattern[str]
    actions_inverted: bool
    resources: re.Pattern[str]
    resources_inverted: bool
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]
    principals: frozenset[str]

    def matches(self, action: str, resource: str, context: Context) -> bool:
        """Tell whether the statement speaks about this call."""
        return (
            bool(self.actions.fullmatch(action.lower())) != self.actions_inverted
            and bool(self.resources.fullmatch(resource)) != self.resources_inverted
            and all(_holds(*condition, context) for condition in self.conditions)
        )


@lru_cache(maxsize=8192)
def parse(document: str, *, with_principal: bool = False) -> tuple[Statement, ...]:
    """Read a policy document.

    Args:
        document: JSON text.
        with_principal: Whether statements name principals, as bucket policies do.

    Raises:
        PolicyError: The document breaks the grammar or uses what the sandbox does not evaluate.
    """
    try:
        tree = msgspec.json.decode(document)
    except msgspec.DecodeError as error:
        msg = f"The policy document is not JSON: {error}"
        raise PolicyError(msg) from None
    if not isinstance(tree, dict) or tree.get("Version") != "1":
        msg = 'The policy document must be an object with "Version": "1".'
        raise PolicyError(msg)
    statements = tree.get("Statement")
    if not isinstance(statements, list) or not statements:
        msg = 'The policy document needs a non-empty list "Statement".'
        raise PolicyError(msg)
    return tuple(_statement(item, with_principal=with_principal) for item in statements)


def decide(
    statements: list[Statement] | tuple[Statement, ...],
    action: str,
    resource: str,
    context: Context,
) -> bool | None:
    """Tell whether the statements allow a call (True), deny it (False) or are silent (None)."""
    allowed: bool | None = None
    for statement in statements:
        if statement.matches(action, resource, context):
            if not statement.allow:
                return False
            allowed = True
    return allowed


def _statement(item: Any, *, with_principal: bool) -> Statement:
    if not isinstance(item, dict) or item.get("Effect") not in ("Allow", "Deny"):
        msg = 'Every statement needs "Effect": "Allow" or "Deny".'
        raise PolicyError(msg)
    actions, actions_inverted = _either(item, "Action", "NotAction")
    resources, resources_inverted = _either(item, "Resource", "NotResource")
    principals = frozenset(_texts(item.get("Principal", []), "Principal"))
    if with_principal != bool(principals):
        msg = "A bucket policy's statements need a Principal, other policies must not have one."
        raise PolicyError(msg)
    return Statement(
        allow=item["Effect"] == "Allow",
        actions=_pattern(actions, fold=True),
        actions_inverted=actions_inverted,
        resources=_pattern(resources, fold=False),
        resources_inverted=resources_inverted,
        conditions=tuple(_conditions(item.get("Condition", {}))),
        principals=principals,
    )


def _either(item: dict[str, Any], name: str, inverse: str) -> tuple[list[str], bool]:
    if (name in item) == (inverse in item):
        msg = f"Every statement needs one of {name} and {inverse}."
        raise PolicyError(msg)
    inverted = inverse in item
    texts = _texts(item[inverse if inverted else name], name)
    if not texts:
        msg = f"{name} must not be empty."
        raise PolicyError(msg)
    return texts, inverted


def _texts(value: Any, name: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and text for text in values):
        msg = f"{name} must be a text or a list of texts."
        raise PolicyError(msg)
    return values


def _pattern(globs: list[str], *, fold: bool) -> re.Pattern[str]:
    # Brackets are no wildcards in policies, as they are for fnmatch.
    quoted = (re.sub(r"\[", "[[]", glob) for glob in globs)
    return re.compile(
        "|".join(fnmatch.translate(glob.lower() if fold else glob) for glob in quoted)
    )


def _conditions(tree: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    if not isinstance(tree, dict):
        msg = "Condition must be an object."
        raise PolicyError(msg)
    found = []
    for operator, keys in tree.items():
        if operator not in _OPERATORS or not isinstance(keys, dict):
            msg = f"The sandbox does not evaluate the condition {operator!r}."
            raise PolicyError(msg)
        for key, value in keys.items():
            values = tuple(
                str(text).lower() if isinstance(text, bool) else str(text)
                for text in (value if isinstance(value, list) else [value])
            )
            if operator in _ADDRESSES:
                _check_networks(values)
            found.append((operator, key, values))
    return found


def _check_networks(values: tuple[str, ...]) -> None:
    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            msg = f"{value!r} is no address or CIDR block."
            raise PolicyError(msg) from None


def _holds(operator: str, key: str, values: tuple[str, ...], context: Context) -> bool:
    test, inverted = _OPERATORS[operator]
    actual = context.get(key.lower())
    return (actual is not None and test(actual, values)) != inverted


def _in_network(actual: str, values: tuple[str, ...]) -> bool:
    address = ipaddress.ip_address(actual)
    return any(address in ipaddress.ip_network(value, strict=False) for value in values)


def _like(actual: str, values: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(actual, re.sub(r"\[", "[[]", value)) for value in values)


def _equal(actual: str, values: tuple[str, ...]) -> bool:
    return actual in values


# Each operator's test, and whether its result is turned round.
_OPERATORS: dict[str, tuple[Callable[[str, tuple[str, ...]], bool], bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "IpAddress": (_in_network, False),
    "NotIpAddress": (_in_network, True),
    "Bool": (_equal, False),
}
_ADDRESSES = frozenset({"IpAddress", "NotIpAddress"})
