"""`alibroker check`: whether the cloud will do what the broker is going to ask of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console

from alibroker.brokers.api import Check, CheckState, Preflight
from alibroker.brokers.contract import Plugin
from alibroker.brokers.documents import CatalogError
from alibroker.brokers.loading import PluginError, load_brokers
from alibroker.cli.listing import laid_out, terminal_width
from alibroker.cli.spend import spend

_TITLES = ("State", "What", "Seen, and remedy")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Show only what is not right.")
@click.option("--spend", "spends", is_flag=True, help="Then have real instances live, and pay.")
@click.option("--plan", "plans", multiple=True, help="Of which plan; else the cheapest ones.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write this file.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def check(
    *,
    as_json: bool,
    quiet: bool,
    spends: bool,
    plans: tuple[str, ...],
    record: Path | None,
    yes: bool,
) -> None:
    """Ask the cloud, before the first provision, whether it will work.

    Reads the settings that the broker itself reads, changes nothing and costs nothing: whose the
    credentials are and what they may do, region, endpoints, network, limits, and every plan, which
    the cloud checks as an order and does not carry out. Exit code 1 if anything is wrong.

    With --spend an instance of a plan of each service is then created, bound, changed and deleted,
    and what that took is shown. A record of it can be held against the sandbox: alibroker compare.
    """
    if (plans or record or yes) and not spends:
        raise click.UsageError("--plan, --record and --yes go with --spend")
    found: dict[str, Check] = {}
    with Console(stderr=True).status("Asking Alibaba Cloud") as status:
        for one in _checks():
            # Brokers of the same cloud have some in common.
            found.setdefault(one.subject, one)
            status.update(f"{len(found)} checks, the last one: {one.subject}")
    shown = [one for one in found.values() if not quiet or one.state is not CheckState.OK]
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(shown), indent=2))
    else:
        _print(shown, found)
    if any(one.state is CheckState.FAILED for one in found.values()):
        raise SystemExit(1)
    if spends and not spend(plans, record, yes=yes):
        raise SystemExit(1)


def _checks() -> Iterator[Check]:
    """Yield what every plugin finds, as it is found."""
    try:
        loaded = load_brokers(os.environ)
    except (PluginError, CatalogError) as error:
        yield Check(
            subject="settings",
            state=CheckState.FAILED,
            detail=str(error),
            remedy="set what is named, as for the broker itself",
        )
        return
    for name, failure in loaded.failures.items():
        yield Check(
            subject=f"plugin {name}",
            state=CheckState.FAILED,
            detail=failure,
            remedy="its services would not be offered: mend what is named",
        )
    for plugin in loaded.plugins:
        try:
            yield from _of(plugin)
        finally:
            plugin.broker.close()


def _of(plugin: Plugin) -> Iterator[Check]:
    if not isinstance(plugin.broker, Preflight):
        yield Check(
            subject=f"plugin {plugin.name}",
            state=CheckState.UNKNOWN,
            detail="it does not offer checks",
        )
        return
    try:
        yield from plugin.broker.preflight()
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, the others go on
        yield Check(
            subject=f"plugin {plugin.name}",
            state=CheckState.FAILED,
            detail=f"its checks end with {type(error).__name__}: {error}",
            remedy="tell its author",
        )


def _print(shown: Sequence[Check], found: dict[str, Check]) -> None:
    rows = [
        (one.state, one.subject, one.detail + (one.remedy and f"; remedy: {one.remedy}"))
        for one in shown
    ]
    if rows:
        click.echo(f"\n{laid_out(_TITLES, rows, terminal_width())}\n")
    count = {state: sum(one.state is state for one in found.values()) for state in CheckState}
    click.echo(", ".join(f"{number} {state}" for state, number in count.items() if number))
