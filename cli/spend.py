"""`alibroker check --spend` and `alibroker compare`: whole lives, in the cloud and the sandbox."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.alibabacloud.transcript import Transcript
from alibroker.brokers.api import Plan, Preflight, Price
from alibroker.brokers.contract import Plugin
from alibroker.brokers.loading import PluginError, load_brokers
from alibroker.cli.comparison import differences
from alibroker.cli.listing import laid_out, terminal_width
from alibroker.cli.processes import Sandbox
from alibroker.cli.trial import Life, clean_up, live

_TITLES: Final = ("Plan", "Operation", "Seconds", "Calls", "Outcome")
_NOT_THERE: Final = ("ALIBROKER_VPC_ID", "ALIBROKER_VSWITCH_ID", "ALIBROKER_ZONE_ID")
"""Settings that name things of the account, which the sandbox does not have."""
_QUICK: Final = {
    "ALIBROKER_CLOUD_RATE": "unlimited",
    "ALIBROKER_POLL_INTERVAL": "0.1",
    "ALIBROKER_SETTLE_SECONDS": "1",
}


class Record(msgspec.Struct, kw_only=True):
    """What a trial writes down. It holds no value of a parameter, and no secret."""

    version: int = 1
    region: str
    taken_at: str
    lives: list[Life]


def spend(names: Sequence[str], file: Path | None, *, yes: bool) -> bool:
    """Have an instance of each plan live in the cloud; returns whether all went well.

    Raises:
        ClickException: A plan that is named is not offered.
        Abort: The user does not want it.
    """
    chosen = _chosen(names, os.environ)
    for plugin, plan, price in chosen:
        cost = f"{price.amount:g} {price.currency} an hour" if price else "billed by use"
        click.echo(f"{plugin.name}: an instance of {plan.name} ({cost})", err=True)
    if not yes:
        text = "Create, change and delete these in the account, and pay for them?"
        click.confirm(text, abort=True, err=True)
    lives = _lives([(plugin, plan) for plugin, plan, _ in chosen], os.environ)
    if file is not None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = Record(region=os.environ["ALIBROKER_REGION"], taken_at=now, lives=lives)
        file.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    rows = [
        (life.plan, phase.name, f"{phase.seconds:.1f}", str(len(phase.calls)), phase.outcome)
        for life in lives
        for phase in life.phases
    ]
    click.echo(f"\n{laid_out(_TITLES, rows, terminal_width())}\n")
    return all(life.good for life in lives)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def compare(file: Path) -> None:
    """Hold the record of a trial against the sandbox, and report what differs.

    FILE is what `alibroker check --spend --record FILE` wrote. Differences show where the sandbox,
    with which this broker is tested, does not behave as your cloud. Exit code 1 if there are any.
    """
    try:
        record = msgspec.json.decode(file.read_bytes(), type=Record)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise click.ClickException(f"{file} is no record of a trial: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        key = ("sandbox", secrets.token_hex(15))
        options = ("--region", record.region, "--time-scale", "0.005")
        sandbox = Sandbox(Path(folder), key=key, options=options)
        with ExitStack() as stack:
            stack.callback(sandbox.process.stop)
            environment = {
                **{name: os.environ[name] for name in os.environ if name not in _NOT_THERE},
                **sandbox.settings(),
                **_QUICK,
                "ALIBROKER_REGION": record.region,
            }
            chosen = _chosen([life.plan for life in record.lives], environment)
            lives = _lives([(plugin, plan) for plugin, plan, _ in chosen], environment)
    found = list(differences(record.lives, lives))
    for text in found:
        click.echo(text)
    click.echo(f"{len(found)} differences (here: the record; there: the sandbox)", err=True)
    if found:
        raise SystemExit(1)


def _chosen(
    names: Sequence[str], environment: Mapping[str, str]
) -> list[tuple[Plugin, Plan, Price | None]]:
    """Return the plans of these names, or the cheapest of each plugin.

    Raises:
        ClickException: One is not offered, or nothing can be loaded.
    """
    try:
        loaded = load_brokers(environment)
    except PluginError as error:
        raise click.ClickException(str(error)) from error
    found = []
    for plugin in loaded.plugins:
        if not isinstance(plugin.broker, Preflight):
            continue
        offered = [plan for one in plugin.offerings for plan in one.plans if not plan.hidden]
        wanted = [plan for plan in offered if plan.name in names] if names else offered
        priced = [(plan, plugin.broker.price(plan.id)) for plan in wanted]
        if not names:
            priced = sorted(priced, key=lambda one: one[1].amount if one[1] else 0.0)[:1]
        found += [(plugin, plan, price) for plan, price in priced]
    missing = set(names) - {plan.name for _, plan, _ in found}
    if missing:
        raise click.ClickException(f"No plan of this name is offered: {', '.join(sorted(missing))}")
    return found


def _lives(chosen: Sequence[tuple[Plugin, Plan]], environment: Mapping[str, str]) -> list[Life]:
    _, cloud = connect(environment)
    cloud.transcript = transcript = Transcript()
    try:
        with Console(stderr=True).status("Beginning") as status:
            for plugin in {id(plugin): plugin for plugin, _ in chosen}.values():
                clean_up(plugin, status.update)
            return [live(plugin, plan, transcript, status.update) for plugin, plan in chosen]
    finally:
        cloud.transcript = None
        for plugin, _ in chosen:
            plugin.broker.close()
