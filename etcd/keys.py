"""Where the broker's records lie in etcd: one key per service instance and per binding."""

from typing import Final
from urllib.parse import quote, unquote

import msgspec

ROOT: Final = "/alibroker/v1/"
INSTANCES: Final = ROOT + "instances/"
BINDINGS: Final = ROOT + "bindings/"
STORE: Final = ROOT + "store"
REPLICAS: Final = ROOT + "replicas/"
"""One key per broker process, which goes with its lease."""
OWNER: Final = ROOT + "owner"
"""Names the one replica that has the store to itself; goes with its lease."""
CLOCK: Final = ROOT + "clock"
"""Its revision says how far the records are: each commit of records puts it."""
CLAIMS: Final = ROOT + "claims/"
"""Keys whose revisions say when something in the cloud was last claimed."""
FENCES: Final = ROOT + "fences/"
"""One key per broker process that has had to repeat a call; goes with its lease."""
SURVEY: Final = ROOT + "survey"
"""What the last survey found, sealed."""
SEAL: Final = ROOT + "seal"
"""Sealed with the broker's key, so that another one is noticed before anything is read with it."""


class InstanceKey(msgspec.Struct, frozen=True):
    """The parts of a service instance's key."""

    instance_id: str


class BindingKey(msgspec.Struct, frozen=True):
    """The parts of a service binding's key."""

    instance_id: str
    binding_id: str


def instance_key(instance_id: str) -> str:
    """Build the key of a service instance.

    Raises:
        ValueError: the id is empty or is no text.
    """
    return INSTANCES + _encode(instance_id)


def binding_key(instance_id: str, binding_id: str) -> str:
    """Build the key of a service binding.

    Raises:
        ValueError: an id is empty or is no text.
    """
    return bindings_prefix(instance_id) + _encode(binding_id)


def bindings_prefix(instance_id: str) -> str:
    """Build the prefix of all bindings of one service instance.

    Raises:
        ValueError: the id is empty or is no text.
    """
    return f"{BINDINGS}{_encode(instance_id)}/"


def parse(key: str) -> InstanceKey | BindingKey:
    """Take a key apart.

    Raises:
        ValueError: this broker would not have written such a key.
    """
    if key.startswith(INSTANCES):
        return InstanceKey(_decode(key, key.removeprefix(INSTANCES)))
    if key.startswith(BINDINGS):
        instance_id, _, binding_id = key.removeprefix(BINDINGS).partition("/")
        return BindingKey(_decode(key, instance_id), _decode(key, binding_id))
    raise ValueError(f"{key!r} is not the key of a service instance or binding")


def _encode(identifier: str) -> str:
    if not identifier:
        raise ValueError("an id must not be empty")
    return quote(identifier, safe="", errors="strict")


def _decode(key: str, encoded: str) -> str:
    try:
        identifier = unquote(encoded, errors="strict")
        if _encode(identifier) == encoded:
            return identifier
    except ValueError:
        pass
    raise ValueError(f"{key!r} is not the key of a service instance or binding")
