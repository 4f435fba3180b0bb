"""The command itself: options, exit codes, reports, secrets, and leaving nothing behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from model_broker import PASSWORD, USER, ModelBroker
from model_catalog import SECRET
from rich.console import Console
from waiting import eventually

from alibroker.cli.main import main
from alibroker.conformance import progress
from alibroker.conformance.command import PASSWORD as VARIABLE
from alibroker.conformance.masking import Masker
from alibroker.conformance.results import Outcome, Report, Result
from alibroker.conformance.rules import all_checks
from alibroker.conformance.table import print_report

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("--service", "vault", "--poll-interval", "0.001", "--timeout", "10")

Serve = Callable[[Any], str]


def test_the_list_names_every_check_and_is_the_one_in_the_documentation() -> None:
    listed = CliRunner().invoke(main, ["conformance", "--list"]).stdout
    assert all(f"`{check.name}`" in listed for check in all_checks())
    assert listed.strip() in (ROOT / "docs" / "conformance.md").read_text()


def test_names_of_checks_are_unique() -> None:
    names = [check.name for check in all_checks()]
    assert len(names) == len(set(names))


def test_before_anything_is_created_the_command_says_how_much(
    reach_inside: Serve, conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker()), *OPTIONS)
    first = run.result.stderr.splitlines()[0]
    assert first == "vault/small: will create up to 3 instances and 5 bindings, and delete them"
    lamp = conform(reach_inside(ModelBroker()), "--service", "lamp", "--only", "CAT-1")
    assert "up to 0 instances and 0 bindings" in lamp.result.stderr


def test_only_what_the_selected_checks_need_is_created(serve_wsgi: Serve, conform: Any) -> None:
    broker = ModelBroker()
    run = conform(serve_wsgi(broker), *OPTIONS, "--only", "CAT-1,LI-6", "--skip", "UNB-3")
    results = {one["check"]: one["result"] for one in run.document["results"]}
    assert results["catalog-is-an-object-with-services"] == "pass"
    assert results["polls-of-unknown-instances-are-not-found"] == "pass"
    assert results["provision-is-accepted"] == "skipped"
    broker = ModelBroker()
    conform(serve_wsgi(broker), *OPTIONS, "--only", "VER-2,auth-3", exit_code=0)
    assert broker.ended == {}


def test_all_services_are_walked_through_unless_one_is_named(
    reach_inside: Serve, conform: Any
) -> None:
    broker = ModelBroker()
    run = conform(reach_inside(broker), *OPTIONS[2:], exit_code=0)
    assert [one["plan"] for one in run.document["plans"]] == ["small", "bright"]
    unbindable = {
        one["result"]
        for one in run.document["results"]
        if one["check"] == "bind-is-accepted" and one["plan"] == "bright"
    }
    assert unbindable == {"not applicable"}
    run = conform(reach_inside(broker), *OPTIONS, "--plan", "large", exit_code=0)
    assert [one["plan"] for one in run.document["plans"]] == ["large"]
    assert broker.things == {}


def test_failures_of_should_count_only_if_strict(reach_inside: Serve, conform: Any) -> None:
    url = reach_inside(ModelBroker("no-echo"))
    assert conform(url, *OPTIONS, exit_code=0).document["conformant"] is True
    assert conform(url, *OPTIONS, "--strict", exit_code=1).document["conformant"] is False


def test_failfast_stops_at_the_first_must(serve_wsgi: Serve, conform: Any) -> None:
    broker = ModelBroker("version-500")
    run = conform(serve_wsgi(broker), *OPTIONS, "--failfast", exit_code=1)
    assert run.failed("MUST") == {"garbage-as-version-breaks-nothing"}
    assert run.outcome("provision-is-accepted") == "skipped"
    assert broker.ended == {}


def test_checks_of_later_versions_are_not_applicable(reach_inside: Serve, conform: Any) -> None:
    run = conform(reach_inside(ModelBroker()), *OPTIONS, "--api-version", "2.13", exit_code=0)
    assert run.failed() == set(), run.explain()
    later = {one["result"] for one in run.document["results"] if one["since"] > "2.13"}
    assert later == {"not applicable"}


def test_the_json_report_has_the_documented_form(reach_inside: Serve, conform: Any) -> None:
    run = conform(reach_inside(ModelBroker("version-500")), *OPTIONS)
    assert set(run.document) == {
        "format",
        "url",
        "api_version",
        "started_at",
        "seconds",
        "interrupted",
        "conformant",
        "plans",
        "summary",
        "results",
        "left_behind",
    }
    assert run.document["format"] == 1
    assert {one["check"] for one in run.document["results"]} == {c.name for c in all_checks()}
    (failure,) = [
        one
        for one in run.document["results"]
        if one["check"] == "garbage-as-version-breaks-nothing"
    ]
    assert set(failure) == {
        "check",
        "rules",
        "level",
        "since",
        "theme",
        "title",
        "service",
        "plan",
        "result",
        "remarks",
        "problems",
    }
    exchange = failure["problems"][0]["exchanges"][0]
    assert exchange["request"]["method"] == "GET"
    assert exchange["request"]["target"] == "/v2/catalog"
    assert exchange["answer"]["status"] == 500
    summary = run.document["summary"]
    assert summary["must"]["fail"] == 1
    assert set(summary["must"]) == {"pass", "fail", "not_applicable", "skipped"}


def test_json_on_standard_output_is_alone_there(serve_wsgi: Serve) -> None:
    url = serve_wsgi(ModelBroker())
    arguments = ["conformance", "--url", url, "--user", USER, "--only", "CAT-1", "--json", "-"]
    result = CliRunner().invoke(main, arguments, env={VARIABLE: PASSWORD})
    assert json.loads(result.stdout)["conformant"] is True
    assert "CAT-1" in result.stderr


@pytest.mark.parametrize(
    "fault",
    [
        "credentials-early",
        "drain-unpermitted",
        "credentials-text",
        "dashboard-secret",
        "any-password",
    ],
)
def test_no_secret_is_shown(reach_inside: Serve, conform: Any, tmp_path: Path, fault: str) -> None:
    broker = ModelBroker(fault)
    secrets = '{"masterPassword": "hunter-222"}'
    run = conform(reach_inside(broker), *OPTIONS, "--parameters", secrets)
    shown = run.result.output + (tmp_path / "report.json").read_text()
    assert run.failed()
    hidden = {thing.secret for thing in broker.ended.values()} | {SECRET, PASSWORD, "hunter-222"}
    assert len(hidden) > 5
    assert not any(secret in shown for secret in hidden)
    assert "Authorization: Basic ***" in shown or fault == "dashboard-secret"


def test_what_fails_is_listed_at_the_end_and_shown_a_few_times(
    reach_inside: Serve, conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker("403")), *OPTIONS, exit_code=1)
    where, end = run.result.stdout.split("MUST AUTH-3: Bad credentials are answered with 401")
    shown, end = end.split("\n\n", 1)
    assert "AUTH-3" in where
    assert shown.count("> Authorization: Basic ***") == 3
    assert shown.count("403 Refused, not 401") == 10
    (listed,) = [one for one in end.splitlines() if one.startswith("MUST bad-credentials")]
    assert listed.endswith("catalog with a wrong password: 403 Refused, not 401 (and 9 more)")


def test_quiet_is_silent_where_all_is_well(reach_inside: Serve, conform: Any) -> None:
    run = conform(reach_inside(ModelBroker()), *OPTIONS, "--quiet", exit_code=0)
    assert run.result.output == ""
    assert {one["result"] for one in run.document["results"]} == {"pass", "not applicable"}


def test_quiet_shows_what_is_wrong_and_nothing_else(reach_inside: Serve, conform: Any) -> None:
    run = conform(reach_inside(ModelBroker("version-500")), *OPTIONS, "-q", exit_code=1)
    assert run.result.stderr == ""
    output = run.result.stdout
    assert "MUST garbage-as-version-breaks-nothing" in output
    shown = {one["check"] for one in run.document["results"] if f"{one['check']}" in output}
    assert shown == run.failed()
    run = conform(reach_inside(ModelBroker("no-room")), *OPTIONS, "-q", exit_code=1)
    assert "vault/small: skipped, because the instance was not created" in run.result.stdout
    run = conform(reach_inside(ModelBroker("creation-cannot-stop")), *OPTIONS, "-q", exit_code=1)
    assert "NOT DELETED: instance" in run.result.stdout


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_the_table_names_the_checks_however_narrow_it_is(width: int) -> None:
    results = [Result(one, None, Outcome.PASS, remarks=("a remark",)) for one in all_checks()]
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    print_report(console, Report(results, [], [], False, 0.0, 0.0), Masker())
    lines = [line.split() for line in file.getvalue().splitlines()]
    for one in all_checks():
        assert any(one.name in line for line in lines)


def test_the_table_is_a_line_a_check_where_it_is_no_terminal(
    reach_inside: Serve, conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker()), *OPTIONS)
    lines = [line for line in run.result.stdout.splitlines() if " bindings-can-be-rotated " in line]
    assert len(lines) == 1
    assert lines[0].rstrip().endswith("A binding of a rotatable plan can be followed by another")


def test_what_lasts_says_so(
    serve_wsgi: Serve, conform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SLOW", 0.05)
    options = ("--service", "vault", "--poll-interval", "0.02", "--only", "bindings-can-be-rotated")
    notes = conform(serve_wsgi(ModelBroker()), *options, exit_code=0).result.stderr
    assert "  bindings-can-be-rotated: 0 s so far; the broker says: in progress" in notes
    assert "  not there yet: 0 s so far" in notes
    quiet = conform(serve_wsgi(ModelBroker()), *options, "--quiet", exit_code=0)
    assert quiet.result.output == ""


def test_what_is_skipped_is_named_with_what_the_broker_says(
    reach_inside: Serve, conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker("no-room")), *OPTIONS, exit_code=1)
    reason = "the instance was not created: 400 Refused (No room in the house.)"
    assert f"vault/small: skipped, because {reason}:\n" in run.result.stdout
    skipped = {
        one["check"]
        for one in run.document["results"]
        if one["result"] == "skipped" and one["remarks"] == [reason]
    }
    assert skipped >= {"instances-can-be-fetched", "bind-is-accepted", "orphans-can-be-deleted"}


def test_what_cannot_be_deleted_is_named(reach_inside: Serve, conform: Any) -> None:
    broker = ModelBroker("creation-cannot-stop")
    run = conform(reach_inside(broker), *OPTIONS, exit_code=1)
    left = [(one["instance_id"], one["binding_id"] or "") for one in run.document["left_behind"]]
    assert left
    assert set(left) == set(broker.things)
    for instance, binding in left:
        assert f"NOT DELETED: {'binding' if binding else 'instance'}" in run.result.stdout
        assert instance in run.result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cleans_up(
    serve_wsgi: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    broker = ModelBroker()
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "alibroker.cli.main", "conformance", *OPTIONS[:2]]
    # Polls that are far apart: the run is waiting for its first instance when it is interrupted.
    command += ["--url", serve_wsgi(broker), "--user", USER, "--poll-interval", "0.05"]
    with subprocess.Popen(
        [*command, "--json", str(report)],
        cwd=ROOT,
        env={**os.environ, VARIABLE: PASSWORD},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            eventually(lambda: any(thing.running for thing in broker.things.values()), timeout=30)
            process.send_signal(number)
            output, notes = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, notes
    assert "Interrupted: cleaning up" in notes
    assert broker.things == {}
    document = json.loads(report.read_text())
    assert document["interrupted"] is True
    assert document["left_behind"] == []
    assert "interrupted" in output


def test_a_run_that_breaks_down_cleans_up(
    serve_wsgi: Serve, conform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = ModelBroker()

    def break_down(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("alibroker.conformance.rules.creating.is_running", break_down)
    with pytest.raises(MemoryError):
        conform(serve_wsgi(broker), *OPTIONS)
    assert broker.ended
    assert broker.things == {}


def failure(*arguments: str, password: str | None = PASSWORD) -> str:
    """Return the text of a run that has to end with exit code 2."""
    result = CliRunner().invoke(
        main, ["conformance", "--user", USER, *arguments], env={VARIABLE: password}
    )
    assert result.exit_code == 2, result.output
    return result.stderr


def test_what_cannot_be_checked_at_all_ends_with_2(serve_wsgi: Serve, tmp_path: Path) -> None:
    url = serve_wsgi(ModelBroker())
    assert "does not let the user in" in failure("--url", url, password="wrong")
    assert f"Set {VARIABLE}" in failure("--url", url, password=None)
    assert "cannot be reached" in failure("--url", "http://127.0.0.1:1")
    assert "404" in failure("--url", f"{url}/elsewhere")
    assert "no service 'x'" in failure("--url", url, "--service", "x")
    assert "no plan 'x'" in failure("--url", url, "--plan", "x")
    assert "no rule or check 'X-1'" in failure("--url", url, "--only", "X-1")
    assert "2.13 or later" in failure("--url", url, "--api-version", "2.12")
    assert "not a JSON object" in failure("--url", url, "--parameters", str(_file(tmp_path, "[]")))
    assert "not valid JSON" in failure("--url", url, "--parameters", "{")
    assert "use --user" in failure("--url", "http://user:secret@127.0.0.1:1")
    assert "http" in failure("--url", "ftp://127.0.0.1")


def test_the_password_can_be_in_a_file(serve_wsgi: Serve, tmp_path: Path) -> None:
    path = _file(tmp_path, PASSWORD + "\n")
    arguments = ["--user", USER, "--password-file", str(path), "--only", "CAT-1"]
    result = CliRunner().invoke(
        main, ["conformance", "--url", serve_wsgi(ModelBroker()), *arguments], env={VARIABLE: None}
    )
    assert result.exit_code == 0, result.output


def _file(directory: Path, text: str) -> Path:
    path = directory / "input"
    path.write_text(text, "utf-8")
    return path
