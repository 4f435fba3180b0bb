"""The real sandbox as a process on a free port, driven by the vendor's own SDKs."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
import requests
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from strict_xml import strict_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REGION = "cn-hangzhou"
KEY_ID = "testid"
SECRET = "testsecret"
VERSIONS = {"rds": "2014-08-15", "ram": "2015-05-01", "sts": "2015-04-01", "vpc": "2016-04-28"}
MYSQL = {
    "RegionId": REGION,
    "Engine": "MySQL",
    "EngineVersion": "8.0",
    "DBInstanceClass": "mysql.n2.medium.2c",
    "DBInstanceStorage": "20",
    "DBInstanceNetType": "Intranet",
    "SecurityIPList": "10.0.0.0/8",
    "PayType": "Postpaid",
}


@dataclass
class Caller:
    """Somebody with credentials, and the SDK clients made of them."""

    url: str
    key_id: str = KEY_ID
    secret: str = SECRET
    token: str = ""
    timeout: float = 30
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        credential = StsTokenCredential(self.key_id, self.secret, self.token)
        self.client = (
            AcsClient(region_id=REGION, credential=credential, timeout=self.timeout)
            if self.token
            else AcsClient(self.key_id, self.secret, REGION, timeout=self.timeout)
        )
        for product in ("Rds", "Ram", "Sts", "Vpc"):
            self.client.add_endpoint(REGION, product, self.url)

    def call(self, product: str, action: str, **parameters: Any) -> dict[str, Any]:
        """Call an RPC action; a double underscore in a name stands for a dot."""
        request = CommonRequest(domain=self.url, version=VERSIONS[product], action_name=action)
        request.set_method("POST")
        request.set_protocol_type("http")
        for name, value in parameters.items():
            if "Password" in name:
                request.add_body_params(name, value)
            else:
                request.add_query_param(name.replace("__", "."), str(value))
        return json.loads(self.client.do_action_with_exception(request))

    def refusal(self, product: str, action: str, **parameters: Any) -> str:
        """Return the error code of a call that must fail."""
        with pytest.raises(ServerException) as caught:
            self.call(product, action, **parameters)
        return str(caught.value.get_error_code())

    def create_instance(self, **changes: Any) -> str:
        """Create an instance; None removes a parameter."""
        wanted = {**MYSQL, **changes}
        given = {name: value for name, value in wanted.items() if value is not None}
        return str(self.call("rds", "CreateDBInstance", **given)["DBInstanceId"])

    @property
    def inside(self) -> str:
        """The URL that plays OSS's internal endpoint; the other serves no objects."""
        return self.url.replace("127.0.0.1", "localhost")

    def bucket(self, name: str, auth: type = oss2.AuthV4, **options: Any) -> oss2.Bucket:
        """Return an oss2 bucket, signed by this caller."""
        key = auth(self.key_id, self.secret)
        return oss2.Bucket(key, self.inside, name, region=REGION, **options)


@dataclass
class Sandbox:
    """A running process and its control API."""

    directory: Path
    options: tuple[str, ...]
    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> Self:
        """Start the process and wait for its line."""
        environment = {
            **os.environ,
            "SANDBOX_ACCESS_KEY_ID": KEY_ID,
            "SANDBOX_ACCESS_KEY_SECRET": SECRET,
        }
        command = [sys.executable, "-m", "alibroker.sandbox", "--port", str(self.port)]
        command += ["--data-dir", str(self.directory), "--verbose", *self.options]
        with (self.directory.parent / f"{self.directory.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        self.url = json.loads(line)["url"]
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill_and_restart(self) -> None:
        """Kill the process as hard as possible and start it again on the same directory."""
        self.port = int(self.url.rpartition(":")[2])
        self.stop(signal.SIGKILL)
        self.start()

    def log(self) -> str:
        """Return what the process wrote to stderr."""
        return (self.directory.parent / f"{self.directory.name}.log").read_text()

    @property
    def owner(self) -> Caller:
        """The account's owner."""
        return Caller(self.url)

    def control(self, method: str, path: str, content: Any = None) -> Any:
        """Use the control API, which must agree."""
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=content, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def fault(self, action: str, kind: str, **more: Any) -> str:
        """Arm a fault and return its id."""
        fault = {"action": action, "kind": kind, **more}
        return str(self.control("POST", "faults", fault)["id"])

    @contextlib.contextmanager
    def settings(self, **changes: Any) -> Iterator[None]:
        """Change settings for a while."""
        before = self.control("GET", "settings")
        self.control("PUT", "settings", changes)
        try:
            yield
        finally:
            self.control("PUT", "settings", {name: before[name] for name in changes})


@pytest.fixture(scope="session", autouse=True)
def _no_proxies() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        for name in ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def sandbox(_no_proxies: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without delays, shared by all tests: they use names of their own."""
    started = Sandbox(tmp_path_factory.mktemp("shared") / "data", ("--time-scale", "0"))
    started.start()
    started.control("PUT", "settings", {"instance_quota": 100_000, "bucket_quota": 10_000})
    yield started
    assert started.stop() == 0


@pytest.fixture
def start(_no_proxies: None, tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes of one's own."""
    started: list[Sandbox] = []

    def start_one(*options: str) -> Sandbox:
        fresh = Sandbox(tmp_path / f"data-{len(started)}", options)
        started.append(fresh)
        return fresh.start()

    yield start_one
    for one in started:
        if one.process.poll() is None:
            one.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Both SDKs forget to close sockets: of answers that nobody read and of calls that failed.
    # And a cloud is also known by what it refuses.
    here = pathlib.Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
            item.add_marker(pytest.mark.refusals)


@pytest.fixture(scope="module", autouse=True)
def _sdk_leftovers() -> Iterator[None]:
    """Collect those sockets before the tests of another folder begin."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def owner(sandbox: Sandbox) -> Caller:
    return sandbox.owner


@pytest.fixture
def as_caller() -> Callable[..., Caller]:
    return Caller


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Make a name that no other test has."""
    return lambda prefix: f"{prefix}{os.urandom(6).hex()}"


@pytest.fixture
def bucket(owner: Caller, unique: Callable[[str], str]) -> oss2.Bucket:
    """An empty bucket of the account's owner."""
    made = owner.bucket(unique("bucket-"))
    made.create_bucket()
    return made


@pytest.fixture
def client(owner: Caller) -> Iterator[oss_v2.Client]:
    """The account's owner with the newer of the two SDKs, which passes nothing over."""
    keys = oss_v2.credentials.StaticCredentialsProvider(owner.key_id, owner.secret)
    with strict_xml():
        yield oss_v2.Client(
            oss_v2.Config(
                region="cn-hangzhou",
                endpoint=owner.inside,
                credentials_provider=keys,
                use_path_style=True,
            )
        )


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Poll until a function returns something true, ignoring the cloud's refusals meanwhile."""

    def poll(ask: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            try:
                last = ask()
            except (ServerException, oss2.exceptions.OssError) as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(0.02)
        pytest.fail(f"not within {seconds} s: {last!r}")

    return poll
