"""What differs between engines, and where instances are placed; all simulated."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from alibroker.brokers import rds as package
from alibroker.brokers.api import Failed, OperationKind, Succeeded
from alibroker.brokers.catalog import Catalog, CatalogError
from alibroker.brokers.contract import checked
from alibroker.brokers.driver import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

SMALL = "rds-427559f1-bf2a-45d3-8844-32374a3e58aa"
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"
POSTGRESQL = "rds-c6619a96-b791-54fc-83f1-4cdec1144aea"
MARIADB = "rds-eccd8844-5803-50dd-bcfc-a0d0a4c98b8c"
SQLSERVER = "rds-6db8ed51-e8d5-5f4f-ba43-858c7fe27e07"
DOCUMENTATION = Path(package.__file__).parents[2] / "docs" / "rds.md"


def reason(operation: Operation) -> str:
    assert isinstance(operation.end, Failed), operation.steps
    return operation.end.reason


def plans(driver: Driver) -> list[Any]:
    return [plan for offering in driver.broker.offerings() for plan in offering.plans]


def test_every_plan_can_be_bought_bound_and_given_back(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds(timeout=120)
    ids = [plan.id for plan in plans(driver)]
    assert len(ids) == len(set(ids)) == 14
    ended = driver.run([driver.ordered(plan_id, plan_id) for plan_id in ids])
    assert [one.end for one in ended if not isinstance(one.end, Succeeded)] == []
    ended = driver.run([driver.binding(plan_id, "b") for plan_id in ids])
    assert [one.end for one in ended if not isinstance(one.end, Succeeded)] == []
    assert len(sandbox.databases) == 14
    unbind, deprovision = OperationKind.UNBIND, OperationKind.DEPROVISION
    driver.run([Operation(unbind, plan_id, "b") for plan_id in ids])
    # PostgreSQL keeps what its accounts may be needed for, SQL Server its first one; they go with
    # their instances.
    left = [(one["engine"], account) for one in sandbox.databases for account in one["accounts"]]
    assert {(engine, account["type"], account["status"]) for engine, account in left} == {
        ("PostgreSQL", "Normal", "Lock"),
        ("SQLServer", "Super", "Available"),
    }
    driver.run([Operation(deprovision, plan_id) for plan_id in ids])
    assert sandbox.empty


@pytest.mark.parametrize(
    ("plan_id", "access", "privilege", "scheme", "jdbc", "host"),
    [
        (SMALL, "read-only", "ReadOnly", "mysql", "jdbc:mysql://", "mysql"),
        (MARIADB, "ddl", "DDLOnly", "mysql", "jdbc:mariadb://", "mariadb"),
        (POSTGRESQL, "read-write", "DBOwner", "postgresql", "jdbc:postgresql://", "pg"),
        (SQLSERVER, "read-only", "ReadOnly", "sqlserver", "jdbc:sqlserver://", "sqlserver"),
        (SQLSERVER, "ddl", "DBOwner", "sqlserver", "jdbc:sqlserver://", "sqlserver"),
    ],
)
def test_access_and_credentials_are_the_engines_own(
    rds: Drive,
    sandbox: Sandbox,
    plan_id: str,
    access: str,
    privilege: str,
    scheme: str,
    jdbc: str,
    host: str,
) -> None:
    driver = rds()
    driver.provision("i", plan_id)
    found = driver.bind("i", "b", Access=access, Database="shop").credentials
    place = f"{found['host']}:{found['port']}"
    login = f"{found['username']}:{found['password']}"
    assert found["uri"] == f"{scheme}://{login}@{place}/shop"
    assert found["jdbcUrl"].startswith(f"{jdbc}{place}")
    assert "shop" in found["jdbcUrl"]
    assert found["host"].endswith(f".{host}.rds.aliyuncs.com")
    (account,) = [one for one in sandbox.databases[0]["accounts"] if one["type"] == "Normal"]
    assert account["name"] == found["username"]
    assert account["grants"] == {"shop": privilege}
    driver.unbind("i", "b")
    assert ("rds:RevokeAccountPrivilege" in sandbox.calls()) is (plan_id != POSTGRESQL)
    driver.deprovision("i")


def test_endpoints_say_where_the_database_is(rds: Drive) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    end = driver.bind("i", "b").end
    assert isinstance(end, Succeeded)
    assert end.credentials is not None
    host = end.credentials["host"]
    assert end.endpoints == ({"host": host, "ports": ["3306"], "protocol": "tcp"},)
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("plan_id", "parameters", "text"),
    [
        (POSTGRESQL, {"Access": "read-only"}, "Access"),
        (POSTGRESQL, {"Username": "pgfan"}, "reserved"),
        (SMALL, {"Username": "root"}, "reserved"),
        (SMALL, {"Username": "x" * 17}, "Username"),
        (SMALL, {"Database": "mysql"}, "Database"),
    ],
)
def test_what_the_engine_does_not_know_is_refused_before_the_cloud_is_asked(
    rds: Drive, sandbox: Sandbox, plan_id: str, parameters: dict[str, str], text: str
) -> None:
    driver = rds()
    driver.provision("i", plan_id)
    sandbox.control("DELETE", "counters")
    assert text in reason(driver.bind("i", "b", **parameters))
    assert sandbox.calls() == {}
    driver.deprovision("i")


def test_one_bind_takes_six_calls_at_most_at_the_clouds_pace(rds: Drive, sandbox: Sandbox) -> None:
    # A hundredth of real time for both: accounts take 2 to 10 s, grants 1 to 5 s, a look is due
    # every 6 s.
    driver = rds(ALIBROKER_POLL_INTERVAL="0.12")
    driver.provision("i", SMALL)
    for number in range(5):
        sandbox.settings(time_scale=0.02)
        sandbox.control("DELETE", "counters")
        assert driver.bind("i", f"b{number}").credentials
        # The database, too, is created then, and a grant on it may have to wait for it.
        assert sum(sandbox.calls().values()) <= 6 + (number == 0)
        sandbox.settings(time_scale=0.0)
        driver.unbind("i", f"b{number}")
    driver.deprovision("i")


@pytest.mark.parametrize("count", [1, 100])
def test_one_provision_takes_four_calls_at_most(rds: Drive, sandbox: Sandbox, count: int) -> None:
    # A hundredth of the cloud's pace, and of the usual interval.
    driver = rds(ALIBROKER_POLL_INTERVAL="0.15", ALIBROKER_SETTLE_SECONDS="1.2")
    driver.provision("first", SMALL)  # networks are looked at every ten minutes
    driver.deprovision("first")
    sandbox.settings(time_scale=0.01)
    sandbox.control("DELETE", "counters")
    driver.run([driver.ordered(f"i{number}", SMALL) for number in range(count)])
    assert sum(sandbox.calls().values()) <= 4 * count
    sandbox.settings(time_scale=0.0)
    driver.run([Operation(OperationKind.DEPROVISION, f"i{number}") for number in range(count)])
    assert sandbox.empty


def test_a_place_is_chosen_once_and_for_all(rds: Drive, sandbox: Sandbox) -> None:
    account = sandbox.inventory["account"]
    driver = rds()
    operation = driver.ordered("i", SMALL, ZoneId="cn-hangzhou-j")
    driver.step(operation)
    assert driver.resource("i")["place"] == {
        "vpc_id": account["vpc"],
        "vswitch_id": account["vswitches"]["cn-hangzhou-j"],
        "zone_id": "cn-hangzhou-j",
        "network_type": "VPC",
    }
    sandbox.fault("DescribeVSwitches", "error", code="Forbidden.RAM", times=None)
    driver.run([operation])
    assert sandbox.databases[0]["zone"] == "cn-hangzhou-j"
    driver.deprovision("i")


def test_without_permission_to_look_at_networks_rds_chooses_and_nobody_gets_in(
    rds: Drive, sandbox: Sandbox
) -> None:
    sandbox.fault("DescribeVpcs", "error", code="Forbidden.RAM", times=None)
    driver = rds()
    assert isinstance(driver.provision("i", SMALL).end, Succeeded)
    assert sandbox.databases[0]["allow_lists"] == {"default": ["127.0.0.1"]}
    driver.deprovision("i")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"ZoneId": "cn-hangzhou-x"}, "cn-hangzhou-h"),
        ({"StorageType": "cloud_essd2", "Storage": 40}, "500 GB"),
        ({"Class": "mysql.n2.medium.2c", "Category": "Basic"}, "HighAvailability"),
    ],
)
def test_what_cannot_be_bought_is_said_before_anything_is_ordered(
    rds: Drive, sandbox: Sandbox, parameters: dict[str, Any], text: str
) -> None:
    driver = rds()
    assert text in reason(driver.provision("i", SELF_DEFINE, **parameters))
    assert "rds:CreateDBInstance" not in sandbox.calls()
    assert isinstance(driver.deprovision("i").end, Succeeded)


def test_an_instance_can_be_protected_from_its_first_moment(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL, DeletionProtection=True)
    assert "deletion protection" in reason(driver.deprovision("i"))
    assert sandbox.databases[0]["status"] == "Running"
    driver.update("i", DeletionProtection=False)
    assert isinstance(driver.deprovision("i").end, Succeeded)


def test_the_whole_internet_is_never_let_in(rds: Drive) -> None:
    found = Catalog([checked(rds().broker)])
    for address in ("0.0.0.0/0", "0.0.0.0", "128.0.0.0/1", "::/0"):  # noqa: S104
        for plan in plans(rds()):
            for kind in (OperationKind.PROVISION, OperationKind.UPDATE):
                text = found.check_parameters(plan.id, kind, {"AllowedIPs": [address]})
                assert text is not None
                assert "AllowedIPs" in text


PLAN = {
    "name": "p",
    "id": "p",
    "description": "P",
    "maximum_polling_duration": 60,
    "settings": {"engine_version": "8.0", "instance_class": "mysql.n2.small.1", "storage": 20},
}


def written(path: Path, **changes: Any) -> Path:
    plan = {**PLAN, "settings": {**PLAN["settings"], **changes}}  # type: ignore[dict-item]
    service = {"name": "mine", "id": "m", "description": "M", "bindable": True, "plans": [plan]}
    path.write_text(yaml.safe_dump({"services": [service]}))
    return path


def test_operators_may_give_several_files(rds: Drive, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.yaml")
    theirs = Path(package.__file__).with_name("postgresql.yaml")
    broker = rds(ALIBROKER_RDS_CATALOG=f"{mine}, {theirs}").broker
    assert [one.name for one in broker.offerings()] == ["mine", "alibaba-cloud-rds-postgresql"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"engine": "Oracle"}, "engine is none of MySQL"),
        ({"storage": 7}, "multiple of 5"),
        ({"colour": "red"}, "colour"),
        ({"storage": "much"}, r"storage"),
    ],
)
def test_a_plan_that_cannot_be_bought_is_found_at_start(
    rds: Drive, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    path = written(tmp_path / "mine.yaml", **changes)
    with pytest.raises(CatalogError, match=text) as caught:
        rds(ALIBROKER_RDS_CATALOG=str(path))
    lines = path.read_text().splitlines()
    named = re.search(r"mine\.yaml, line (\d+)", str(caught.value))
    assert named
    assert "description: P" in lines[int(named[1]) - 1]  # where the plan begins
    assert "plan 'p'" in str(caught.value)


def test_every_plan_and_every_parameter_is_in_the_documentation(rds: Drive) -> None:
    text = DOCUMENTATION.read_text()
    for plan in plans(rds()):
        assert f"`{plan.name}`" in text
        for resource in plan.schemas.values():
            for verb in resource.values():
                for name in verb["parameters"]["properties"]:
                    assert f"`{name}`" in text
