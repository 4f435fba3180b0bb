"""`alibroker run` and `alibroker demo`, as a newcomer starts them; and starts that are refused."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from waiting import eventually
from world import PLACE, RDS

from alibroker.cli.processes import CONFIG, ROOT, free_port


class Run:
    """`alibroker run` as a process, and what it has printed."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if "ALIBROKER" not in name},
            "ALIBROKER_BIND": f"127.0.0.1:{self.port}",
            "ALIBROKER_SANDBOX_PORT": str(free_port()),
            "ALIBROKER_DATA_DIR": str(data_dir),
            "PYTHONUNBUFFERED": "1",
        }
        self.output = (data_dir.parent / f"run-{self.port}.txt").open("wb+")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "alibroker.cli.main", "run"],
            env=environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        eventually(lambda: "is ready at" in self.printed() or self.popen.poll(), timeout=60)
        printed = self.printed()
        self.url = re.search(r"is ready at (\S+)", printed)[1]  # type: ignore[index]
        self.user = (
            re.search(r"user +(\S+)", printed)[1],  # type: ignore[index]
            re.search(r"password +(\S+)", printed)[1],  # type: ignore[index]
        )

    def printed(self) -> str:
        return Path(self.output.name).read_text()

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        return requests.request(
            method,
            self.url + path,
            json=body,
            auth=self.user,
            headers={"X-Broker-API-Version": "2.17"},
            timeout=30,
        )

    def state(self, path: str) -> str:
        state: str = self.request("GET", f"{path}/last_operation").json()["state"]
        return state

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        self.popen.send_signal(number)
        self.popen.wait(60)
        self.output.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "data"
    directory.mkdir()
    yield directory
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(directory) in " ".join(process.cmdline()):
                process.kill()


def test_what_was_provisioned_is_there_again_after_ctrl_c(data_dir: Path) -> None:
    first = Run(data_dir)
    path = "/v2/service_instances/i1"
    answer = first.request("PUT", f"{path}?accepts_incomplete=true", {**RDS, **PLACE})
    assert answer.status_code == 202
    processes = first.processes()
    assert any("etcd" in one.name() for one in processes)

    first.stop()

    assert "Stopped." in Path(first.output.name).read_text()
    eventually(lambda: not any(one.is_running() for one in processes))
    second = Run(data_dir)
    eventually(lambda: second.state(path) == "succeeded", timeout=60)
    second.stop()


def test_nothing_outlives_a_launcher_that_is_killed(data_dir: Path) -> None:
    run = Run(data_dir)
    processes = run.processes()
    run.stop(signal.SIGKILL)
    eventually(lambda: not any(one.is_running() for one in processes), timeout=40)


def test_the_demo_is_right_in_every_step() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alibroker.cli.main", "demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every step was right." in done.stdout


CREDENTIALS = {
    "ALIBROKER_USERNAME": "u",
    "ALIBROKER_PASSWORD": "p",
    "ALIBROKER_REGION": "cn-hangzhou",
    "ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:9",
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "k",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s",
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ALIBROKER_USERNAME": ""}, "ALIBROKER_USERNAME"),
        ({"ALIBROKER_PASSWORD": ""}, "ALIBROKER_PASSWORD"),
        ({"ALIBROKER_REGION": ""}, "ALIBROKER_REGION"),
        (
            {"ALIBABA_CLOUD_ACCESS_KEY_ID": "", "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"},
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        ({"ALIBROKER_WORKERS": "0"}, "ALIBROKER_WORKERS"),
        ({"ALIBROKER_WORKERS": "many"}, "ALIBROKER_WORKERS"),
        ({"ALIBROKER_SEAL_KEY": "short"}, "ALIBROKER_SEAL_KEY"),
        ({"ALIBROKER_ETCD_ENDPOINTS": "http://127.0.0.1:1"}, "ALIBROKER_SEAL_KEY"),
        ({"ALIBROKER_BROKERS": "nosuch"}, "nosuch"),
    ],
)
def test_a_start_without_what_it_needs_is_refused_by_name(
    tmp_path: Path, change: dict[str, str], named: str
) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if "ALIBABA" not in name},
        **CREDENTIALS,
        "ALIBROKER_BIND": f"127.0.0.1:{free_port()}",
        "ALIBROKER_DATA_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        **change,
    }
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", str(CONFIG)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert named in done.stderr
    assert "alibroker does not start" in done.stderr
    assert "Traceback" not in done.stderr
