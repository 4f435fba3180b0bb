"""`alibroker records`: what the broker knows, as it lies in etcd, for a person to read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click
import msgspec

from alibroker.actors.settings import EngineSettings, read_settings
from alibroker.cli.backup import TIMEOUT, explained, opened_store
from alibroker.etcd import keys
from alibroker.etcd.client import Committed, Entry, Etcd
from alibroker.etcd.lock import HeldError, Lock


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--remove", metavar="KEY", help="Remove one record instead, while no broker runs.")
def records(ids: tuple[str, ...], remove: str | None) -> None:
    """Show the records of instances and bindings with the given IDs; without any, all keys.

    Also while the broker runs. Which store: ALIBROKER_DATA_DIR or ALIBROKER_ETCD_ENDPOINTS, as for
    the broker. Secrets stay sealed, in the member `private`.
    """
    settings = read_settings(EngineSettings, os.environ)
    if remove:
        with explained():
            _remove(settings, remove)
        return
    found = 0
    with explained(), opened_store(settings) as etcd:
        for key, value in _chosen(etcd, set(ids)):
            found += 1
            click.echo(key)
            if ids:
                click.echo(_readable(value))
    if ids and not found:
        raise click.ClickException("there is no record with such an id")


def _remove(settings: EngineSettings, key: str) -> None:
    try:
        keys.parse(key)
    except ValueError as ex:
        raise click.ClickException(str(ex)) from None
    if not settings.endpoints:
        _refuse_while_running(settings)
    with opened_store(settings) as etcd:
        (found,) = etcd.read([key], timeout=TIMEOUT)
        if found is None:
            raise click.ClickException("there is no such record")
        click.echo(_readable(found.value))
        click.confirm("The broker will know nothing of this. Remove it?", abort=True)
        (outcome,) = etcd.commit([Entry(key, None, found.revision)], timeout=TIMEOUT)
        if not isinstance(outcome, Committed):
            raise click.ClickException("somebody else changes it: stop the broker first")
    click.echo("Removed.")


def _refuse_while_running(settings: EngineSettings) -> None:
    try:
        Lock(settings.data_dir / "etcd" / "lock").release()
    except HeldError:
        raise click.ClickException("the broker runs: stop it first") from None


def _chosen(etcd: Etcd, ids: set[str]) -> Iterator[tuple[str, bytes]]:
    for pair in etcd.scan(keys.ROOT, timeout=TIMEOUT):
        if not ids or ids & _ids(pair.key):
            yield pair.key, pair.value


def _ids(key: str) -> set[str]:
    try:
        return set(msgspec.structs.astuple(keys.parse(key)))
    except ValueError:
        return set()  # the store's own keys


def _readable(value: bytes) -> str:
    try:
        return msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return repr(value)
