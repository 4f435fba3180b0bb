"""Whole lives on request: they end clean whatever happens, and tell where two clouds differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.alibabacloud.transcript import Transcript
from alibroker.brokers.contract import checked
from alibroker.brokers.driver import Driver
from alibroker.brokers.rds import create_broker
from alibroker.cli.main import main
from alibroker.cli.trial import PREFIX, live

if TYPE_CHECKING:
    from conftest import Sandbox

PLAN = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"


def run(environment: dict[str, str], *arguments: str, said: str = "") -> Any:
    return CliRunner().invoke(main, arguments, env=environment, input=said)


@pytest.fixture
def record(environment: dict[str, str], tmp_path: Path, sandbox: Sandbox) -> Path:
    """Have one of each live, and return what was written down."""
    file = tmp_path / "record.json"
    done = run(environment, "check", "--spend", "--yes", "--quiet", "--record", str(file))
    assert done.exit_code == 0, done.output
    assert "rds: an instance of rds-mysql-t1-small (0.22 CNY an hour)" in done.output
    assert sandbox.empty
    return file


def test_a_record_tells_what_happened_and_no_secret(
    record: Path, environment: dict[str, str]
) -> None:
    text = record.read_text()
    lives = {life["plan"]: life for life in json.loads(text)["lives"]}
    assert lives.keys() == {"default", "rds-mysql-t1-small"}
    for life in lives.values():
        names = [phase["name"].split()[0] for phase in life["phases"]]
        assert names == ["provision", "bind", "update", "unbind", "deprovision"]
        assert {phase["outcome"] for phase in life["phases"]} == {"succeeded"}
    create = lives["rds-mysql-t1-small"]["phases"][1]["calls"]
    assert "AccountPassword" in next(
        one["parameters"] for one in create if one["action"] == "CreateAccount"
    )
    assert environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] not in text
    # Values are nowhere but for states.
    assert "cn-hangzhou-" not in text
    assert '"DBInstanceStatus": "Running"' in text


def test_the_sandbox_is_like_itself_and_a_difference_is_named(
    record: Path, environment: dict[str, str]
) -> None:
    changed = json.loads(record.read_text())
    bind = next(life for life in changed["lives"] if life["plugin"] == "rds")["phases"][1]
    account = next(call for call in bind["calls"] if call["action"] == "DescribeAccounts")
    account["answer"]["Accounts"]["DBInstanceAccount"][0]["AccountStatus"] = "Brandnew"
    create = next(call for call in bind["calls"] if call["action"] == "CreateAccount")
    create |= {"code": "InvalidAccountPassword.Format", "kind": "failed"}
    record.write_text(json.dumps(changed))
    found = run(environment, "compare", str(record))
    assert found.exit_code == 1
    place = "rds rds-mysql-t1-small: rds"
    status = "field Accounts.DBInstanceAccount[].AccountStatus"
    # Which of the states in between are seen is a matter of moments.
    lines = found.stdout.splitlines()
    assert [one for one in lines if "Brandnew" in one or "Status = " not in one] == [
        f"{place}:CreateAccount: code InvalidAccountPassword.Format only here",
        f"{place}:CreateAccount: code OK only there",
        f"{place}:DescribeAccounts: {status} = Brandnew only here",
    ]


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text("{}")
    assert "is no record of a trial" in run({}, "compare", str(file)).output


def test_nothing_is_spent_without_a_yes(environment: dict[str, str], sandbox: Sandbox) -> None:
    plan = ("--plan", "rds-mysql-s2-large")
    refused = run(environment, "check", "--spend", *plan, said="n\n")
    assert refused.exit_code == 1
    assert "rds-mysql-s2-large (0.42 CNY an hour)" in refused.output
    unknown = run(environment, "check", "--spend", "--plan", "no-such", "--yes")
    assert "No plan of this name is offered: no-such" in unknown.output
    assert sandbox.empty


@pytest.mark.parametrize("action", ["CreateAccount", "DeleteAccount"])
def test_after_a_failure_all_is_removed(
    environment: dict[str, str], sandbox: Sandbox, action: str
) -> None:
    # The check before has a call of it, too.
    sandbox.fault(action, "error", code="Surprise", status=400, times=2)
    plan = ("--plan", "rds-mysql-t1-small")
    failed = run(environment, "check", "--spend", "--yes", *plan)
    assert failed.exit_code == 1
    assert "Surprise" in failed.output
    assert sandbox.empty


def test_an_interrupted_life_is_ended(environment: dict[str, str], sandbox: Sandbox) -> None:
    _, cloud = connect(environment)
    plugin = checked(create_broker(environment))
    plan = plugin.offerings[0].plans[0]

    def say(text: str) -> None:
        if text.startswith("bind: ") and sandbox.databases[0]["accounts"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live(plugin, plan, Transcript(), say)
    assert sandbox.empty
    plugin.broker.close()
    del cloud


def test_what_a_kill_left_is_removed_by_the_next_trial(
    environment: dict[str, str], sandbox: Sandbox
) -> None:
    broker = create_broker(environment)
    driver = Driver(broker)
    driver.provision(f"{PREFIX}left", PLAN)
    driver.bind(f"{PREFIX}left", "b")
    driver.provision("somebody-elses", PLAN)
    done = run(environment, "check", "--spend", "--yes", "--quiet", "--plan", "rds-mysql-t1-small")
    assert done.exit_code == 0, done.output
    (left,) = sandbox.databases
    assert left["id"] == driver.resource("somebody-elses")["instance_id"]
    driver.deprovision("somebody-elses")
    broker.close()
