"""The RDS broker's plans: what they publish, and instances that follow a plan that has changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import alibroker.brokers.rds as package
from alibroker.brokers.api import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

SMALL = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"
LARGE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1d"
CATALOG = Path(package.__file__).with_name("catalog.yaml")
SETTINGS = '{engine_version: "8.0", instance_class: mysql.n2.small.2c, storage: 20}'


def test_every_plan_says_who_bills_and_what_maintenance_does(rds: Drive) -> None:
    for offering in rds().broker.offerings():
        for plan in offering.plans:
            assert any("billed by Alibaba Cloud" in one for one in plan.metadata["bullets"])
            assert "costs" not in plan.metadata, "prices are the operator's to say"
            assert plan.maintenance_info["version"] == "1.0.0"
            assert len(plan.maintenance_info["description"]) > 20


@pytest.fixture
def changed(rds: Drive, tmp_path: Path) -> Callable[..., Driver]:
    """Return a function that makes a broker whose small plan has other settings."""

    def change(before: Driver, **settings: Any) -> Driver:
        text = CATALOG.read_text()
        assert text.count(SETTINGS) == 1
        new = {"engine_version": "8.0", "instance_class": "mysql.n2.small.2c", "storage": 20}
        path = tmp_path / "catalog.yaml"
        path.write_text(text.replace(SETTINGS, str(new | settings)))
        driver = rds(ALIBROKER_RDS_CATALOG=str(path), twice=before.twice)
        driver.instances, driver.bindings = before.instances, before.bindings
        return driver

    return change


@pytest.mark.parametrize("twice", [False, True])
def test_maintenance_makes_an_instance_what_its_plan_says_now(
    rds: Drive, sandbox: Sandbox, changed: Callable[..., Driver], *, twice: bool
) -> None:
    before = rds(twice=twice)
    before.provision("i", SMALL)
    driver = changed(before, instance_class="mysql.n2.medium.2c", storage=40)
    assert isinstance(driver.update("i").end, Succeeded)
    (found,) = sandbox.databases
    assert (found["class"], found["storage"]) == ("mysql.n2.medium.2c", 40)
    assert driver.resource("i")["instance_class"] == "mysql.n2.medium.2c"
    driver.deprovision("i")


def test_maintenance_of_what_is_so_already_changes_nothing(rds: Drive, sandbox: Sandbox) -> None:
    driver = rds()
    driver.provision("i", SMALL)
    sandbox.control("DELETE", "counters")
    assert isinstance(driver.update("i").end, Succeeded)
    assert sandbox.calls() == {"rds:DescribeDBInstanceAttribute": 1}
    driver.deprovision("i")


def test_another_change_does_not_bring_maintenance_along(
    rds: Drive, sandbox: Sandbox, changed: Callable[..., Driver]
) -> None:
    before = rds()
    before.provision("i", SMALL)
    driver = changed(before, instance_class="mysql.n2.medium.2c")
    assert isinstance(driver.update("i", AllowedIPs=["10.0.0.0/8"]).end, Succeeded)
    assert sandbox.databases[0]["class"] == "mysql.n2.small.2c"
    driver.deprovision("i")


def test_maintenance_that_cannot_be_done_says_so(
    rds: Drive, sandbox: Sandbox, changed: Callable[..., Driver]
) -> None:
    before = rds()
    before.provision("i", SMALL)
    for version, storage in (("5.7", 20), ("5.7", 40)):
        driver = changed(before, engine_version=version, storage=storage)
        end = driver.update("i").end
        assert isinstance(end, Failed)
        assert "version" in end.reason
        assert not end.update_repeatable
    assert sandbox.databases[0]["storage"] == 20
    before.deprovision("i")


def test_what_has_grown_by_hand_does_not_shrink(
    rds: Drive, sandbox: Sandbox, changed: Callable[..., Driver]
) -> None:
    before = rds()
    before.provision("i", SMALL)
    bigger = changed(before, storage=60)
    assert isinstance(bigger.update("i").end, Succeeded)
    driver = rds()
    driver.instances = bigger.instances
    assert isinstance(driver.update("i").end, Succeeded)
    assert sandbox.databases[0]["storage"] == 60
    assert isinstance(driver.update("i", LARGE).end, Succeeded)
    (found,) = sandbox.databases
    assert (found["storage"], found["class"]) == (60, "mysql.n2.medium.2c")
    driver.deprovision("i")


def test_another_plan_counts_from_what_the_instance_really_is(
    rds: Drive, sandbox: Sandbox, changed: Callable[..., Driver]
) -> None:
    before = rds()
    before.provision("i", SMALL)
    # By now the catalog gives both plans the same class, which this instance has not.
    driver = changed(before, instance_class="mysql.n2.medium.2c")
    assert isinstance(driver.update("i", LARGE).end, Succeeded)
    assert sandbox.databases[0]["class"] == "mysql.n2.medium.2c"
    driver.deprovision("i")
