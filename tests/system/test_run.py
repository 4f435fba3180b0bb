"""`alibroker run` and `alibroker demo`, as a newcomer starts them; and starts that are refused."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest
import requests
from waiting import eventually
from world import PLACE, RDS

from alibroker.cli.processes import CONFIG, ROOT, free_port

_numbers = itertools.count()


class Run:
    """`alibroker run` as a process, and what it has printed."""

    def __init__(self, data_dir: Path, settings: dict[str, str] | None = None) -> None:
        self.settings = settings or {
            "ALIBROKER_BIND": f"127.0.0.1:{free_port()}",
            "ALIBROKER_SANDBOX_PORT": str(free_port()),
            "ALIBROKER_DATA_DIR": str(data_dir),
            "PYTHONUNBUFFERED": "1",
        }
        others = {name: value for name, value in os.environ.items() if "ALIBROKER" not in name}
        self.output = (data_dir.parent / f"run-{next(_numbers)}.txt").open("wb+")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "alibroker.cli.main", "run"],
            env={**others, **self.settings},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def ready(self) -> Self:
        eventually(lambda: "is ready at" in self.printed() or self.popen.poll(), timeout=60)
        exports = dict(re.findall(r"export (\w+)=(\S+)", self.printed()))
        self.url = exports["ALIBROKER_URL"]
        self.user = exports["ALIBROKER_USERNAME"], exports["ALIBROKER_PASSWORD"]
        return self

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
    first = Run(data_dir).ready()
    path = "/v2/service_instances/i1"
    answer = first.request("PUT", f"{path}?accepts_incomplete=true", {**RDS, **PLACE})
    assert answer.status_code == 202
    processes = first.processes()
    assert any("etcd" in one.name() for one in processes)

    first.stop()

    assert "Stopped." in Path(first.output.name).read_text()
    eventually(lambda: not any(one.is_running() for one in processes))
    second = Run(data_dir).ready()
    assert second.user == first.user
    eventually(lambda: second.state(path) == "succeeded", timeout=60)
    second.stop()


def test_one_that_is_killed_leaves_nothing_and_does_not_hinder_the_next(data_dir: Path) -> None:
    killed = Run(data_dir).ready()
    processes = killed.processes()
    another = Run(data_dir, killed.settings)
    another.stop(signal.SIGCONT)
    assert f"Process {killed.popen.pid} runs on {data_dir} already" in another.printed()

    (sandbox,) = (one for one in processes if "alibroker.sandbox" in one.cmdline())
    sandbox.suspend()
    killed.stop(signal.SIGKILL)
    following = Run(data_dir, killed.settings)
    eventually(lambda: "its processes are still ending; waiting" in following.printed())
    sandbox.resume()
    eventually(lambda: not any(one.is_running() for one in processes), timeout=40)
    assert following.ready().user == killed.user
    following.stop()


def test_what_it_prints_can_be_pasted(data_dir: Path, tmp_path: Path) -> None:
    run = Run(data_dir).ready()
    printed = run.printed().partition("Paste this into another terminal")[2]
    commands = re.findall(r"^  (export .*|curl .*)$", printed, flags=re.MULTILINE)
    for script in ("\n".join(commands), f". {data_dir}/login\n{commands[-1]}"):
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"services"' in done.stdout
    run.stop()


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
        ({"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:0"}, "ALIBROKER_PASSWORD"),
        (
            {"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:0", "ALIBROKER_PASWORD": "p"},
            "ALIBROKER_PASWORD is no setting of the broker",
        ),
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
