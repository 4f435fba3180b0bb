"""The report for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable

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


def print_report(console: Console, report: Report, masker: Masker) -> None:
    """Print the table, what is behind each failure, and a summary."""
    shown = [one for one in report.results if one.remarks != ("not selected",)]
    for offer_label, results in _by_plan(shown):
        console.print(_table(offer_label, results, masker))
        for result in results:
            if result.outcome is Outcome.FAIL:
                _print_failure(console, result, masker)
    _print_summary(console, report, shown)


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


def _table(title: str, results: list[Result], masker: Masker) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("rule", no_wrap=True)
    table.add_column("level", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("check", overflow="fold")
    for result in results:
        title_cell = Text(result.check.title)
        if result.remarks:
            title_cell.append(f" ({masker.text('; '.join(result.remarks))})", style="dim")
        table.add_row(
            result.check.rules[0],
            result.check.level,
            Text(result.outcome, style=_style(result)),
            title_cell,
        )
    return table


def _style(result: Result) -> str:
    warning = result.outcome is Outcome.FAIL and result.check.level is not Level.MUST
    return "bold yellow" if warning else STYLES[result.outcome]


def _print_failure(console: Console, result: Result, masker: Masker) -> None:
    check = result.check
    heading = f"\n{check.level} {', '.join(check.rules)}: {check.title} [{check.name}]"
    console.print(Text(heading, style=_style(result)), soft_wrap=True)
    for problem in result.problems:
        console.print(Text(f"  {masker.text(problem.text)}"), soft_wrap=True)
        for exchange in problem.exchanges:
            console.print(Text(_shown(exchange, masker), style="dim"), soft_wrap=True)
    console.print()


def _shown(exchange: Exchange, masker: Masker) -> str:
    shown = masker.shown(exchange)
    request, answer = shown["request"], shown["answer"]
    lines = [f"> {request['method']} {request['target']}"]
    lines += [f"> {name}: {value}" for name, value in request["headers"].items()]
    lines += [f"> {request['body']}"] if request["body"] is not None else []
    if answer is None:
        lines.append(f"< {shown['trouble']}")
    else:
        lines.append(f"< {answer['status']}")
        lines += [f"< {name}: {value}" for name, value in answer["headers"].items()]
        lines += [f"< {answer['body']}"] if answer["body"] else []
    return textwrap.indent("\n".join(lines), "    ")


def _print_summary(console: Console, report: Report, shown: list[Result]) -> None:
    counted = Counter((one.check.level, one.outcome) for one in shown)
    console.print()
    for level in Level:
        parts = [f"{counted[level, one]} {one}" for one in Outcome if counted[level, one]]
        if parts:
            console.print(f"{level}: {', '.join(parts)}")
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
    console.print(f"{report.seconds:.1f} seconds")
