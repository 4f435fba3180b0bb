"""What the Go program that came before got wrong about buckets, each shown to be gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.driver import Driver
from alibroker.brokers.oss import create_broker

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]

DEFAULT = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SELF_DEFINE = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"


@pytest.fixture
def beijing(tmp_path: Path) -> Iterator[str]:
    """A cloud in another region than the broker's."""
    environment = {name: text for name, text in os.environ.items() if "PROXY" not in name.upper()}
    environment |= {"SANDBOX_ACCESS_KEY_ID": "testid", "SANDBOX_ACCESS_KEY_SECRET": "testsecret"}
    command = [sys.executable, "-m", "alibroker.sandbox", "--port", "0", "--time-scale", "0"]
    with subprocess.Popen(
        [*command, "--region", "cn-beijing", "--data-dir", str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)


def test_credentials_name_the_bucket_s_region_not_the_broker_s(
    beijing: str, environment: dict[str, str]
) -> None:
    broker = create_broker(environment | {"ALIBROKER_CLOUD_ENDPOINT": beijing})
    driver = Driver(broker)
    driver.provision("i", SELF_DEFINE, Region="cn-beijing")
    assert driver.bind("i", "b").credentials["region"] == "cn-beijing"
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    broker.close()


def test_no_group_is_made_and_no_bucket_is_named_after_its_instance(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    driver.provision("my-instance", DEFAULT)
    driver.bind("my-instance", "b")
    inventory: Any = sandbox.inventory
    assert inventory["ram"]["groups"] == []
    assert "my-instance" not in sandbox.buckets[0]["name"]
    assert "oss:ListBuckets" not in sandbox.calls()
    driver.unbind("my-instance", "b")
    driver.deprovision("my-instance")


def test_the_end_user_s_own_key_is_neither_needed_nor_used(
    oss: Drive, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    driver = oss()
    key = {"AccessKeyId": "LTAInobody", "AccessKeySecret": "of-an-end-user"}
    assert isinstance(driver.provision("i", DEFAULT, **key).end, Succeeded)
    assert isinstance(driver.bind("i", "b").end, Succeeded)
    assert "of-an-end-user" not in caplog.text + str(sandbox.inventory)
    assert "of-an-end-user" not in str(driver.resource("i")) + str(driver.resource("i", "b"))
    driver.unbind("i", "b")
    driver.deprovision("i")


def test_a_key_does_not_stay_when_a_later_step_of_its_bind_fails(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    driver.provision("i", DEFAULT)
    sandbox.fault("ListObjects", "error", status=400, code="InvalidArgument", message="a fault")
    assert isinstance(driver.bind("i", "b").end, Failed)
    assert len(sandbox.ram[0][0]["keys"]) == 1
    # As the engine does after a failed bind.
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert sandbox.ram == ([], [])
    driver.deprovision("i")
    assert sandbox.empty
