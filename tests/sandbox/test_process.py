"""The process: its options, its one line, its end, and what survives it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import oss2
import pytest
import requests
from aliyunsdkcore.acs_exception.exceptions import ClientException

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSWORD = "Aa1!*xyz"


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alibroker.sandbox", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


def test_everything_survives_a_kill(
    start: Callable[..., Any], as_caller: Any, eventually: Callable[..., Any]
) -> None:
    sandbox = start("--time-scale", "0")
    owner = sandbox.owner
    ready = owner.create_instance(ClientToken="ready", Tag__1__Key="k", Tag__1__Value="v")
    here = {"DBInstanceId": ready}
    owner.call("rds", "CreateAccount", **here, AccountName="app1", AccountPassword=PASSWORD)
    owner.call("rds", "CreateDatabase", **here, DBName="db1", CharacterSetName="utf8")
    grant = {"AccountName": "app1", "DBName": "db1", "AccountPrivilege": "ReadWrite"}
    owner.call("rds", "GrantAccountPrivilege", **here, **grant)
    owner.call("ram", "CreateUser", UserName="u1")
    key = owner.call("ram", "CreateAccessKey", UserName="u1")["AccessKey"]
    bucket = owner.bucket("kept-bucket")
    bucket.create_bucket()
    bucket.put_object("x", b"content")
    sandbox.control("PUT", "settings", {"time_scale": 0.02, "instance_quota": 7})
    creating = owner.create_instance(ClientToken="creating")
    before = sandbox.control("GET", "inventory")
    assert before["rds"]["instances"][1]["status"] == "Creating"

    sandbox.options = ()
    sandbox.kill_and_restart()

    after = sandbox.control("GET", "inventory")
    assert after["rds"]["instances"][1]["id"] == creating
    assert after["rds"]["instances"][1]["status"] == "Creating"
    assert after == before
    settings = sandbox.control("GET", "settings")
    assert (settings["time_scale"], settings["instance_quota"]) == (0.02, 7)
    owner = sandbox.owner
    assert owner.create_instance(ClientToken="creating") == creating
    mine = as_caller(sandbox.url, key["AccessKeyId"], key["AccessKeySecret"])
    mine.call("sts", "GetCallerIdentity")
    assert owner.bucket("kept-bucket").get_object("x").read() == b"content"

    def running() -> bool:
        listed = owner.call("rds", "DescribeDBInstances", DBInstanceId=creating)
        items = listed["Items"]["DBInstance"]
        return bool(items) and items[0]["DBInstanceStatus"] == "Running"

    eventually(running)


def test_a_second_account_has_all_of_its_own_but_the_names_of_buckets(
    start: Callable[..., Any], as_caller: Any
) -> None:
    sandbox = start("--time-scale", "0")
    owner = sandbox.owner
    opened = sandbox.control("POST", "second-account")
    assert sandbox.control("POST", "second-account") == opened, "it is opened once"
    other = as_caller(sandbox.url, opened["access_key_id"], opened["access_key_secret"])
    accounts = {one.call("sts", "GetCallerIdentity")["AccountId"] for one in (owner, other)}
    assert accounts == {sandbox.control("GET", "inventory")["account"]["id"], opened["id"]}
    here = {"DBInstanceId": owner.create_instance()}
    assert other.refusal("rds", "DeleteDBInstance", **here) == "InvalidDBInstanceId.NotFound"
    for one in (owner, other):
        one.call("ram", "CreateUser", UserName="same-name")
    for first, second in ((owner, other), (other, owner)):
        first.bucket("one-name").create_bucket()
        with pytest.raises(oss2.exceptions.ServerError) as refused:
            second.bucket("one-name").create_bucket()
        assert refused.value.code == "BucketAlreadyExists"
        with pytest.raises(oss2.exceptions.AccessDenied):
            second.bucket("one-name").delete_bucket()
        first.bucket("one-name").delete_bucket()
    other.bucket("images").get_bucket_info()
    other.bucket("others").create_bucket()

    sandbox.kill_and_restart()

    assert other.call("sts", "GetCallerIdentity")["AccountId"] == opened["id"]
    (user,) = sandbox.control("GET", "second-account")["ram"]["users"]
    assert user["name"] == "same-name"
    with pytest.raises(oss2.exceptions.AccessDenied):
        owner.bucket("others").get_bucket_info()
    sandbox.control("POST", "foreign-buckets", {"name": "given"})
    assert other.bucket("given").get_bucket_info().owner.id == opened["id"]


def test_a_kill_amid_writes_loses_nothing_that_was_answered(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0")
    sandbox.control("PUT", "settings", {"instance_quota": 100_000})
    answered: list[str] = []
    stopped = threading.Event()

    def create(number: int) -> None:
        owner = sandbox.owner
        for n in range(100_000):
            try:
                answered.append(owner.create_instance(ClientToken=f"{number}-{n}"))
            except (ClientException, ValueError):
                # The SDK takes headers without a body for an empty answer.
                stopped.set()
                return

    threads = [threading.Thread(target=create, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(answered) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    sandbox.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert stopped.is_set()
    sandbox.start()
    kept = {one["id"] for one in sandbox.control("GET", "inventory")["rds"]["instances"]}
    assert len(answered) >= 50
    assert set(answered) <= kept
    # At most the calls that were under way may have taken effect without an answer.
    assert len(kept) <= len(answered) + len(threads)


def test_stray_files_of_a_kill_are_swept(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0")
    bucket = sandbox.owner.bucket("swept-bucket")
    bucket.create_bucket()
    bucket.put_object("x", b"kept")
    stray = sandbox.directory / "objects" / "stray"
    stray.write_bytes(b"half an upload")
    sandbox.kill_and_restart()
    assert not stray.exists()
    assert sandbox.owner.bucket("swept-bucket").get_object("x").read() == b"kept"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(start: Callable[..., Any], number: int) -> None:
    sandbox = start()
    sandbox.fault("DescribeRegions", "hang", seconds=60)
    owner = sandbox.owner

    def wait() -> None:
        with pytest.raises(ClientException):
            owner.call("rds", "DescribeRegions")

    hanging = threading.Thread(target=wait)
    hanging.start()
    while sandbox.control("GET", "counters")["in_flight"] == 0:
        time.sleep(0.01)
    assert sandbox.stop(number) == 0
    hanging.join()


def test_it_prints_one_line_and_generates_private_credentials(tmp_path: Path) -> None:
    names = ("SANDBOX_ACCESS_KEY_ID", "SANDBOX_ACCESS_KEY_SECRET")
    environment = {name: text for name, text in os.environ.items() if name not in names}
    process = subprocess.Popen(
        [sys.executable, "-m", "alibroker.sandbox", "--port", "0", "--data-dir", tmp_path / "d"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    health = requests.get(f"{line['url']}/sandbox/health", timeout=10).json()
    assert (health["status"], line["region"]) == ("ok", "cn-hangzhou")
    path = tmp_path / "d" / "credentials.json"
    assert line["credentials_file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = json.loads(path.read_text())["access_key_secret"]
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert secret not in errors


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--host", "0.0.0.0"], "loopback"),  # noqa: S104 - it must refuse this
        (["--host", "example.org"], "loopback"),
        (["--time-scale", "-1"], "time-scale"),
        (["--access-key-id", "x"], "neither"),
    ],
)
def test_bad_options_are_refused(options: list[str], hint: str) -> None:
    done = run(*options, "--port", "0", SANDBOX_ACCESS_KEY_ID="", SANDBOX_ACCESS_KEY_SECRET="")
    assert done.returncode == 2
    assert hint in done.stderr


def test_a_taken_port_and_directory_are_refused(start: Callable[..., Any], tmp_path: Path) -> None:
    sandbox = start()
    port = sandbox.url.rpartition(":")[2]
    taken = run("--port", port, "--data-dir", str(tmp_path / "other"))
    assert (taken.returncode, port in taken.stderr) == (1, True)
    shared = run("--port", "0", "--data-dir", str(sandbox.directory))
    assert (shared.returncode, "Another sandbox" in shared.stderr) == (1, True)
    sandbox.stop()
    moved = run("--port", "0", "--data-dir", str(sandbox.directory), "--region", "cn-beijing")
    assert (moved.returncode, "region cn-hangzhou" in moved.stderr) == (1, True)


def test_the_help_names_every_option() -> None:
    text = run("--help").stdout
    for option in ("--port", "--data-dir", "--time-scale", "--latency-ms", "--no-signature-v1"):
        assert option in text
