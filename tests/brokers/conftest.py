"""A local Alibaba Cloud as a process, and brokers and drivers that use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from identities import Owner

from alibroker.brokers.api import Broker
from alibroker.brokers.driver import Driver
from alibroker.brokers.oss import create_broker as create_oss_broker
from alibroker.brokers.rds import create_broker as create_rds_broker

KEY = {"ID": "testid", "SECRET": "testsecret"}


class Sandbox:
    """The sandbox process, and what its control API tells."""

    def __init__(self) -> None:
        # No proxy variables: the cloud's SDK would send calls to loopback addresses there.
        environment = {
            name: value for name, value in os.environ.items() if "PROXY" not in name.upper()
        }
        environment |= {f"SANDBOX_ACCESS_KEY_{name}": value for name, value in KEY.items()}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self._process = subprocess.Popen(
            [sys.executable, "-m", "alibroker.sandbox", "--port", "0", "--time-scale", "0.002"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self._session = requests.Session()
        self._session.trust_env = False

    def stop(self) -> None:
        self._session.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def control(self, method: str, path: str, content: Any = None) -> Any:
        answer = self._session.request(
            method, f"{self.url}/sandbox/{path}", json=content, timeout=10
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def fault(self, action: str, kind: str, **details: Any) -> None:
        """Have a call to `action` end badly; `when` is before or after it takes effect."""
        self.control("POST", "faults", {"action": action, "kind": kind, **details})

    @property
    def inside(self) -> str:
        """The URL that plays OSS's internal endpoint; the other serves no objects."""
        return self.url.replace("127.0.0.1", "localhost")

    def hits(self) -> int:
        """Return how often a fault has hit."""
        return sum(fault["hit"] for fault in self.control("GET", "faults")["faults"])

    def settings(self, **changes: Any) -> None:
        self.control("PUT", "settings", changes)

    def calls(self) -> dict[str, int]:
        """Return how often each action was called, by `product:Action`."""
        return {
            f"{product}:{action}": count
            for product, actions in self.control("GET", "counters")["calls"].items()
            for action, count in actions.items()
        }

    @property
    def inventory(self) -> Any:
        return self.control("GET", "inventory")

    @property
    def databases(self) -> list[Any]:
        found: list[Any] = self.inventory["rds"]["instances"]
        return found

    @property
    def buckets(self) -> list[Any]:
        return [bucket for bucket in self.inventory["oss"]["buckets"] if bucket["mine"]]

    @property
    def ram(self) -> tuple[list[Any], list[Any]]:
        """Return the users and the policies."""
        found = self.inventory["ram"]
        return found["users"], found["policies"]

    @property
    def empty(self) -> bool:
        """Whether nothing is left that a broker could have created."""
        return not (self.databases or self.buckets or self.ram[0] or self.ram[1])


@pytest.fixture(scope="session")
def processes() -> Iterator[list[Sandbox]]:
    """Keep a sandbox from test to test."""
    running: list[Sandbox] = []
    yield running
    for sandbox in running:
        sandbox.stop()


@pytest.fixture(scope="session")
def default_settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def sandbox(processes: list[Sandbox], default_settings: dict[str, Any]) -> Sandbox:
    """Return a sandbox with nothing in it and no faults: the last one if it is, else a new one."""
    if processes and not processes[-1].empty:
        processes.pop().stop()
    if not processes:
        processes.append(Sandbox())
        default_settings.clear()
        default_settings.update(processes[-1].control("GET", "settings"))
    sandbox = processes[-1]
    sandbox.control("DELETE", "faults")
    sandbox.control("DELETE", "counters")
    sandbox.settings(**default_settings)
    return sandbox


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the settings of a broker for the sandbox, quick and without a rate limit."""
    return {
        "ALIBROKER_REGION": "cn-hangzhou",
        "ALIBROKER_CLOUD_ENDPOINT": sandbox.url,
        "ALIBROKER_OSS_ENDPOINT": "internal",
        "ALIBROKER_CLOUD_RATE": "unlimited",
        "ALIBROKER_POLL_INTERVAL": "0.05",
        "ALIBROKER_SETTLE_SECONDS": "0.6",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY["ID"],
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY["SECRET"],
    }


@pytest.fixture
def other_key(sandbox: Sandbox) -> dict[str, str]:
    """Return the settings that give a broker a key of the cloud's second account."""
    found = sandbox.control("POST", "second-account")
    return {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": found["access_key_id"],
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": found["access_key_secret"],
    }


Drive = Callable[..., Driver]
Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Return a function with which the account's owner calls RAM."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    client = AcsClient(KEY["ID"], KEY["SECRET"], "cn-hangzhou")

    def send(action: str, **parameters: str) -> dict[str, Any]:
        request = CommonRequest(domain=sandbox.url, version="2015-05-01", action_name=action)
        request.set_method("POST")
        request.set_protocol_type("http")
        for name, value in parameters.items():
            request.add_query_param(name, value)
        answer: dict[str, Any] = json.loads(client.do_action_with_exception(request))
        return answer

    yield send
    client.session.close()


def _driver(create: Callable[[dict[str, str]], Broker], environment: dict[str, str]) -> Any:
    brokers: list[Broker] = []

    def drive(**arguments: Any) -> Driver:
        changes = {name: arguments.pop(name) for name in list(arguments) if name.isupper()}
        brokers.append(create(environment | changes))
        return Driver(brokers[-1], **arguments)

    yield drive
    for broker in brokers:
        broker.close()


@pytest.fixture
def rds(environment: dict[str, str]) -> Iterator[Drive]:
    """Return a function that makes drivers of the RDS broker."""
    yield from _driver(create_rds_broker, environment)


@pytest.fixture
def oss(environment: dict[str, str]) -> Iterator[Drive]:
    """Return a function that makes drivers of the OSS broker."""
    yield from _driver(create_oss_broker, environment)


@pytest.fixture
def owner(sandbox: Sandbox, call: Call) -> Owner:
    sandbox.settings(time_scale=0.0)
    return Owner(call)
