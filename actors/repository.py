"""Records in etcd: who may write them, how they are compared, how they are read back."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from alibroker.etcd import identity, keys
from alibroker.etcd.client import Committed, Entry, Etcd, KeyValue, Lost
from alibroker.etcd.errors import (
    EtcdDiskFullError,
    EtcdError,
    EtcdFullError,
    EtcdUnavailableError,
)
from alibroker.etcd.records import (
    UnknownSchemaError,
    UnreadableRecordError,
    decode,
    encode,
    sealed_text,
)
from alibroker.etcd.sealing import Sealer, SealError
from alibroker.etcd.space import Disk
from alibroker.lifecycle.records import Binding, Instance, Key, Record

log = logging.getLogger(__name__)

OWNER = keys.ROOT + "owner"


class StoreRefusedError(Exception):
    """This process must not use the store; an operator has to mend that."""


class SupersededError(StoreRefusedError):
    """Another broker has taken over the store; nothing of ours can be written any more."""

    def __init__(self) -> None:
        super().__init__(
            "Another broker process has taken over this store. One process at a time may own it: "
            "stop this one, or give it a store of its own (ALIBROKER_ETCD_ENDPOINTS)."
        )


class WrongKeyError(StoreRefusedError):
    """The store is sealed with a key that this process does not have."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "This store is sealed with another key: give the right one (ALIBROKER_SEAL_KEY or "
            f"ALIBROKER_SEAL_KEY_FILE), or another store. Nothing was changed. ({reason})"
        )


