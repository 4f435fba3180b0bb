"""Records in etcd: who may write them, how they are compared, how they are read back."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from alibroker.actors.replica import Replica, StoreRefusedError
from alibroker.etcd import identity, keys
from alibroker.etcd.client import Commit, Committed, Entry, Etcd, KeyValue
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
from alibroker.etcd.transaction import Guard
from alibroker.lifecycle.claims import Claim
from alibroker.lifecycle.records import Binding, Instance, Key, Record

log = logging.getLogger(__name__)


class WrongKeyError(StoreRefusedError):
    """The store is sealed with a key that this process does not have."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "This store is sealed with another key: give the right one (ALIBROKER_SEAL_KEY or "
            f"ALIBROKER_SEAL_KEY_FILE), or another store. Nothing was changed. ({reason})"
        )


class Repository:
    """The broker's keys in etcd, for the storage actor alone."""

    def __init__(
        self,
        etcd: Etcd,
        sealer: Sealer,
        replica: Replica,
        *,
        timeout: float,
        marker: Path,
        disk: Disk | None = None,
    ) -> None:
        self._etcd = etcd
        self._replica = replica
        self._disk = disk
        self._marker = marker
        self._identity: identity.Store | None = None
        self._seen = 0
        self._full = False
        self._sealer = sealer
        self._timeout = timeout
        self._revisions: dict[Key, int] = {}
        self._removed: dict[Key, int] = {}
        self.revision = 0
        """How far the records are known: all changes up to this revision of the store."""
        self.unreadable: set[Key] = set()
        """What cannot be read; it is left as it is, and nothing is written over it."""
        self.outdated: set[Key] = set()
        """What is sealed with another than the current key."""

    def open(self) -> None:
        """See that this is the store that the broker has worked with, and that its key fits.

        Raises:
            EtcdError: the store cannot be used now.
            StoreReplacedError: it is not the one that this broker has worked with.
            WrongKeyError: it is sealed with another key.
        """
        try:
            self._marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._identity = identity.verify(self._etcd, self._marker, timeout=self._timeout)
        except OSError as ex:
            raise EtcdUnavailableError(f"{self._marker} cannot be read or written: {ex}") from ex
        self._seen = self._identity.revision
        while not self._key_fits():
            pass

    def _key_fits(self) -> bool:
        """Open what is sealed as a specimen, or seal one; False if that has to be looked at again.

        Raises:
            WrongKeyError: it was sealed with another key.
        """
        seal, owner = self._etcd.read([keys.SEAL, keys.OWNER], timeout=self._timeout)
        # Earlier releases kept the specimen there, without a lease.
        found = seal or (owner if owner is not None and owner.lease == 0 else None)
        if found is not None:
            try:
                text = found.value.decode()
                self._sealer.open(text, found.key)
            except (SealError, UnicodeDecodeError) as ex:
                raise WrongKeyError(str(ex)) from ex
            if seal is not None and self._sealer.is_current(text):
                return True
        specimen = self._sealer.seal(secrets.token_bytes(16), keys.SEAL).encode()
        entry = Entry(keys.SEAL, specimen, seal.revision if seal else 0)
        (outcome,) = self._etcd.commit([entry], timeout=self._timeout)
        return isinstance(outcome, Committed)

    def ping(self) -> None:
        """Prove that the store can be reached and written; see who shares it, and how far it is.

        Raises:
            EtcdError: it cannot be reached, or it or its disk is full.
            StoreReplacedError: it was set back, or wiped.
            DeregisteredError: this process may not write any more.
            StoreRefusedError: no process of this release may.
        """
        self._look_at(self._etcd.ping(timeout=self._timeout))
        self._replica.look()
        if self._full:
            # Reads go on in a full store, so they prove nothing.
            self._etcd.check_space(timeout=self._timeout)
            self._full = False
        if self._disk is not None:
            # Not only once etcd has ended of it: every such end is a change in doubt.
            self._disk.check()
        self._note()

    def come_up(self) -> None:
        """Take what is known for all there is: true while the store is this replica's own.

        Raises:
            EtcdError: the store cannot be read now.
        """
        self.revision = self._etcd.ping(timeout=self._timeout)

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
        self._removed.clear()
        self.unreadable.clear()
        self.outdated.clear()
        scan = self._etcd.scan(keys.INSTANCES, keys.BINDINGS)
        self.revision = scan.revision
        for pair in scan:
            record = self._decoded(pair)
            if record is not None:
                self._revisions[record.key] = pair.revision
                if not self._sealer.is_current(sealed_text(pair.value)):
                    self.outdated.add(record.key)
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
            DeregisteredError: this process may not write any more.
        """
        self.ping()
        pairs = self._etcd.read([_path(key) for key in wanted], timeout=self._timeout)
        for key, pair in zip(wanted, pairs, strict=True):
            self._revisions.pop(key, None)
            record = self._decoded(pair) if pair else None
            if pair is not None:
                self._revisions[key] = pair.revision
            yield key, record, pair.value if pair else None

    def entry(
        self,
        key: Key,
        record: Record | None,
        *,
        basis: Iterable[Key] = (),
        alone: bool = False,
        claims: Iterable[Claim] = (),
    ) -> Entry:
        """Return the write that replaces the record as it was last seen, or removes it.

        Args:
            key: of the record.
            record: what is to be there.
            basis: other records that have to be as they were last seen.
            alone: whether none of its bindings may have been written since either.
            claims: what the record is the first to name, unless another replica was faster.
        """
        path = _path(key)
        value = None if record is None else encode(record, self._sealer, path)
        guards: list[Guard] = [*self._replica.guards()]
        guards += ((_path(one), self._revisions.get(one, 0)) for one in basis)
        unmoved: list[tuple[str, int]] = []
        moves: list[str] = []
        if not self._replica.owns:
            if alone:
                unmoved.append((keys.bindings_prefix(key.instance_id), self.revision))
            moves = sorted({_shard(claim) for claim in claims})
            unmoved += ((shard, self.revision) for shard in moves)
        return Entry(
            path,
            value,
            self._revisions.get(key, 0),
            tuple(guards),
            tuple(unmoved),
            tuple(moves),
        )

    def commit(self, entries: Sequence[Entry], *, in_doubt: bool) -> Commit:
        """Write a batch; `in_doubt` if it may have been written already.

        Raises:
            EtcdError: see `Etcd.write`.
            StoreReplacedError: the store was set back.
        """
        removing = all(entry.value is None for entry in entries)
        # A full store takes deletions and nothing else, not even what says that they were.
        clock = "" if self._full and removing else keys.CLOCK
        try:
            done = self._etcd.write(
                entries,
                timeout=self._timeout,
                in_doubt=in_doubt,
                clock=clock,
                fence=self._replica.fence,
            )
        except EtcdFullError:
            first, self._full = not self._full, True
            if removing and first:
                return self.commit(entries, in_doubt=in_doubt)
            raise
        written = [one.revision for one in done.outcomes if isinstance(one, Committed)]
        if written:
            # A write that takes effect moves the store on.
            self._look_at(max(written) - 1)
            self._seen = max(written)
        return done

    def applied(self, done: Commit) -> None:
        """Take note that a batch has been taken in: if nobody wrote in between, all is known."""
        if self._replica.alone or done.before <= self.revision:
            self.revision = max(self.revision, done.revision)

    def followed(self, revision: int) -> None:
        """Take note that the changes of all replicas have been taken in up to a revision."""
        self.revision = max(self.revision, revision)
        if self._removed:
            self._removed = {key: at for key, at in self._removed.items() if at > revision}

    def news(
        self, path: str, value: bytes | None, revision: int
    ) -> tuple[Key, Record | None] | None:
        """Take in what a replica has written; None if that is known already, or is no record.

        Raises:
            UnknownSchemaError: it was written by a later release.
        """
        if not path.startswith((keys.INSTANCES, keys.BINDINGS)):
            return None
        try:
            key = _key(path)
        except ValueError as ex:
            log.error("Left as it is: %s", ex)  # noqa: TRY400 - no defect
            return None
        if revision <= max(self._revisions.get(key, 0), self._removed.get(key, 0)):
            return None
        self.unreadable.discard(key)
        if value is None:
            self.outdated.discard(key)
            self._revisions.pop(key, None)
            self._removed[key] = revision
            return key, None
        record = self._decoded(KeyValue(path, value, revision))
        self._revisions[key] = revision
        # A replica that has not been restarted yet still seals with the key that is to go.
        if record is not None and not self._sealer.is_current(sealed_text(value)):
            self.outdated.add(key)
        else:
            self.outdated.discard(key)
        return key, record

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

    def committed(self, key: Key, record: Record | None, revision: int) -> bool:
        """Take note of what a later write of the record has to compare.

        Returns False if it is known already that others have written it since: of a commit whose
        answer was lost it may be learned late that it took effect.
        """
        if revision < max(self._revisions.get(key, 0), self._removed.get(key, 0)):
            return False
        if record is None:
            self._revisions.pop(key, None)
            if not self._replica.owns:
                self._removed[key] = revision
        else:
            self._revisions[key] = revision
        return True

    def _decoded(self, pair: KeyValue) -> Record | None:
        try:
            return self.decoded(_key(pair.key), pair.value)
        except UnknownSchemaError:
            raise
        except UnreadableRecordError as ex:
            log.error("Left as it is, for it cannot be read: %s", ex)  # noqa: TRY400 - no defect
            self.unreadable.add(_key(pair.key))
        return None


def _shard(claim: Claim) -> str:
    """Return the key that is moved whenever something like this is claimed."""
    name = "/".join(map(str, claim)).encode("utf-8", "surrogatepass")
    return keys.CLAIMS + hashlib.blake2b(name, digest_size=1).hexdigest()


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
