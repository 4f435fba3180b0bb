"""How many calls the RDS broker makes while much is in progress at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from alibroker.brokers.api import OperationKind, Succeeded
from alibroker.brokers.driver import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

SMALL = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c"
PACE = {"ALIBROKER_POLL_INTERVAL": "0.15", "ALIBROKER_SETTLE_SECONDS": "1.2"}
"""The usual intervals by a hundred, for a cloud at a hundredth of its pace."""


@pytest.mark.parametrize("count", [1, 100])
def test_a_provision_costs_four_calls_at_most_on_average(
    rds: Drive, sandbox: Sandbox, count: int
) -> None:
    driver = rds(**PACE)
    sandbox.settings(time_scale=0.01)
    ordered = [driver.ordered(f"i{number}", SMALL) for number in range(count)]
    driver.run(ordered)
    assert all(isinstance(operation.end, Succeeded) for operation in ordered)
    calls = Counter(sandbox.calls())
    assert calls["rds:CreateDBInstance"] == count
    of_rds = sum(made for action, made in calls.items() if action.startswith("rds:"))
    assert of_rds <= 4 * count, calls
    of_vpc = sum(made for action, made in calls.items() if action.startswith("vpc:"))
    assert of_vpc <= 3, "networks are remembered"
    sandbox.settings(time_scale=0.0)
    driver.run([Operation(OperationKind.DEPROVISION, f"i{number}") for number in range(count)])
    assert sandbox.empty