class Repository:
    """The broker's keys in etcd, for the storage actor alone.

    Whoever starts last owns the store: it writes a token of its own under one key, and each of its
    writes compares that key. A process that was paused and wakes up cannot write any more.
    """

    def __init__(
        self,
        etcd: Etcd,
        sealer: Sealer,
        *,
        timeout: float,
        marker: Path,
        disk: Disk | None = None,
    ) -> None:
        self._etcd = etcd
        self._disk = disk
        self._marker = marker
        self._identity: identity.Store | None = None
        self._seen = 0
        self._full = False
        self._sealer = sealer
        self._timeout = timeout
        self._owner = 0
        self._revisions: dict[Key, int] = {}
        self.unreadable: set[Key] = set()
        """What cannot be read; it is left as it is, and nothing is written over it."""
        self.outdated: list[Key] = []
        """What is sealed with another than the current key."""

    def take_over(self) -> None:
        """Become the owner.

        The token is sealed, so that a wrong key is noticed before anything is read with it.

        Raises:
            EtcdError: the store cannot be written now.
            StoreReplacedError: it is not the one that this broker has worked with.
            WrongKeyError: the last owner's token cannot be opened.
        """
        try:
            self._marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._identity = identity.verify(self._etcd, self._marker, timeout=self._timeout)
        except OSError as ex:
            raise EtcdUnavailableError(f"{self._marker} cannot be read or written: {ex}") from ex
        self._seen = self._identity.revision
        token = self._sealer.seal(secrets.token_bytes(16), OWNER).encode()
        while True:
            (found,) = self._etcd.read([OWNER], timeout=self._timeout)
            if found is not None:
                try:
                    self._sealer.open(found.value.decode(), OWNER)
                except (SealError, UnicodeDecodeError) as ex:
                    raise WrongKeyError(str(ex)) from ex
            expected = found.revision if found else 0
            entry = Entry(OWNER, token, expected)
            (outcome,) = self._etcd.commit([entry], timeout=self._timeout)
            if isinstance(outcome, Committed):
                self._owner = outcome.revision
                return

    def ping(self) -> None:
        """Prove that the store can be reached and written, and is still ours; note how far it is.

        Raises:
            EtcdError: it cannot be reached, or it or its disk is full.
            StoreReplacedError: it was set back, or wiped.
            SupersededError: it is another's.
        """
        self._look_at(self._etcd.ping(timeout=self._timeout))
        (found,) = self._etcd.read([OWNER], timeout=self._timeout)
        if found is None or found.revision != self._owner:
            raise SupersededError
        if self._full:
            # Reads go on in a full store, so they prove nothing.
            self._etcd.check_space(timeout=self._timeout)
            self._full = False
        if self._disk is not None:
            # Not only once etcd has ended of it: every such end is a change in doubt.
            self._disk.check()
        self._note()

    def cause_of(self, error: EtcdError) -> EtcdError:
        """Return what is behind an error, if more is known: a full disk ends an embedded etcd."""
        if self._disk is not None:
            try:
                self._disk.check()
            except EtcdDiskFullError as ex:
                return ex
        return error

    def load(self) -> Iterator[tuple[Record, bytes]]:
        """Read all records back, in a consistent snapshot, with what etcd has of each.

        A record that cannot be read is reported and left where it is.

        Raises:
            EtcdError: the store cannot be read now.
            UnknownSchemaError: a record was written by a later release.
        """
        self._revisions.clear()
        self.unreadable.clear()
        self.outdated.clear()
        for pair in self._etcd.scan(keys.INSTANCES, keys.BINDINGS):
            record = self._decoded(pair)
            if record is not None:
                self._revisions[record.key] = pair.revision
                if not self._sealer.is_current(sealed_text(pair.value)):
                    self.outdated.append(record.key)
                yield record, pair.value

    def decoded(self, key: Key, value: bytes) -> Record:
        """Make a record of bytes that were read or written before.

        Raises:
            UnreadableRecordError: they are no record.
        """
        kind = Binding if key.binding_id else Instance
        return decode(kind, value, self._sealer, _path(key))

    def read(self, wanted: Sequence[Key]) -> Iterable[tuple[Key, Record | None, bytes | None]]:
        """Read some records as they are now, after somebody else has written.

        Raises:
            EtcdError: the store cannot be read now.
            SupersededError: the store is another's.
        """
        self.ping()
        pairs = self._etcd.read([_path(key) for key in wanted], timeout=self._timeout)
        for key, pair in zip(wanted, pairs, strict=True):
            self._revisions.pop(key, None)
            record = self._decoded(pair) if pair else None
            if pair is not None:
                self._revisions[key] = pair.revision
            yield key, record, pair.value if pair else None

    def entry(self, key: Key, record: Record | None, *, guard_instance: bool = False) -> Entry:
        """Return the write that replaces the record as it was last seen, or removes it.

        With `guard_instance` a binding is written only if its instance is as it was last seen.
        """
        path = _path(key)
        value = None if record is None else encode(record, self._sealer, path)
        guards = [(OWNER, self._owner)]
        if guard_instance and key.binding_id:
            instance = Key(key.instance_id)
            guards.append((_path(instance), self._revisions.get(instance, 0)))
        return Entry(path, value, self._revisions.get(key, 0), tuple(guards))

    def commit(self, entries: Sequence[Entry], *, in_doubt: bool) -> list[Committed | Lost]:
        """Write a batch; `in_doubt` if it may have been written already.

        Raises:
            EtcdError: see `Etcd.commit`.
            StoreReplacedError: the store was set back.
        """
        try:
            outcomes = self._etcd.commit(entries, timeout=self._timeout, in_doubt=in_doubt)
        except EtcdFullError:
            self._full = True
            raise
        written = [one.revision for one in outcomes if isinstance(one, Committed)]
        if written:
            # A write that takes effect moves the store on.
            self._look_at(max(written) - 1)
            self._seen = max(written)
        return outcomes

    def close(self) -> None:
        """Note how far the store has come, so that a loss is noticed at the next start."""
        self._note()

    def _look_at(self, revision: int) -> None:
        if self._identity is not None:
            identity.check_revision(revision, identity.Store(self._identity.id, self._seen))
        self._seen = revision

    def _note(self) -> None:
        """Write how far the store has come into the marker file, if that is news."""
        if self._identity is None or self._seen <= self._identity.revision:
            return
        self._identity = identity.Store(self._identity.id, self._seen)
        try:
            identity.remember(self._marker, self._identity)
        except OSError as ex:
            # The next look tries again; all that suffers is the notice of a loss.
            log.warning("The marker file %s cannot be written: %s", self._marker, ex)

    def committed(self, key: Key, record: Record | None, revision: int) -> None:
        """Take note of what a later write of the record has to compare."""
        if record is None:
            self._revisions.pop(key, None)
        else:
            self._revisions[key] = revision

    def _decoded(self, pair: KeyValue) -> Record | None:
        try:
            return self.decoded(_key(pair.key), pair.value)
        except UnknownSchemaError:
            raise
        except UnreadableRecordError as ex:
            log.error("Left as it is, for it cannot be read: %s", ex)  # noqa: TRY400 - no defect
            self.unreadable.add(_key(pair.key))
        return None


def _key(path: str) -> Key:
    match keys.parse(path):
        case keys.InstanceKey(instance_id):
            return Key(instance_id)
        case keys.BindingKey(instance_id, binding_id):
            return Key(instance_id, binding_id)


def _path(key: Key) -> str:
    if key.binding_id:
        return keys.binding_key(key.instance_id, key.binding_id)
    return keys.instance_key(key.instance_id)
