"""`alibroker orphans`: what exists in the cloud without a record, asked of a running broker."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import requests
from requests.auth import HTTPBasicAuth

from alibroker.cli.listing import laid_out, printable, terminal_width

PASSWORD = "ALIBROKER_OPERATOR_PASSWORD"  # noqa: S105 - the name of a variable
POLL_SECONDS = 0.5
ORPHANS = ("unknown", "left over", "double", "half-deleted")
_TITLES = ("id", "what", "kind", "name", "of", "since", "why")


class Operator:
    """The operator's side of a running broker's HTTP API."""

    def __init__(self, url: str, user: str, password: str, ca_file: Path | None) -> None:
        self._url = f"{url.rstrip('/')}/operator"
        self._session = requests.Session()
        self._session.trust_env = False
        # As bytes, or characters beyond Latin-1 could not be sent.
        self._session.auth = HTTPBasicAuth(user.encode(), password.encode())
        if ca_file is not None:
            self._session.verify = str(ca_file)

    def survey(self, timeout: float) -> dict[str, Any]:
        """Have a survey taken and return it.

        Raises:
            ClickException: It was refused, or took more than `timeout` seconds.
        """
        asked_at = self._ask("POST", "survey", {})["asked_at"]
        end = time.monotonic() + timeout
        while True:
            survey = self._ask("GET", "survey")
            if survey["taken_at"] >= asked_at:
                return survey
            if time.monotonic() > end:
                raise click.ClickException(f"The survey takes more than {timeout:.0f} s: --timeout")
            time.sleep(POLL_SECONDS)

    def settle(self, finding_id: str, **body: Any) -> dict[str, Any]:
        """Do something about a finding.

        Raises:
            ClickException: It was refused.
        """
        return self._ask("POST", f"findings/{finding_id}", body)

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            answer = self._session.request(method, f"{self._url}/{path}", json=body, timeout=60)
            found: dict[str, Any] = answer.json()
        except requests.exceptions.JSONDecodeError:
            raise click.ClickException("This is no alibroker: --url") from None
        except requests.RequestException as ex:
            raise click.ClickException(f"The broker cannot be reached (--url): {ex}") from None
        if not answer.ok:
            raise click.ClickException(f"{found.get('description', answer.reason)}")
        return found


def _broker(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which broker, and an `Operator` made of them."""

    @click.option(
        "--url",
        envvar="ALIBROKER_URL",
        default="http://127.0.0.1:8005",
        show_default=True,
        help="The broker, or ALIBROKER_URL.",
    )
    @click.option("--user", envvar="ALIBROKER_OPERATOR_USERNAME", required=True)
    @click.option(
        "--password-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"File with the password, instead of {PASSWORD} or a prompt.",
    )
    @click.option("--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--timeout", default=600.0, show_default=True, help="Seconds for a survey.")
    @functools.wraps(command)
    def with_broker(
        url: str, user: str, password_file: Path | None, ca_file: Path | None, **options: Any
    ) -> None:
        command(Operator(url, user, _password(password_file), ca_file), **options)

    return with_broker


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    value: str = os.environ.get(PASSWORD) or click.prompt("Operator's password", hide_input=True)
    return value


@click.group()
def orphans() -> None:
    """Compare the cloud with what the broker remembers, and put right what differs.

    Asks a running broker as its operator: ALIBROKER_OPERATOR_USERNAME and
    ALIBROKER_OPERATOR_PASSWORD, which the broker's settings have to have as well.
    """


@orphans.command("list")
@_broker
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(operator: Operator, timeout: float, *, as_json: bool) -> None:
    """Take a survey and show what was found; exit code 1 if anything was."""
    survey = operator.survey(timeout)
    if as_json:
        click.echo(json.dumps(survey, indent=2))
    else:
        _print(survey)
    if survey["findings"] or survey["failures"]:
        raise SystemExit(1)


@orphans.command()
@_broker
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that can be: rebuild a lost store.")
@click.option("--instance-id", help="Adopt it as this instance, where its marks do not say.")
def adopt(
    operator: Operator,
    timeout: float,
    ids: tuple[str, ...],
    *,
    everything: bool,
    instance_id: str | None,
) -> None:
    """Make records of what exists without one. Bindings get new credentials."""
    more = {"instance_id": instance_id} if instance_id else {}
    if instance_id and len(ids) != 1:
        raise click.UsageError("--instance-id goes with one ID")
    if everything:
        found = [
            one
            for one in operator.survey(timeout)["findings"]
            if one["disagreement"] in ("unknown", "left over") and one["instance_id"]
        ]
        # A binding can be adopted only when its instance has been.
        ids = tuple(one["id"] for one in sorted(found, key=lambda one: bool(one["binding_id"])))
    _settle_all(operator, ids, action="adopt", **more)


@orphans.command()
@_broker
@click.argument("ids", nargs=-1, required=True)
def keep(operator: Operator, timeout: float, ids: tuple[str, ...]) -> None:
    """Mark things in the cloud as kept, so that nobody reports them again."""
    del timeout
    _settle_all(operator, ids, action="keep")


@orphans.command()
@_broker
@click.argument("ids", nargs=-1, required=True)
@click.option("--parameters", help="JSON object: parameters to delete it with.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(
    operator: Operator, timeout: float, ids: tuple[str, ...], parameters: str | None, *, yes: bool
) -> None:
    """Delete things in the cloud, for good."""
    del timeout
    more = {"parameters": _object(parameters)} if parameters else {}
    if not yes:
        click.confirm(f"Delete {len(ids)} thing(s) in the cloud for good?", abort=True)
    _settle_all(operator, ids, action="delete", **more)


def _settle_all(operator: Operator, ids: Sequence[str], **body: Any) -> None:
    """Settle one after the other; what is refused does not stop the others."""
    refused = 0
    for finding_id in ids:
        try:
            answer = operator.settle(finding_id, **body)
        except click.ClickException as ex:
            refused += 1
            click.echo(f"{finding_id}  refused: {ex.message}", err=True)
        else:
            where = _path(answer.get("instance_id"), answer.get("binding_id"))
            done = "  ".join(filter(None, (finding_id, where, answer["description"])))
            click.echo(printable(done))
    if not ids:
        click.echo("There is nothing to do.")
    if refused:
        raise SystemExit(1)


def _path(instance_id: str | None, binding_id: str | None) -> str:
    return "/".join(filter(None, (instance_id, binding_id)))


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.UsageError("--parameters is not a JSON object")
    return found


def _print(survey: dict[str, Any]) -> None:
    seen = ", ".join(f"{name} {count}" for name, count in survey["seen"].items()) or "nothing"
    click.echo(f"In the cloud: {seen}; looked at in {survey['seconds']:.1f} s.")
    for broker, reason in survey["failures"].items():
        click.echo(f"{broker} could not be surveyed: {reason}", err=True)
    if not survey["findings"]:
        click.echo("All is as recorded." if not survey["failures"] else "Nothing else was found.")
        return
    rows = [
        (
            one["id"],
            one["disagreement"],
            one["kind"],
            one["name"],
            _path(one["instance_id"], one["binding_id"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one["since"])),
            one["description"],
        )
        for one in survey["findings"]
    ]
    click.echo(f"\n{laid_out(_TITLES, rows, terminal_width())}\n")
    if any(one["disagreement"] in ORPHANS for one in survey["findings"]):
        click.echo(f"Settle with: {sys.argv[0]} orphans adopt|keep|delete ID")
