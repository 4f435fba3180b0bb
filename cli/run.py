"""`alibroker run`: a local Alibaba Cloud and a broker in front of it, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import click

from alibroker.cli import login
from alibroker.cli.processes import (
    OSS_ENDPOINT,
    STOP_TIMEOUT,
    Broker,
    Process,
    Sandbox,
    StartError,
)
from alibroker.cli.waits import told
from alibroker.etcd.lock import HeldError, Lock

SANDBOX_PORT = 8006


@click.command()
def run() -> None:
    """Start the broker and, unless ALIBROKER_CLOUD_ENDPOINT names another cloud, the sandbox.

    Settings are the environment variables ALIBROKER_*. What is provisioned, user and password are
    kept in ALIBROKER_DATA_DIR (default: data) and are there again at the next start. Ctrl-C stops
    all.
    """
    # Both also where a shell has started this in the background and has SIGINT ignored.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    settings = {name: value for name, value in os.environ.items() if value}
    data_dir = Path(settings.setdefault("ALIBROKER_DATA_DIR", "data"))
    settings["ALIBROKER_DATA_DIR"] = str(data_dir.absolute())
    settings.setdefault("ALIBROKER_BIND", "127.0.0.1:8005")
    settings.setdefault("ALIBROKER_REGION", "cn-hangzhou")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    login.complete(settings, data_dir / "login")
    try:
        with _alone(data_dir) as lock:
            _run(data_dir, settings, lock)
    except StartError as ex:
        raise click.ClickException(str(ex)) from ex
    click.echo("Stopped. What was provisioned is there again at the next start.")


def _run(data_dir: Path, settings: dict[str, str], lock: Lock) -> None:
    """Run all until Ctrl-C.

    Raises:
        StartError: Something does not come up, or has ended by itself.
    """
    started: list[Process] = []
    try:
        _start(data_dir, settings, lock, started)
        while all(process.returncode is None for process in started):
            time.sleep(0.2)
        ended = next(process.name for process in started if process.returncode is not None)
        raise StartError(f"{ended} has ended")
    except KeyboardInterrupt:
        click.echo("\nStopping ...")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(started):
            process.stop()


def _start(data_dir: Path, settings: dict[str, str], lock: Lock, started: list[Process]) -> None:
    """Start all; `started` gets what has been started, also when the rest fails.

    Raises:
        StartError: Something does not come up.
    """
    _check_free(settings["ALIBROKER_BIND"], "ALIBROKER_BIND")
    if "ALIBROKER_CLOUD_ENDPOINT" not in settings:
        port = int(settings.get("ALIBROKER_SANDBOX_PORT", SANDBOX_PORT))
        _check_free(f"127.0.0.1:{port}", "ALIBROKER_SANDBOX_PORT")
        with told(f"Starting the sandbox, a local Alibaba Cloud, at http://127.0.0.1:{port}"):
            sandbox = Sandbox(
                data_dir.absolute() / "sandbox",
                key=_sandbox_key(data_dir / "sandbox.key"),
                port=port,
                lock=lock,
            )
        started.append(sandbox.process)
        lock.describe(f"{sandbox.process.name} is process {sandbox.process.pid}")
        own = {name: settings[name] for name in (OSS_ENDPOINT,) if name in settings}
        settings.update(sandbox.settings() | own)
        # The sandbox's databases are ready in seconds, not in minutes.
        settings.setdefault("ALIBROKER_POLL_INTERVAL", "0.3")
        settings.setdefault("ALIBROKER_SETTLE_SECONDS", "5")
        settings.setdefault("ALIBROKER_CLOUD_RATE", "unlimited")
    broker = Broker(settings, lock=lock)
    started.append(broker.process)
    lock.describe(", ".join(f"{one.name} is process {one.pid}" for one in started))
    with told("Starting the broker, and etcd for it"):
        broker.wait_until_ready()
    exports = login.lines(settings, broker.url)
    login.write(data_dir / "login", exports)
    _welcome(broker.url, exports, data_dir / "login", known=login.PLATFORM[0] in settings)


def _welcome(url: str, exports: list[str], file: Path, *, known: bool) -> None:
    pasted = "\n".join(f"  {line}" for line in exports)
    user = '"$ALIBROKER_USERNAME:$ALIBROKER_PASSWORD"' if known else "NAME:PASSWORD"
    click.echo(
        f"""
alibroker is ready at {url}

Paste this into another terminal (or say `. {shlex.quote(str(file))}` there):

{pasted}

and have a look at what is on offer:

  curl -s -u {user} -H 'X-Broker-API-Version: 2.17' $ALIBROKER_URL/v2/catalog

README.md shows how to go on. Ctrl-C stops everything.
"""
    )


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[Lock]:
    """Be the only one that runs on a data directory; wait for what one that was killed left behind.

    The processes that are started get the lock that this gives, and hold it until their end.

    Raises:
        StartError: Somebody else runs on it, or what was left behind does not end.
    """
    try:
        launcher = Lock(data_dir / "run.lock")
    except HeldError as ex:
        raise StartError(
            f"{ex.holder} runs on {data_dir} already. Stop it, or set ALIBROKER_DATA_DIR, "
            "ALIBROKER_BIND and ALIBROKER_SANDBOX_PORT to something else."
        ) from None
    launcher.describe(f"Process {os.getpid()}")
    processes = _former_ended(data_dir / "processes.lock")
    try:
        yield processes
    finally:
        processes.release()
        launcher.release()


def _former_ended(path: Path) -> Lock:
    with contextlib.suppress(HeldError):
        return Lock(path)
    end = time.monotonic() + STOP_TIMEOUT
    limit = f"{STOP_TIMEOUT:.0f} s at the most"
    with told(f"An earlier start was killed, and its processes are still ending; waiting, {limit}"):
        while True:
            try:
                return Lock(path)
            except HeldError as ex:
                if time.monotonic() > end:
                    raise StartError(
                        f"Processes of an earlier start do not end: {ex.holder}. End them by hand."
                    ) from None
            time.sleep(0.1)


def _sandbox_key(path: Path) -> tuple[str, str]:
    """Return the key of the sandbox's account, made at the first start."""
    try:
        key_id, secret = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        key_id, secret = f"LTAI{secrets.token_hex(8)}", secrets.token_urlsafe(24)
        login.write(path, [json.dumps([key_id, secret])])
    return key_id, secret


def _check_free(bind: str, setting: str) -> None:
    host, _, port = bind.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]") or "127.0.0.1", int(port)))
        except (OSError, ValueError) as ex:
            raise StartError(
                f"Cannot listen on {bind}: {ex}. Set {setting} to something else."
            ) from ex


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
