"""`alibroker run`: a local Alibaba Cloud and a broker in front of it, until Ctrl-C."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import click

from alibroker.cli.processes import OSS_ENDPOINT, Broker, Process, Sandbox, StartError

SANDBOX_PORT = 8006


@click.command()
def run() -> None:
    """Start the broker and, unless ALIBROKER_CLOUD_ENDPOINT names another cloud, the sandbox.

    Settings are the environment variables ALIBROKER_*. What is provisioned is kept in
    ALIBROKER_DATA_DIR (default: data) and is there again at the next start. Ctrl-C stops all.
    """
    # Both also where a shell has started this in the background and has SIGINT ignored.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    settings = {name: value for name, value in os.environ.items() if value}
    data_dir = Path(settings.setdefault("ALIBROKER_DATA_DIR", "data")).absolute()
    settings["ALIBROKER_DATA_DIR"] = str(data_dir)
    settings.setdefault("ALIBROKER_BIND", "127.0.0.1:8005")
    settings.setdefault("ALIBROKER_REGION", "cn-hangzhou")
    if not settings.get("ALIBROKER_USERS_FILE"):
        settings.setdefault("ALIBROKER_USERNAME", "broker")
        settings.setdefault("ALIBROKER_PASSWORD", secrets.token_urlsafe(12))
    if not settings.get("ALIBROKER_OPERATOR_USERNAME"):
        settings["ALIBROKER_OPERATOR_USERNAME"] = "operator"
        settings["ALIBROKER_OPERATOR_PASSWORD"] = secrets.token_urlsafe(12)
    _check_free(settings["ALIBROKER_BIND"], "ALIBROKER_BIND")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    started: list[Process] = []
    try:
        if "ALIBROKER_CLOUD_ENDPOINT" not in settings:
            port = int(settings.get("ALIBROKER_SANDBOX_PORT", SANDBOX_PORT))
            _check_free(f"127.0.0.1:{port}", "ALIBROKER_SANDBOX_PORT")
            sandbox = Sandbox(
                data_dir / "sandbox", key=_sandbox_key(data_dir / "sandbox.key"), port=port
            )
            started.append(sandbox.process)
            own = {name: settings[name] for name in (OSS_ENDPOINT,) if name in settings}
            settings.update(sandbox.settings() | own)
            # The sandbox's databases are ready in seconds, not in minutes.
            settings.setdefault("ALIBROKER_POLL_INTERVAL", "0.3")
            settings.setdefault("ALIBROKER_SETTLE_SECONDS", "5")
            settings.setdefault("ALIBROKER_CLOUD_RATE", "unlimited")
            click.echo(f"The sandbox, a local Alibaba Cloud, runs at {sandbox.url}")
        broker = Broker(settings)
        started.append(broker.process)
        broker.wait_until_ready()
        _welcome(broker.url, settings)
        while all(process.returncode is None for process in started):
            time.sleep(0.2)
        ended = next(process.name for process in started if process.returncode is not None)
        raise click.ClickException(f"{ended} has ended")
    except StartError as ex:
        raise click.ClickException(str(ex)) from ex
    except KeyboardInterrupt:
        click.echo("\nStopping ...")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(started):
            process.stop()
    click.echo("Stopped. What was provisioned is there again at the next start.")


def _welcome(url: str, settings: Mapping[str, str]) -> None:
    name = settings.get("ALIBROKER_USERNAME", "<name>")
    password = settings.get("ALIBROKER_PASSWORD", "<password>")
    click.echo(
        f"""
alibroker is ready at {url}

  user      {name}
  password  {password}

  operator  {settings["ALIBROKER_OPERATOR_USERNAME"]}
  password  {settings["ALIBROKER_OPERATOR_PASSWORD"]}

Have a look at what is on offer:

  curl -s -u '{name}:{password}' -H 'X-Broker-API-Version: 2.17' {url}/v2/catalog

README.md shows how to go on. Ctrl-C stops everything.
"""
    )


def _sandbox_key(path: Path) -> tuple[str, str]:
    """Return the key of the sandbox's account, made at the first start."""
    try:
        key_id, secret = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        key_id, secret = f"LTAI{secrets.token_hex(8)}", secrets.token_urlsafe(24)
        path.touch(mode=0o600)
        path.write_text(json.dumps([key_id, secret]), encoding="utf-8")
    return key_id, secret


def _check_free(bind: str, setting: str) -> None:
    host, _, port = bind.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]") or "127.0.0.1", int(port)))
        except (OSError, ValueError) as ex:
            raise click.ClickException(
                f"Cannot listen on {bind}: {ex}. Set {setting} to something else."
            ) from ex


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
