"""Notices that the store was wiped, replaced or restored behind the broker's back.

An etcd whose data was deleted starts as an empty, healthy store, and one whose write-ahead log was
deleted comes up with the last writes missing: without a word in both cases. So a random id is kept
in etcd and, with the last revision seen, in a marker file on the broker's side.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.errors import EtcdError
from alibroker.etcd.keys import STORE

_ADVICE: Final = (
    "Restore the store from a backup; or, if its loss is accepted, remove the marker file. "
    "What the broker created in the cloud before is then unknown to it (docs/etcd.md)"
)


class StoreReplacedError(EtcdError):
    """The store is not the one that this broker has worked with, or has lost what it held."""


class Store(msgspec.Struct, frozen=True):
    """What identifies a store, and how far it had come when it was last looked at."""

    id: str
    revision: int


def verify(etcd: Etcd, marker: Path, *, timeout: float) -> Store:
    """Compare the store with the marker file, and make both at the first start.

    A marker file that is missing is written for whatever store there is: this may be a new
    machine in front of an old store.

    Args:
        etcd: a client of the store.
        marker: path of the marker file; its directory exists.
        timeout: seconds for each of up to three calls to etcd.

    Raises:
        StoreReplacedError: the store is empty, another one, or older than when last seen.
        EtcdError: etcd does not answer.
        OSError: the marker file cannot be read or written.
    """
    with _locked(marker):
        known = _load(marker)
        found = _found_id(etcd, timeout)
        if found is None:
            if known is not None:
                raise StoreReplacedError(
                    f"etcd is empty, but {marker} says that store {known.id} was there, at "
                    f"revision {known.revision}: its data was wiped. {_ADVICE}"
                )
            found = _create_id(etcd, timeout)
        if known is not None and known.id != found:
            raise StoreReplacedError(
                f"etcd holds store {found}, but {marker} says {known.id}: "
                f"its data was replaced, or this is another server. {_ADVICE}"
            )
        revision = etcd.ping(timeout=timeout)
        if known is not None:
            check_revision(revision, known)
        store = Store(found, revision)
        _save(marker, store)
        return store


def check_revision(revision: int, known: Store) -> None:
    """Compare etcd's revision with the last one seen; revisions never go back by themselves.

    Raises:
        StoreReplacedError: etcd has lost what it held.
    """
    if revision < known.revision:
        raise StoreReplacedError(
            f"etcd is at revision {revision}, but store {known.id} was at {known.revision}: "
            f"the last writes are lost, or an old backup was restored. {_ADVICE}"
        )


def remember(marker: Path, store: Store) -> None:
    """Note a later revision of a verified store, such as the last one committed before a stop.

    Raises:
        OSError: the marker file cannot be written.
    """
    with _locked(marker):
        known = _load(marker)
        if known is None or (known.id == store.id and known.revision < store.revision):
            _save(marker, store)


def _found_id(etcd: Etcd, timeout: float) -> str | None:
    (found,) = etcd.read([STORE], timeout=timeout)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found.value, type=dict[str, str])["id"]
    except (msgspec.MsgspecError, KeyError) as error:
        raise StoreReplacedError(f"etcd's key {STORE} does not hold a store's id") from error


def _create_id(etcd: Etcd, timeout: float) -> str:
    identifier = secrets.token_hex(16)
    value = msgspec.json.encode({"id": identifier})
    (outcome,) = etcd.commit([Entry(STORE, value, expected=0)], timeout=timeout)
    if isinstance(outcome, Committed):
        return identifier
    # Another replica was faster.
    found = _found_id(etcd, timeout)
    if found is None:
        raise StoreReplacedError(f"etcd's key {STORE} vanished while it was being written")
    return found


def _load(marker: Path) -> Store | None:
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Store)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StoreReplacedError(
            f"the marker file {marker} cannot be understood ({error}); if the store is known to "
            "be the right one, remove the file"
        ) from error


def _save(marker: Path, store: Store) -> None:
    fresh = marker.with_name(f"{marker.name}.new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(store) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(marker)


@contextmanager
def _locked(marker: Path) -> Iterator[None]:
    """Keep the other processes of this broker from the file."""
    directory = os.open(marker.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
