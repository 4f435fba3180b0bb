"""`alibroker conformance`: checks any broker over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
from rich.console import Console

from alibroker.conformance.document import as_document
from alibroker.conformance.exchange import Kind
from alibroker.conformance.offers import choose, offers_in
from alibroker.conformance.results import Report
from alibroker.conformance.rules import all_checks
from alibroker.conformance.runner import Runner
from alibroker.conformance.selection import UnknownRuleError, select
from alibroker.conformance.session import Session
from alibroker.conformance.settings import Settings, Version
from alibroker.conformance.subject import Subject
from alibroker.conformance.table import print_report, rule_table
from alibroker.conformance.walk import closure, counts

PASSWORD = "ALIBROKER_CONFORMANCE_PASSWORD"  # noqa: S105 - the name of a variable
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class _Version(click.ParamType[Version]):
    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Version:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)\.(\d+)", str(value))
        version = (int(match[1]), int(match[2])) if match else (0, 0)
        if version[0] != 2 or version < (2, 13):  # noqa: PLR2004 - the major version of OSB
            self.fail("has to be 2.13 or later, below 3", param, ctx)
        return version


class _Object(click.ParamType[dict[str, Any]]):
    name = "json|file"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        try:
            text = value if value.lstrip().startswith("{") else Path(value).read_text("utf-8")
            found = json.loads(text)
        except OSError as ex:
            self.fail(f"cannot be read: {ex.strerror}", param, ctx)
        except ValueError:
            self.fail("is not valid JSON", param, ctx)
        if not isinstance(found, dict):
            self.fail("is not a JSON object", param, ctx)
        return found


def _names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _list(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted and not ctx.resilient_parsing:
        click.echo(rule_table(all_checks()))
        ctx.exit()


def _url(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter("has to begin with http:// or https:// and name a host")
    if parts.username is not None:
        raise click.BadParameter("must not have credentials in it: use --user")
    if parts.query or parts.fragment:
        raise click.BadParameter("must have neither query nor fragment")
    return value.rstrip("/")


@click.command()
@click.option("--url", required=True, callback=_url, help="The broker, without /v2.")
@click.option(
    "--user", required=True, help=f"Name to authenticate with; the password is {PASSWORD}."
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the password, instead of {PASSWORD} or a prompt.",
)
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False), help="Certificates to trust."
)
@click.option("--service", help="Try this service only.")
@click.option("--plan", "plans", multiple=True, help="Try this plan; can be given more than once.")
@click.option("--parameters", type=_Object(), help="Parameters of provisions.")
@click.option("--bind-parameters", type=_Object(), help="Parameters of binds.")
@click.option("--api-version", "version", type=_Version(), default="2.17", show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Seconds that an operation may take.",
)
@click.option(
    "--poll-interval",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds between polls.  [default: what the broker suggests, else 2]",
)
@click.option("--only", multiple=True, callback=_names, help="Rules or checks, with commas.")
@click.option("--skip", multiple=True, callback=_names, help="Rules or checks, with commas.")
@click.option("--json", "output", metavar="FILE|-", help="Write the report as JSON, too.")
@click.option("--quiet", "-q", is_flag=True, help="Show only what is wrong, if anything.")
@click.option("--failfast", is_flag=True, help="Stop at the first MUST that fails.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a SHOULD fails, too.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list,
    help="Show all checks, as a table in Markdown, and exit.",
)  # fmt: skip
def conformance(  # noqa: PLR0913 - one for each option
    *,
    url: str,
    user: str,
    password_file: Path | None,
    ca_file: str | None,
    service: str | None,
    plans: tuple[str, ...],
    parameters: dict[str, Any] | None,
    bind_parameters: dict[str, Any] | None,
    version: Version,
    timeout: float,
    poll_interval: float | None,
    only: list[str],
    skip: list[str],
    output: str | None,
    quiet: bool,
    failfast: bool,
    strict: bool,
) -> None:
    """Check an Open Service Broker from outside, as a platform sees it.

    It creates real instances and bindings, as few as it can, and deletes them. Exit code: 0 if no
    MUST fails, 1 if one does, 2 if the broker cannot be reached or an option is wrong, 130 after
    Ctrl-C.
    """
    checks = all_checks()
    try:
        selected = select(checks, only, skip)
    except UnknownRuleError as ex:
        raise click.UsageError(str(ex)) from None
    settings = Settings(
        url=url,
        user=user,
        password=_password(password_file),
        version=version,
        ca_file=ca_file,
        timeout=timeout,
        poll_interval=poll_interval,
        parameters=parameters,
        bind_parameters=bind_parameters,
        failfast=failfast,
    )
    notes = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        if not quiet:
            notes.print(text, markup=False)

    session = Session(settings)
    try:
        _discover(session, service, plans)
        due = [one for one in checks if one.name in selected and version >= one.since]
        stages = closure([one.stage for one in due if one.stage.per_plan])
        for subject in session.subjects:
            instances, bindings = counts(subject.offer, session.offers, stages)
            say(
                f"{subject.offer.label}: will create up to {instances} instances "
                f"and {bindings} bindings, and delete them"
            )
        report = _interruptible(lambda: Runner(session, checks, selected).run(say))
    finally:
        session.close()
    table = notes if output == "-" else Console(highlight=False)
    print_report(table, report, session.masker, quiet=quiet)
    if output:
        _write(output, as_document(report, settings, session.masker, strict=strict))
    _exit(report, strict=strict)


def _password(path: Path | None) -> str:
    try:
        if path is not None:
            return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise click.UsageError(f"{path} cannot be read") from None
    if password := os.environ.get(PASSWORD):
        return password
    if not sys.stdin.isatty():
        raise click.UsageError(f"Set {PASSWORD}, or name a --password-file")
    prompted: str = click.prompt("Password", hide_input=True, err=True)
    return prompted


def _discover(session: Session, service: str | None, plans: tuple[str, ...]) -> None:
    """Fetch the catalog and choose the plans to try.

    Raises:
        click.UsageError: There is no broker, it does not let the user in, or has no such plan.
    """
    exchange = session.catalog = session.call(Kind.CATALOG)
    if exchange.answer is None:
        raise click.UsageError(
            f"The broker cannot be reached: {session.masker.text(exchange.trouble)}"
        )
    if exchange.status in (401, 403):
        raise click.UsageError(f"The broker does not let the user in: {exchange.status}")
    if exchange.has(404):
        raise click.UsageError("There is no broker at this URL: 404")
    session.offers = offers_in(exchange.members)
    chosen = choose(session.offers, service, plans)
    known = {offer.plan.get("name") for offer in chosen}
    for name in plans:
        if name not in known:
            raise click.UsageError(f"The catalog has no plan {name!r} to try")
    if service is not None and not chosen:
        raise click.UsageError(f"The catalog has no service {service!r} with a plan")
    session.subjects = tuple(Subject(offer, session.settings) for offer in chosen)


def _interruptible(run: Callable[[], Report]) -> Report:
    """Run, and take SIGTERM for Ctrl-C meanwhile: whoever stops this still wants it cleaned up."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        return run()
    try:
        return run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _write(output: str, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if output == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, "utf-8")
    except OSError as ex:
        raise click.UsageError(f"{output} cannot be written: {ex.strerror}") from None


def _exit(report: Report, *, strict: bool) -> None:
    if report.interrupted:
        sys.exit(INTERRUPTED)
    sys.exit(0 if report.conformant(strict=strict) else 1)
