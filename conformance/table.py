"""The report for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alibroker.conformance.checks import Check, Level
from alibroker.conformance.exchange import Exchange
from alibroker.conformance.masking import Masker
from alibroker.conformance.results import Outcome, Report, Result

STYLES = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.NOT_APPLICABLE: "dim",
    Outcome.SKIPPED: "yellow",
}


MAX_PROBLEMS: Final = 10
"""Problems of a check that are listed."""
MAX_EXCHANGES: Final = 3
"""Problems of a check that are shown with their requests and answers."""
MAX_BODY: Final = 600
"""Characters of a body; the JSON report has more."""
_LEAST: Final = 30
"""Columns that titles need beside the names of checks."""
_ENDLESS: Final = 10_000

_TELLING_HEADERS: Final = frozenset(
    {"authorization", "allow", "content-type", "etag", "if-none-match", "location", "retry-after",
     "www-authenticate"}
)  # fmt: skip


def print_report(console: Console, report: Report, masker: Masker, *, quiet: bool = False) -> None:
    """Print the tables, what is behind each failure, and a summary.

    If `quiet`, only what is wrong: failures, what could not be checked, what could not be deleted.
    """
    shown = [one for one in report.results if one.remarks != ("not selected",)]
    for offer_label, results in _by_plan(shown):
        run = [one for one in results if one.outcome is not Outcome.SKIPPED]
        if not quiet:
            _print_table(console, offer_label, run, masker)
        _print_skipped(console, offer_label, results, masker)
        if not quiet:
            console.print()
        for result in results:
            if result.outcome is Outcome.FAIL:
                _print_failure(console, result, masker)
    _print_failures(console, report, masker)
    if not quiet:
        _print_counts(console, shown)
    _print_left(console, report)
    if not quiet:
        console.print(f"{report.seconds:.1f} seconds")


def rule_table(checks: Iterable[Check]) -> str:
    """Return the list of all checks as a table in Markdown."""
    lines = ["| rules | level | since | check | title |", "|---|---|---|---|---|"]
    lines += [
        f"| {', '.join(one.rules)} | {one.level} | {one.since[0]}.{one.since[1]} "
        f"| `{one.name}` | {one.title} |"
        for one in checks
    ]
    return "\n".join(lines)


def _by_plan(results: list[Result]) -> list[tuple[str, list[Result]]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.offer.label if result.offer else "broker", []).append(result)
    return list(found.items())


def _print_table(console: Console, title: str, results: list[Result], masker: Masker) -> None:
    """Print what came of the checks, by name and title.

    A name is never broken: it is what `--only` and `--skip` take. Titles stand beside the names if
    there is room, else beneath them; what is no terminal has room.
    """
    width = console.width if console.is_terminal else _ENDLESS
    cells = [(one.check.rules[0], one.check.level, one.outcome, one.check.name) for one in results]
    columns = zip(("rule", "level", "result", "check"), *cells, strict=True)
    widths = [max(map(len, column)) for column in columns]
    needed = sum(widths) + 2 * len(widths)
    beside = width - needed >= _LEAST
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, size in zip(("rule", "level", "result", "check"), widths, strict=True):
        table.add_column(name, min_width=size)
    if beside:
        table.add_column("title")
    for (rule, level, outcome, name), result in zip(cells, results, strict=True):
        text = Text(result.check.title)
        if result.remarks:
            text.append(f" ({masker.text('; '.join(result.remarks))})", style="dim")
        named = [Text(name), text] if beside else [Text(f"{name}\n").append_text(text)]
        table.add_row(rule, level, Text(outcome, style=_style(result)), *named)
    before, console.width = console.width, max(width, needed)
    try:
        console.print(table)
    finally:
        console.width = before


def _style(result: Result) -> str:
    warning = result.outcome is Outcome.FAIL and result.check.level is not Level.MUST
    return "bold yellow" if warning else STYLES[result.outcome]


def _print_failure(console: Console, result: Result, masker: Masker) -> None:
    check = result.check
    heading = f"\n{check.level} {', '.join(check.rules)}: {check.title} [{check.name}]"
    console.print(Text(heading, style=_style(result)), soft_wrap=True)
    for number, problem in enumerate(result.problems[:MAX_PROBLEMS]):
        console.print(Text(f"  {masker.text(problem.text)}"), soft_wrap=True)
        for exchange in problem.exchanges if number < MAX_EXCHANGES else ():
            console.print(Text(_shown(exchange, masker), style="dim"), soft_wrap=True)
    if len(result.problems) > MAX_PROBLEMS:
        console.print(f"  and {len(result.problems) - MAX_PROBLEMS} more: see --json")
    console.print()


def _print_skipped(console: Console, title: str, results: list[Result], masker: Masker) -> None:
    reasons: dict[str, list[str]] = {}
    for result in results:
        if result.outcome is Outcome.SKIPPED:
            reasons.setdefault("; ".join(result.remarks), []).append(result.check.name)
    for reason, names in reasons.items():
        text = f"\n{title}: skipped, because {masker.text(reason)}:"
        console.print(Text(text, style=STYLES[Outcome.SKIPPED]), soft_wrap=True)
        listed = textwrap.fill(", ".join(names), 96, break_on_hyphens=False)
        console.print(Text(textwrap.indent(listed, "  ")), soft_wrap=True)


def _print_failures(console: Console, report: Report, masker: Masker) -> None:
    """List what fails once more, where whoever looks at the end of the output sees it."""
    for result in report.failed(*Level):
        where = f" ({result.offer.label})" if result.offer else ""
        more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
        console.print(
            Text(
                f"{result.check.level} {result.check.name}{where}: "
                f"{masker.text(result.problems[0].text)}{more}",
                style=_style(result),
            ),
            soft_wrap=True,
        )


def _shown(exchange: Exchange, masker: Masker) -> str:
    shown = masker.shown(exchange)
    request, answer = shown["request"], shown["answer"]
    lines = [f"> {request['method']} {request['target']}"]
    lines += [f"> {line}" for line in _telling(request["headers"])]
    lines += [f"> {_cut(request['body'])}"] if request["body"] is not None else []
    if answer is None:
        lines.append(f"< {shown['trouble']}")
    else:
        lines.append(f"< {answer['status']}")
        lines += [f"< {line}" for line in _telling(answer["headers"])]
        lines += [f"< {_cut(answer['body'])}"] if answer["body"] else []
    return textwrap.indent("\n".join(lines), "    ")


def _telling(headers: Mapping[str, str]) -> list[str]:
    """Return the headers that OSB, or whoever looks for a mistake, cares about."""
    return [
        f"{name}: {value}"
        for name, value in headers.items()
        if name.lower() in _TELLING_HEADERS or name.lower().startswith("x-broker-")
    ]


def _cut(body: str) -> str:
    return body if len(body) <= MAX_BODY else f"{body[:MAX_BODY]} ..."


def _print_counts(console: Console, shown: list[Result]) -> None:
    counted = Counter((one.check.level, one.outcome) for one in shown)
    console.print()
    for level in Level:
        parts = [f"{counted[level, one]} {one}" for one in Outcome if counted[level, one]]
        if parts:
            console.print(f"{level}: {', '.join(parts)}")


def _print_left(console: Console, report: Report) -> None:
    for left in report.left_behind:
        entry = left.entry
        where = f"{entry.binding} of instance {entry.instance}" if entry.binding else entry.instance
        console.print(
            Text(
                f"NOT DELETED: {entry.kind} {where} "
                f"(service {entry.service_id}, plan {entry.plan_id}): {left.reason}",
                style="bold red",
            ),
            soft_wrap=True,
        )
