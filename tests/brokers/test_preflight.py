"""What is asked of the cloud before the first provision, and what comes of each thing amiss."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from identities import documented

from alibroker.brokers.alibabacloud.preflight import clock
from alibroker.brokers.api import Check, CheckState, Preflight
from alibroker.brokers.oss import create_broker as create_oss_broker
from alibroker.brokers.oss.preflight import FEATURES as OF_RAM
from alibroker.brokers.rds import create_broker as create_rds_broker
from alibroker.brokers.rds.preflight import FEATURES
from alibroker.cli.main import main

if TYPE_CHECKING:
    from conftest import Sandbox
    from identities import Owner, Row

PAGE = Path(__file__).parents[2] / "docs" / "rds.md"
CREATE = {"oss": create_oss_broker, "rds": create_rds_broker}


def of_rds() -> set[str]:
    """Return the actions that the page about RDS names, as in policies."""
    section = (
        PAGE.read_text().split("## What the broker's RAM identity may do")[1].split("\n## ")[0]
    )
    table = section.split("| --- | --- |")[1]
    named = re.findall(r"(vpc:)?\b((?:[A-Z][a-z]+[A-Z]|Tag|List)\w+)\b", table)
    actions = {f"{prefix or 'rds:'}{action}" for prefix, action in named}
    return {one for one in actions if one != "rds:PostgreSQL"}


def checks(environment: dict[str, str], *names: str, **changes: str) -> dict[str, Check]:
    """Return what the brokers find, by subject."""
    found: dict[str, Check] = {}
    for name in names or CREATE:
        broker = CREATE[name](environment | changes)
        assert isinstance(broker, Preflight)
        for one in broker.preflight():
            found.setdefault(one.subject, one)
        broker.close()
    return found


def wrong(found: dict[str, Check]) -> dict[str, Check]:
    return {name: one for name, one in found.items() if one.state is CheckState.FAILED}


def everything(without: set[str] = frozenset()) -> list[Row]:  # type: ignore[assignment] # empty
    rows: list[Row] = [("RDS", sorted(of_rds() - without), "*")]
    for feature, actions, resource in documented():
        rows.append((feature, [one for one in actions if one not in without], resource))
    return [row for row in rows if row[1]]


def test_what_the_documents_allow_is_all_that_is_needed(
    environment: dict[str, str], sandbox: Sandbox, owner: Owner
) -> None:
    before = sandbox.inventory
    found = checks(environment, **owner.identity(everything()))
    assert {name: one for name, one in found.items() if one.state is not CheckState.OK}.keys() == {
        "RDS: region",  # DescribeRegions is for this check alone
        "OSS: may create buckets, users and policies",
    }
    owner.clean()
    assert sandbox.inventory == before
    assert f"account {before['account']['id']}, acs:ram:" in found["credentials"].detail
    tried = {f"rds:{probe.action}" for probes in FEATURES.values() for probe in probes}
    others = {"rds:CreateDBInstance", "rds:DescribeDBInstances"}
    assert tried | others == {one for one in of_rds() if one.startswith("rds:")}
    tried = {f"ram:{probe.action}" for probes in OF_RAM.values() for probe in probes}
    others = {"ram:CreateUser", "ram:CreatePolicy", "ram:ListUsers", "ram:ListPolicies"}
    documents = {action for _, actions, _ in documented() for action in actions}
    assert tried | others == {one for one in documents if one.startswith("ram:")}


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        ("rds:CreateAccount", "RDS: may create accounts and databases"),
        ("rds:DeleteDBInstance", "RDS: may delete instances"),
        ("rds:ModifyBackupPolicy", "RDS: may set backups"),
        ("rds:CreateDBInstance", "RDS: plan alibaba-cloud-rds-mysqldb rds-mysql-t1-small"),
        ("vpc:DescribeVpcs", "RDS: network"),
        ("ram:CreateAccessKey", "RAM: may give users keys"),
        ("ram:ListPolicies", "RAM: policies"),
        ("oss:ListBuckets", "OSS: buckets of the region"),
    ],
)
def test_a_permission_that_is_missing_is_named(
    environment: dict[str, str], owner: Owner, action: str, subject: str
) -> None:
    found = checks(environment, **owner.identity(everything({action})))
    owner.clean()
    assert subject in wrong(found)
    assert action.split(":")[1] in found[subject].detail
    assert action in found[subject].remedy


def test_what_the_broker_can_do_without_is_a_warning(
    environment: dict[str, str], owner: Owner
) -> None:
    found = checks(environment, "rds", **owner.identity(everything({"rds:LockAccount"})))
    owner.clean()
    assert found["RDS: may retire accounts"].state is CheckState.WARNING
    assert not wrong(found)


def test_a_role_is_one_of_the_account_that_buckets_are_in(
    environment: dict[str, str], sandbox: Sandbox
) -> None:
    mine = sandbox.inventory["account"]["id"]
    other = sandbox.control("POST", "second-account")["id"]
    subject = "OSS: role of temporary keys"
    for account, name, why in ((other, "SandboxNodeRole", mine), (mine, "no", "AssumeRole")):
        role = f"acs:ram::{account}:role/{name}"
        found = checks(environment, "oss", ALIBROKER_OSS_ROLE=role)[subject]
        assert found.state is CheckState.FAILED
        assert why in found.detail
        assert f"ALIBROKER_OSS_ROLE to a role of account {mine}" in found.remedy


@pytest.mark.parametrize(
    ("changes", "subject", "remedy"),
    [
        ({"ALIBABA_CLOUD_ACCESS_KEY_SECRET": "wrong"}, "credentials", "ALIBABA_CLOUD_ACCESS_KEY"),
        ({"ALIBABA_CLOUD_ACCESS_KEY_ID": "wrong"}, "credentials", "ALIBABA_CLOUD_ACCESS_KEY"),
        ({"ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:1"}, "credentials", "ALIBROKER_REGION"),
        ({"ALIBROKER_REGION": "cn-nowhere"}, "RDS: region", "ALIBROKER_REGION"),
        ({"ALIBROKER_VPC_ID": "vpc-none"}, "RDS: network", "ALIBROKER_VPC_ID"),
        ({"ALIBROKER_VSWITCH_ID": "vsw-none"}, "RDS: network", "ALIBROKER_VSWITCH_ID"),
        ({"ALIBROKER_ZONE_ID": "cn-hangzhou-x"}, "RDS: network", "ALIBROKER_ZONE_ID"),
        ({"ALIBROKER_OSS_ENDPOINT": "http://127.0.0.1:1"}, "OSS: endpoint", "OSS_ENDPOINT"),
        ({"ALIBROKER_OSS_ROLE": "acs:ram::1:role/no"}, "OSS: role of temporary keys", "OSS_ROLE"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_that_is_wrong_is_named(
    environment: dict[str, str], changes: dict[str, str], subject: str, remedy: str
) -> None:
    found = checks(environment, **changes)
    assert subject in wrong(found)
    assert remedy in found[subject].remedy


def test_what_is_sold_out_is_found_plan_by_plan(
    environment: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.settings(out_of_stock=["mysql.n2.medium.2c"])
    found = checks(environment, "rds")
    plans = ("rds-mysql-s2-large", "rds-self-define")
    assert wrong(found).keys() == {f"RDS: plan alibaba-cloud-rds-mysqldb {name}" for name in plans}
    assert all("stock" in one.remedy for one in wrong(found).values())
    assert sandbox.empty


def test_a_plan_that_another_zone_has_is_well(
    environment: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.settings(out_of_stock=["cn-hangzhou-h"])
    found = checks(environment, "rds")
    assert not wrong(found)
    assert "in cn-hangzhou-i" in found["RDS: plan alibaba-cloud-rds-mysqldb rds-self-define"].detail


@pytest.mark.parametrize("zone", ["", "cn-hangzhou-h"])
def test_what_an_instance_costs_is_asked_for_where_it_will_be(
    environment: dict[str, str], zone: str
) -> None:
    broker = create_rds_broker(environment | {"ALIBROKER_ZONE_ID": zone})
    assert isinstance(broker, Preflight)
    price = broker.price(broker.offerings()[0].plans[0].id)
    assert price is not None
    assert price.amount > 0
    broker.close()


def test_no_call_is_lost_to_a_limit_of_calls(environment: dict[str, str], sandbox: Sandbox) -> None:
    sandbox.fault("CreateDBInstance", "error", code="Throttling.User", status=400)
    sandbox.fault("DeleteAccount", "error", code="Throttling.User", status=400)
    assert not wrong(checks(environment, "rds"))
    assert sandbox.hits() == 2


@pytest.fixture
def late_server() -> Iterator[str]:
    """Serve a clock that is an hour behind."""

    class Late(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", self.date_time_string(self.server.now))  # type: ignore[attr-defined] # set below
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late)
    server.now = time.time() - 3600  # type: ignore[attr-defined] # read above
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_clock_that_is_wrong_is_seen(late_server: str, sandbox: Sandbox) -> None:
    assert clock(sandbox.url).state is CheckState.OK
    found = clock(late_server)
    assert found.state is CheckState.FAILED
    assert "time server" in found.remedy


def run(environment: dict[str, str], *arguments: str) -> Any:
    return CliRunner().invoke(main, ["check", *arguments], env={**environment, "PATH": ""})


def test_the_command_says_it_in_a_table_in_json_and_in_its_exit_code(
    environment: dict[str, str],
) -> None:
    fine = run(environment, "--json")
    assert fine.exit_code == 0, fine.output
    assert {one["state"] for one in json.loads(fine.stdout)} == {"ok", "warning", "unknown"}
    bad = run({**environment, "ALIBROKER_VPC_ID": "vpc-none"}, "--quiet")
    assert bad.exit_code == 1
    assert "there is no VPC vpc-none in cn-hangzhou; remedy: set ALIBROKER_VPC_ID" in bad.stdout
    assert "RDS: region" not in bad.stdout
    none = run({**environment, "ALIBROKER_REGION": ""})
    assert none.exit_code == 1
    assert "set ALIBROKER_REGION to the id of a region" in none.stdout
