"""Records as bytes: JSON that a person can read in etcd, except for their private part."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from alibroker.etcd.sealing import Sealer, SealError

Record = TypeVar("Record", bound=msgspec.Struct)

# Turns a document of one schema version into that of the next.
Migration = Callable[[dict[str, Any]], dict[str, Any]]

_PRIVATE: Final = "private"
_SCHEMA: Final = "schema"
_NULL: Final = b"null"
_NO_MIGRATIONS: Final[Mapping[int, Migration]] = {}


class UnreadableRecordError(Exception):
    """What lies under a key is not a record of ours; set it aside, never delete it."""


class UnknownSchemaError(UnreadableRecordError):
    """A record has a schema version that this release cannot read."""


class _Sealed(msgspec.Struct):
    private: str = ""


def sealed_text(value: bytes) -> str:
    """Return the sealed part of an encoded record, empty if it has none."""
    return msgspec.json.decode(value, type=_Sealed).private


class _Head(msgspec.Struct):
    schema: int
    private: msgspec.Raw = msgspec.Raw(_NULL)


def encode(record: msgspec.Struct, sealer: Sealer, key: str) -> bytes:
    """Encode a record for its place in etcd.

    Args:
        record: has an integer field `schema`; a field `private`, if any, is sealed unless None.
        sealer: encrypts the private part.
        key: the etcd key that the bytes will lie under; they cannot be decoded elsewhere.
    """
    private = getattr(record, _PRIVATE, None)
    if private is not None:
        sealed = sealer.seal(msgspec.json.encode(private), key)
        # The encoder goes by values, not by annotations, so the text may stand for the struct.
        record = msgspec.structs.replace(record, private=sealed)
    value = msgspec.json.encode(record)
    if record.__struct_config__.omit_defaults:
        # The current version is a default, and must not be left out with the others.
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        version = msgspec.json.encode(_version(type(record)))
        value = msgspec.json.encode({_SCHEMA: msgspec.Raw(version), **fields})
    return value


def decode(
    kind: type[Record],
    value: bytes,
    sealer: Sealer,
    key: str,
    *,
    migrations: Mapping[int, Migration] = _NO_MIGRATIONS,
) -> Record:
    """Decode what `encode` has made of a record.

    Args:
        kind: the type of the record; the default of its field `schema` is the current version.
        value: the bytes.
        sealer: opens the private part.
        key: the etcd key that the bytes lie under.
        migrations: for each older version, what makes the next one of its document (in which the
            private part is open).

    Raises:
        UnknownSchemaError: the version is newer, or older without a migration.
        UnreadableRecordError: the bytes are damaged, sealed with another key, or from elsewhere.
    """
    try:
        head = msgspec.json.decode(value, type=_Head)
        current = _version(kind)
        steps = range(head.schema, current)
        if head.schema > current or any(version not in migrations for version in steps):
            raise UnknownSchemaError(
                f"the record under {key!r} has schema version {head.schema}; "
                f"this release reads version {current}"
            )
        if head.schema == current and bytes(head.private) == _NULL:
            return msgspec.json.decode(value, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableRecordError(f"the record under {key!r} is damaged: {error}") from error
    try:
        value = _opened(value, head, sealer, key)
        for version in steps:
            document = migrations[version](msgspec.json.decode(value))
            value = msgspec.json.encode(document | {_SCHEMA: version + 1})
        return msgspec.json.decode(value, type=kind)
    except SealError as error:
        raise UnreadableRecordError(str(error)) from error
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
        # The cause is left out of the text and of the chain: it may quote the private part.
        raise UnreadableRecordError(
            f"the record under {key!r} does not have the form of {kind.__name__}"
        ) from None


def _opened(value: bytes, head: _Head, sealer: Sealer, key: str) -> bytes:
    if bytes(head.private) == _NULL:
        return value
    try:
        sealed = msgspec.json.decode(head.private, type=str)
    except msgspec.ValidationError:
        raise SealError(f"the private part of the record under {key!r} is not sealed") from None
    fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    fields[_PRIVATE] = msgspec.Raw(sealer.open(sealed, key))
    return msgspec.json.encode(fields)


@functools.cache
def _version(kind: type[msgspec.Struct]) -> int:
    for field in msgspec.structs.fields(kind):
        if field.name == _SCHEMA and isinstance(field.default, int):
            return field.default
    raise TypeError(f"{kind.__name__} has no field `schema: int` with a default")
