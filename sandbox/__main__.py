"""The command: python -m alibroker.sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from alibroker.sandbox.app import Application
from alibroker.sandbox.cloud import Cloud
from alibroker.sandbox.journal import Journal
from alibroker.sandbox.oss.files import sweep
from alibroker.sandbox.rds.servers import Servers
from alibroker.sandbox.server import listen, serve
from alibroker.sandbox.vault import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator


def _loopback(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        safe = value == "localhost" or ipaddress.ip_address(value).is_loopback
    except ValueError:
        safe = False
    if not safe:
        msg = "the sandbox listens on loopback addresses only, such as 127.0.0.1"
        raise click.BadParameter(msg)
    return "127.0.0.1" if value == "localhost" else value


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--host", default="127.0.0.1", callback=_loopback, show_default=True, help="Loopback address."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8006,
    show_default=True,
    help="TCP port; 0 takes a free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept. Default: a temporary directory that is removed at the end.",
)
@click.option("--region", default="cn-hangzhou", show_default=True, help="The simulated region.")
@click.option(
    "--time-scale",
    type=click.FloatRange(0, 100),
    help="Factor on all durations: 1.0 is the cloud's pace, 0 makes everything instant. "
    "[default: 0.02, or what was set before]",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(0, 600_000),
    help="Delay of every API answer in milliseconds. [default: 0, or what was set before]",
)
@click.option(
    "--instance-quota",
    type=click.IntRange(0, 1_000_000),
    help="RDS instances per account. [default: 200, or what was set before]",
)
@click.option(
    "--signature-v1/--no-signature-v1",
    default=None,
    help="Whether OSS accepts signature version 1. [default: yes, or what was set before]",
)
@click.option(
    "--public-data-api/--no-public-data-api",
    default=None,
    help="Whether OSS serves objects on public endpoints in mainland China, as it does for older "
    "accounts. [default: no, or what was set before]",
)
@click.option(
    "--access-key-id",
    envvar="SANDBOX_ACCESS_KEY_ID",
    show_envvar=True,
    help="AccessKey id of the account's owner. Default: generated once and kept.",
)
@click.option(
    "--access-key-secret",
    envvar="SANDBOX_ACCESS_KEY_SECRET",
    show_envvar=True,
    help="Its secret. Prefer the variable: process lists show arguments.",
)
@click.option(
    "--data-planes",
    type=click.Choice(["auto", "off"]),
    default="auto",
    envvar="SANDBOX_DATA_PLANES",
    show_default=True,
    show_envvar=True,
    help="Whether MySQL, MariaDB and PostgreSQL instances are real servers, if their programs are "
    "installed.",
)
@click.option(
    "--max-data-planes",
    type=click.IntRange(0, 100),
    default=5,
    envvar="SANDBOX_MAX_DATA_PLANES",
    show_default=True,
    show_envvar=True,
    help="Real servers at the same time; instances beyond are simulated.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SANDBOX_JOURNAL",
    show_envvar=True,
    help="A file to append a line to for each different call: what was asked, without secrets.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log a line for each call to stderr.")
def main(  # noqa: PLR0913 - the options of a command
    *,
    host: str,
    port: int,
    data_dir: Path | None,
    region: str,
    time_scale: float | None,
    latency_ms: float | None,
    instance_quota: int | None,
    signature_v1: bool | None,
    public_data_api: bool | None,
    access_key_id: str | None,
    access_key_secret: str | None,
    data_planes: str,
    max_data_planes: int,
    journal: Path | None,
    verbose: bool,
) -> None:
    """Run a local Alibaba Cloud: RDS, RAM, STS, VPC, OSS and the metadata service on one port.

    Once it accepts connections it prints one line of JSON with its URL, region and the file that
    holds the owner's AccessKey. SIGTERM and SIGINT stop it. What it holds survives a kill when
    --data-dir is given.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if bool(access_key_id) != bool(access_key_secret):
        msg = "Give both --access-key-id and --access-key-secret, or neither."
        raise click.UsageError(msg)
    given = {
        "time_scale": time_scale,
        "latency_ms": latency_ms,
        "instance_quota": instance_quota,
        "signature_v1": signature_v1,
        "public_data_api": public_data_api,
    }
    with _directory(data_dir) as directory:
        cloud = Cloud(directory, region)
        try:
            cloud.open_account(access_key_id, access_key_secret)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        changes = {name: value for name, value in given.items() if value is not None}
        cloud.change_settings(msgspec.structs.replace(cloud.settings, **changes))
        cloud.store.commit()
        sweep(cloud)
        if data_planes == "auto":
            # Absolute, for a server has a working directory of its own.
            cloud.servers = Servers((directory / "servers").absolute(), max_data_planes)
        cloud.servers.open(cloud)
        credentials = _write_credentials(cloud, directory)
        try:
            listener = listen(host, port)
        except OSError as error:
            msg = f"Cannot listen on {host} port {port}: {error.strerror}."
            raise click.ClickException(msg) from error
        bracketed = f"[{host}]" if ":" in host else host
        url = f"http://{bracketed}:{listener.getsockname()[1]}"

        def announce() -> None:
            line = {"url": url, "region": region, "credentials_file": str(credentials)}
            click.echo(json.dumps(line))
            sys.stdout.flush()

        try:
            application = Application(cloud, _open_journal(journal))
            serve(application, listener, announce)
            application.accounts.close()
        finally:
            cloud.servers.close()
        cloud.store.close()


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is None:
        with tempfile.TemporaryDirectory(prefix="alibroker-sandbox-") as name:
            yield Path(name)
        return
    given.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Two processes over one directory would not see each other's changes.
    with (given / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"Another sandbox uses the data directory {given}."
            raise click.ClickException(msg) from None
        yield given


def _open_journal(path: Path | None) -> Journal | None:
    if path is None:
        return None
    try:
        return Journal(path)
    except OSError as error:
        msg = f"Cannot write the journal {path}: {error.strerror}."
        raise click.ClickException(msg) from error


def _write_credentials(cloud: Cloud, directory: Path) -> Path:
    path = (directory / "credentials.json").absolute()
    owner = cloud.owner
    content = {
        "access_key_id": owner.key_id,
        "access_key_secret": cloud.vault.unseal(owner.sealed_secret),
        "account_id": owner.id,
        "region": cloud.region,
    }
    write_private(path, json.dumps(content, indent=2).encode())
    return path


if __name__ == "__main__":
    main()
