"""`alibroker backup` and `alibroker restore`: all that the broker knows, in one file.

The file has a line of JSON per record, as it lies in etcd: secrets stay sealed, so the sealing key
has to be kept elsewhere. Its last line counts the records and proves that all are whole.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import msgspec

from alibroker.actors.settings import EngineSettings, SettingsError, read_settings
from alibroker.etcd import identity, keys
from alibroker.etcd.client import MAX_BYTES, MAX_ENTRIES, Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.errors import EtcdError

FORMAT = "alibroker backup 1"
TIMEOUT = 10.0


class Head(msgspec.Struct, frozen=True):
    """The first line."""

    format: str
    made_at: float
    revision: int


class Line(msgspec.Struct, frozen=True):
    """One record."""

    key: str
    value: str


class Tail(msgspec.Struct, frozen=True):
    """The last line."""

    records: int
    sha256: str


class BackupError(Exception):
    """A file cannot be used as a backup, or a store as its target."""


@contextlib.contextmanager
def opened_store(settings: EngineSettings) -> Iterator[Etcd]:
    """Reach the store as the settings name it; start the embedded one if nobody has.

    Raises:
        EtcdError: It cannot be reached or started.
    """
    if settings.endpoints:
        with settings.store() as etcd:
            yield etcd
        return
    embedded = EmbeddedEtcd(settings.data_dir / "etcd", patience=1.0)
    with Etcd([embedded.endpoint]) as etcd:
        try:
            etcd.ping(timeout=1.0)
        except EtcdError:
            pass
        else:
            yield etcd
            return
    with embedded, Etcd([embedded.endpoint]) as etcd:
        yield etcd


def write_backup(etcd: Etcd, file: IO[bytes]) -> int:
    """Write all records, as they are at one moment; returns how many.

    Raises:
        EtcdError: The store cannot be read.
    """
    digest = hashlib.sha256()
    scan = etcd.scan(keys.ROOT, timeout=TIMEOUT)
    count = 0

    def put(line: msgspec.Struct) -> None:
        data = msgspec.json.encode(line) + b"\n"
        digest.update(data)
        file.write(data)

    put(Head(FORMAT, time.time(), scan.revision))
    for pair in scan:
        # What goes with a lease is about processes, and would stay for ever if it were restored.
        if pair.lease == 0:
            put(Line(pair.key, pair.value.decode()))
            count += 1
    file.write(msgspec.json.encode(Tail(count, digest.hexdigest())) + b"\n")
    return count


def read_backup(file: IO[bytes]) -> tuple[Head, list[Line]]:
    """Read a whole backup.

    Raises:
        BackupError: It is none, or is not whole.
    """
    digest = hashlib.sha256()
    lines = file.read().splitlines(keepends=True)
    try:
        head = msgspec.json.decode(lines[0], type=Head)
        tail = msgspec.json.decode(lines[-1], type=Tail)
        found = [msgspec.json.decode(line, type=Line) for line in lines[1:-1]]
    except (IndexError, msgspec.MsgspecError, UnicodeDecodeError) as ex:
        raise BackupError("the file is no backup, or not a whole one") from ex
    for line in lines[:-1]:
        digest.update(line)
    if head.format != FORMAT:
        raise BackupError(f"the file has the format {head.format!r}; this is {FORMAT!r}")
    if tail.records != len(found) or tail.sha256 != digest.hexdigest():
        raise BackupError("the file was changed or is not whole: its checksum is another")
    return head, found


def write_records(etcd: Etcd, lines: list[Line]) -> None:
    """Put records into an empty store.

    Raises:
        BackupError: The store is not empty.
        EtcdError: The store cannot be written.
    """
    if next(iter(etcd.scan(keys.ROOT, timeout=TIMEOUT)), None) is not None:
        raise BackupError("the store is not empty: restore into an empty one")
    batch: list[Entry] = []
    size = 0
    for line in lines:
        entry = Entry(line.key, line.value.encode(), 0)
        if len(batch) == MAX_ENTRIES or size + entry.size > MAX_BYTES:
            _commit(etcd, batch)
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    _commit(etcd, batch)


def _commit(etcd: Etcd, batch: list[Entry]) -> None:
    outcomes = etcd.commit(batch, timeout=TIMEOUT)
    if not all(isinstance(outcome, Committed) for outcome in outcomes):
        raise BackupError("somebody else writes the store: stop the broker first")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write all that the broker knows to FILE (gzip), also while it runs.

    Which store: ALIBROKER_DATA_DIR or ALIBROKER_ETCD_ENDPOINTS, as for the broker. Secrets stay
    sealed: keep the sealing key as well, elsewhere.
    """
    partial = file.with_name(f"{file.name}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with explained(), opened_store(read_settings(EngineSettings, os.environ)) as etcd:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="") as packed:
                count = write_backup(etcd, packed)  # type: ignore[arg-type]  # it is written to
            raw.flush()
            os.fsync(raw.fileno())
        partial.replace(file)
    click.echo(f"{count} records written to {file}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def restore(file: Path) -> None:
    """Put what a backup holds into an empty store, while no broker runs.

    Operations that were in progress go on at the broker's next start. Compare the cloud with what
    the broker knows afterwards: what was created since the backup is not in it.
    """
    settings = read_settings(EngineSettings, os.environ)
    with explained(), opened_store(settings) as etcd:
        with gzip.open(file) as packed:
            head, lines = read_backup(packed)  # type: ignore[arg-type]  # it is read from
        write_records(etcd, lines)
        marker = settings.marker
        marker.unlink(missing_ok=True)
        identity.verify(etcd, marker, timeout=TIMEOUT)
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(head.made_at))
    click.echo(f"{len(lines)} records restored, as they were at {made}")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what can go wrong with a store or a file into a message."""
    try:
        yield
    except (BackupError, EtcdError, SettingsError, OSError, EOFError) as ex:
        raise click.ClickException(str(ex)) from ex
