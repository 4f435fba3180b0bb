"""`alibroker replicas`: which processes of the broker live, and what they are at."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from alibroker.actors.settings import EngineSettings, read_settings
from alibroker.cli.backup import TIMEOUT, explained, opened_store
from alibroker.cli.listing import laid_out, terminal_width
from alibroker.etcd import keys
from alibroker.etcd.client import Etcd
from alibroker.lifecycle.ownership import Registration

_TITLES = ("replica", "release", "since", "operations", "behind", "lease", "store")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replicas(*, as_json: bool) -> None:
    """Show which processes of the broker live and share its store.

    Operations: those that it works on. Behind: by how many changes of the store it may know less
    than there is, as it last said; it is looked after before anybody is answered. Lease: seconds
    after which it is taken for dead if it gives no sign of life.

    Which store: ALIBROKER_DATA_DIR or ALIBROKER_ETCD_ENDPOINTS, as for the broker.
    """
    with explained(), opened_store(read_settings(EngineSettings, os.environ)) as etcd:
        found = list(_living(etcd))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        click.echo(laid_out(_TITLES, [_row(one) for one in found], terminal_width()))
    else:
        click.echo("No replica lives.")


def _living(etcd: Etcd) -> Iterator[dict[str, Any]]:
    clock, _ = etcd.read_revision(keys.CLOCK, timeout=TIMEOUT)
    for pair in etcd.scan(keys.REPLICAS, timeout=TIMEOUT):
        try:
            one = msgspec.json.decode(pair.value, type=Registration)
        except msgspec.MsgspecError as ex:
            raise click.ClickException(f"{pair.key} is no registration: {ex}") from None
        yield {
            **msgspec.to_builtins(one),
            "behind": max(0, clock - one.revision),
            "lease_left": etcd.lease_left(pair.lease, timeout=TIMEOUT),
        }


def _row(one: dict[str, Any]) -> list[str]:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["started_at"]))
    return [
        one["id"],
        one["release"],
        since,
        str(one["operations"]),
        str(one["behind"]),
        f"{one['lease_left']:.0f} s",
        "its own" if one["alone"] else "shared",
    ]
