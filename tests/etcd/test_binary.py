"""Finding etcd, and judging its version.

Scripts stand in for versions that cannot be had here: all they are asked for is their version.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from alibroker.etcd import binary, versions
from alibroker.etcd.binary import EtcdNotFoundError
from alibroker.etcd.versions import EtcdVersionError


def program(directory: Path, output: str, code: int = 0, name: str = "etcd") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "version",
    [
        "2.3.8",
        "3.3.25",
        "3.4.0",
        "3.4.7",
        "3.4.16",
        "3.4.20",
        "3.4.21",
        "3.5.0",
        "3.5.1",
        "3.5.2",
        "3.5.3",
        "3.5.4",
        "3.5.5",
        "3.5",
        "",
        "unknown",
        "v3.5.9",
    ],
)
def test_a_version_that_may_lose_data_is_refused(tmp_path: Path, version: str) -> None:
    path = program(tmp_path, f"etcd Version: {version}\nGit SHA: 1")
    with pytest.raises(EtcdVersionError):
        binary.find({}, path=path)


@pytest.mark.parametrize(
    ("version", "warning"),
    [
        ("3.4.22", "CVE-2021-28235"),
        ("3.4.23", "line ended"),
        ("3.4.24", "CVE-2021-28235"),
        ("3.4.25", "leases"),
        ("3.4.30", "leases"),
        ("3.4.31", "line ended"),
        ("3.4.44", "line ended"),
        ("3.5.6", "goes back"),
        ("3.5.13", "goes back"),
        ("3.5.16+ds1", "renewal"),
        ("3.5.22", "renewal"),
        ("3.6.0-rc.1", "renewal"),
        ("3.6.4", "renewal"),
    ],
)
def test_a_version_with_known_faults_is_taken_with_a_warning(
    tmp_path: Path, version: str, warning: str
) -> None:
    found = binary.find({}, path=program(tmp_path, f"etcd Version: {version}\nGit SHA: 1"))
    assert found.version == version
    assert warning in found.warning
    assert "make etcd" in found.warning


@pytest.mark.parametrize(
    "version", ["3.4.45", "3.5.23", "3.5.33", "3.6.5", "3.6.14", "3.7.0", "4.0.0"]
)
def test_a_sound_version_is_taken_silently(tmp_path: Path, version: str) -> None:
    found = binary.find({}, path=program(tmp_path, f"etcd Version: {version}"))
    assert found.warning == ""
    assert found.number == tuple(int(part) for part in version.split("."))


def test_a_refused_version_can_be_insisted_on_but_not_an_unreadable_one(tmp_path: Path) -> None:
    found = binary.find({}, path=program(tmp_path, "etcd Version: 3.5.1"), allow_unsafe=True)
    assert "lose acknowledged writes" in found.warning
    with pytest.raises(EtcdVersionError):
        binary.find({}, path=program(tmp_path, "etcd Version: new"), allow_unsafe=True)


@pytest.fixture
def environment_without_etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment's directory, for that is where etcd is looked for first."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return tmp_path / "venv"


def test_the_variable_goes_before_the_environments_own_and_that_before_the_path(
    tmp_path: Path, environment_without_etcd: Path
) -> None:
    on_path = program(tmp_path / "path", "etcd Version: 3.5.33")
    path = f"{on_path.parent}:/usr/bin:/bin"
    assert binary.find({"PATH": path}).path == on_path
    environment_without_etcd.mkdir()
    own = program(environment_without_etcd / "bin", "etcd Version: 3.5.30")
    assert binary.find({"PATH": path}).path == own
    chosen = program(tmp_path / "chosen", "etcd Version: 3.6.14", name="my-etcd")
    assert binary.find({"PATH": path, binary.VARIABLE: str(chosen)}).path == chosen


def test_a_variable_that_names_no_program_does_not_fall_back_to_the_path(tmp_path: Path) -> None:
    program(tmp_path, "etcd Version: 3.5.33")
    environment = {"PATH": str(tmp_path), binary.VARIABLE: str(tmp_path / "none")}
    with pytest.raises(EtcdNotFoundError, match=binary.VARIABLE):
        binary.find(environment)


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "debian"}, "apt-get install etcd-server"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "systemctl disable --now etcd"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install etcd-server"),
        ({"ID": "fedora"}, "dnf install etcd"),
        ({"ID": "alpine"}, "apk add etcd"),
        ({"ID": "arch"}, "https://etcd.io/docs"),
    ],
)
@pytest.mark.usefixtures("environment_without_etcd")
def test_who_lacks_etcd_is_told_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: dict[str, str], command: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    with pytest.raises(EtcdNotFoundError, match=command):
        binary.find({"PATH": str(tmp_path)})


@pytest.mark.usefixtures("environment_without_etcd")
def test_on_a_mac_homebrew_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(EtcdNotFoundError, match=r"make etcd.*brew install etcd"):
        binary.find({"PATH": str(tmp_path)})


@pytest.mark.parametrize(("output", "code"), [("etcd Version: 3.5.33", 1), ("Redis 7", 0)])
def test_a_program_that_is_not_etcd_is_refused(tmp_path: Path, output: str, code: int) -> None:
    with pytest.raises(EtcdVersionError, match="does not say"):
        binary.find({}, path=program(tmp_path, output, code))


def test_a_file_that_does_not_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "etcd"
    path.write_text("no program")
    with pytest.raises(EtcdNotFoundError, match="cannot be run"):
        binary.find({}, path=path)


def run(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "alibroker.etcd.binary"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_path_and_version(tmp_path: Path) -> None:
    path = program(tmp_path, "etcd Version: 3.5.10")
    # Even when the environment holds what would make etcd itself stop.
    done = run(ALIBROKER_ETCD_BINARY=str(path), ETCD_NAME="x")
    assert (done.returncode, done.stdout) == (0, f"{path} 3.5.10\n")
    assert done.stderr.startswith("warning: etcd 3.5.10")
    assert done.stderr.count("\n") == 1


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    done = run(ALIBROKER_ETCD_BINARY=str(program(tmp_path, "etcd Version: 3.5.2")))
    assert (done.returncode, done.stdout) == (1, "")
    assert "3.5.2 is refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_etcd_installed_here_is_fit() -> None:
    assert versions.parse(binary.find().version) >= (3, 4, 22)
