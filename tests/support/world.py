"""The broker, its etcd and the sandbox as real processes, and a platform that talks to them."""

from __future__ import annotations

import contextlib
import signal
import uuid
from pathlib import Path
from typing import Any

import psutil
import requests
from history import History
from waiting import eventually

from alibroker.actors.settings import EngineSettings
from alibroker.cli.processes import Broker, Sandbox, free_port
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.sealing import Sealer

KEY = ("LTAItestowner", "test-owner-secret")
USER = ("platform", "platform-password")
OPERATOR = ("operator", "operator-password")

RDS = {
    "service_id": "rds-997b8372-8dac-40ac-ae65-758b4a5075a5",
    "plan_id": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c",
}
POSTGRES = {
    "service_id": "rds-96b779ee-e629-5cbc-a0ee-53a613f1f9cf",
    "plan_id": "rds-434599f1-3a4b-5c9d-ae12-804329c0839a",
}
OSS = {
    "service_id": "oss-997b8372-8dac-40ac-ae65-758b4a502222",
    "plan_id": "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221",
}
PLACE = {"organization_guid": "org-1", "space_guid": "space-1"}
LONGEST_PAUSE = 0.1
"""Seconds between looks at what is not over yet: a poll takes 3 ms of CPU of the machine."""


class World:
    """One broker in front of one sandbox, with their data in one directory."""

    history: History | None = None
    """Takes down what is asked and answered, if there is one."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.log = (directory / "broker.log").open("ab")
        self.sandbox_port = free_port()
        self.sandbox = self._start_sandbox()
        self.settings = {
            **self.sandbox.settings(),
            "ALIBROKER_BIND": f"127.0.0.1:{free_port()}",
            "ALIBROKER_REGION": "cn-hangzhou",
            "ALIBROKER_DATA_DIR": str(directory / "data"),
            "ALIBROKER_USERNAME": USER[0],
            "ALIBROKER_PASSWORD": USER[1],
            "ALIBROKER_OPERATOR_USERNAME": OPERATOR[0],
            "ALIBROKER_OPERATOR_PASSWORD": OPERATOR[1],
            "ALIBROKER_POLL_INTERVAL": "0.1",
            "ALIBROKER_SETTLE_SECONDS": "3",
            "ALIBROKER_CLOUD_RATE": "unlimited",
            **settings,
        }
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = USER
        self.session.headers["X-Broker-API-Version"] = "2.17"
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        try:
            self._start_broker()
        except BaseException:
            self.sandbox.process.stop()
            self.log.close()
            raise

    def _start_sandbox(self) -> Sandbox:
        options = ("--time-scale", "0.002", "--instance-quota", "100000")
        return Sandbox(self.directory / "sandbox", key=KEY, port=self.sandbox_port, options=options)

    def _start_broker(self) -> None:
        self.broker = Broker(self.settings, stderr=self.log)
        self.broker.wait_until_ready()

    def _stop_broker(self) -> None:
        self.broker.process.stop()

    @property
    def url(self) -> str:
        """Where the platform reaches the broker."""
        return self.broker.url

    @property
    def operator_url(self) -> str:
        """Where its operator does."""
        return self.broker.url

    @property
    def logs(self) -> list[Path]:
        """What the broker writes its log to."""
        return [self.directory / "broker.log"]

    # -- as a platform -------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None, **query: str) -> requests.Response:
        """Send a request, again if the broker is not there just now."""

        def attempt() -> list[requests.Response]:  # for an answer that says no is false
            with contextlib.suppress(requests.ConnectionError):
                answer = self.request_once(method, path, body, **query)
                if answer.status_code != 503:
                    return [answer]
            return []

        found: list[requests.Response] = eventually(attempt, timeout=60, longest=LONGEST_PAUSE)
        return found[0]

    def request_once(
        self, method: str, path: str, body: Any = None, **query: str
    ) -> requests.Response:
        """Send a request.

        Raises:
            requests.ConnectionError: the broker is not there, or gone before it has answered.
        """

        def send() -> requests.Response:
            url = self.url + path
            return self.session.request(method, url, json=body, params=query, timeout=60)

        if self.history is None:
            return send()
        return self.history.send(method, path, body, query, send)

    def start(self, kind: str, offer: dict[str, Any], instance: str, binding: str = "b") -> int:
        """Ask for an operation; returns the status. The offer of an update is its body."""
        path = f"/v2/service_instances/{instance}"
        if kind in ("bind", "unbind"):
            path += f"/service_bindings/{binding}"
        if kind == "update":
            answer = self.request("PATCH", path, offer, accepts_incomplete="true")
        elif kind in ("provision", "bind"):
            body = {**offer, **PLACE} if kind == "provision" else offer
            answer = self.request("PUT", path, body, accepts_incomplete="true")
        else:
            answer = self.request("DELETE", path, None, **offer, accepts_incomplete="true")
        return answer.status_code

    def end(self, kind: str, instance: str, binding: str = "b", timeout: float = 90) -> str:
        """Poll until the operation has ended; returns its state."""
        path = f"/v2/service_instances/{instance}"
        if kind in ("bind", "unbind"):
            path += f"/service_bindings/{binding}"

        def state() -> str:
            answer = self.request("GET", f"{path}/last_operation")
            assert answer.status_code == 200, answer.text
            found: str = answer.json()["state"]
            return found if found != "in progress" else ""

        ended: str = eventually(state, timeout=timeout, longest=LONGEST_PAUSE)
        return ended

    def do(self, kind: str, offer: dict[str, str], instance: str, binding: str = "b") -> None:
        """Walk an operation to its good end."""
        status = self.start(kind, offer, instance, binding)
        assert status in (200, 202), f"{kind} of {instance}: {status}"
        if status == 202:
            state = self.end(kind, instance, binding)
            assert state == "succeeded", f"{kind} of {instance}: {state}"

    def credentials(self, instance: str, binding: str = "b") -> dict[str, Any]:
        """Fetch a binding's credentials."""
        path = f"/v2/service_instances/{instance}/service_bindings/{binding}"
        found: dict[str, Any] = self.request("GET", path).json()["credentials"]
        return found

    # -- as the broker's operator --------------------------------------------------------------

    def survey(self) -> list[dict[str, Any]]:
        """Have the broker itself compare the cloud with its records; returns what it found."""
        url = f"{self.operator_url}/operator/survey"
        asked_at = requests.post(url, json={}, auth=OPERATOR, timeout=30).json()["asked_at"]

        def taken() -> list[dict[str, Any]]:
            report = requests.get(url, auth=OPERATOR, timeout=30).json()
            return [report] if report["taken_at"] >= asked_at else []

        (report,) = eventually(taken, timeout=120)
        assert report["failures"] == {}
        found: list[dict[str, Any]] = report["findings"]
        return found

    # -- as the cloud's owner ------------------------------------------------------------------

    def inventory(self) -> dict[str, list[dict[str, Any]]]:
        """Return what exists in the cloud: instances, buckets, users, policies."""
        report = self.sandbox.control("GET", "inventory")
        return {
            "instances": report["rds"]["instances"],
            "buckets": [one for one in report["oss"]["buckets"] if one["mine"]],
            "users": report["ram"]["users"],
            "policies": report["ram"]["policies"],
        }

    @property
    def store(self) -> str:
        """Where the store is reached without the broker's ways."""
        return EmbeddedEtcd(Path(self.settings["ALIBROKER_DATA_DIR"]) / "etcd").endpoint

    def sealer(self) -> Sealer:
        """Return what opens the secrets in the store."""
        return EngineSettings(data_dir=Path(self.settings["ALIBROKER_DATA_DIR"])).sealer()

    def left(self) -> dict[str, list[str]]:
        """Return the names of what exists in the cloud."""
        return {
            kind: [str(one.get("id") or one.get("name")) for one in some]
            for kind, some in self.inventory().items()
            if some
        }

    # -- as fate -------------------------------------------------------------------------------

    def worker(self) -> psutil.Process:
        """Return gunicorn's worker process."""

        def find() -> psutil.Process | None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.broker.process.pid).children():
                    if "alibroker.etcd.keeper" not in child.cmdline():
                        return child
            return None

        found: psutil.Process = eventually(find)
        return found

    def etcd(self) -> psutil.Process:
        """Return the broker's etcd process."""

        def find() -> psutil.Process | None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.broker.process.pid).children(recursive=True):
                    if child.name() == "etcd" and child.status() != psutil.STATUS_ZOMBIE:
                        return child
            return None

        found: psutil.Process = eventually(find)
        return found

    def kill_worker(self) -> None:
        """SIGKILL gunicorn's worker; the master starts another."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.worker().send_signal(signal.SIGKILL)

    def kill_all_of_broker(self) -> None:
        """SIGKILL master, worker, keeper and etcd at once, and start all anew."""
        master = psutil.Process(self.broker.process.pid)
        for one in [master, *master.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.broker.process.wait()
        self._start_broker()

    def kill_sandbox(self) -> None:
        """SIGKILL the sandbox and start it anew on the same data and port."""
        self.sandbox.process.kill()
        self.sandbox = self._start_sandbox()

    def stop(self) -> None:
        """Stop all."""
        self._stop_broker()
        self.sandbox.process.stop()
        self.session.close()
        self.log.close()


def new_id() -> str:
    """Return an id for an instance or a binding."""
    return str(uuid.uuid4())
