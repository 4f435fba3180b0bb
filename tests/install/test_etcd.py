"""Which etcd `make etcd` gets: scripts stand in for programs of all versions, and for apt."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

FIT, FAULTY, REFUSED = "3.5.33", "3.5.16", "3.5.1"

# `apt-get update --print-uris` names the archive, `apt-get download` leaves a file that dpkg-deb
# unpacks: here that is a directory of the suite that was asked for.
APT = """#!/bin/sh
echo "$*" >>{log}
[ -n "$APT_CONFIG" ] && suite=$(awk '{{ print $7 }}' "${{APT_CONFIG%/*}}/sources.list")
case "$*" in
    *--print-uris*) echo "'https://mirror.example/debian/dists/{codename}/InRelease' x 0" ;;
    update*) [ -e {shelf}/$suite ] ;;
    download*) cp {shelf}/$suite etcd-server_1.deb ;;
    install*) cp {shelf}/system {path}/etcd ;;
esac
"""
DPKG = '#!/bin/sh\nmkdir -p "$3/usr/bin" && cp "$2" "$3/usr/bin/etcd"\n'


class Machine:
    """A machine with an environment, a PATH and an archive of its own."""

    def __init__(self, directory: Path) -> None:
        self.environment = directory / "environment"
        self.path = directory / "path"
        self.shelf = directory / "shelf"
        for folder in (self.environment / "bin", self.path, self.shelf):
            folder.mkdir(parents=True)
        self.log = directory / "apt.log"
        self.log.touch()
        python = (
            "import runpy, sys; "
            f"sys.prefix = {str(self.environment)!r}; "
            "runpy.run_module('alibroker.etcd.binary', run_name='__main__')"
        )
        script(self.environment / "bin" / "python", f'exec {sys.executable} -c "{python}"')
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        apt = APT.format(log=self.log, codename=codename, shelf=self.shelf, path=self.path)
        write(self.path / "apt-get", apt)
        write(self.path / "dpkg-deb", DPKG)

    def get(self, **environment: str) -> str:
        """Run install/etcd; returns what `alibroker.etcd.binary` says afterwards."""
        paths = {"PATH": f"{self.path}:{os.environ['PATH']}", **environment}
        subprocess.run(
            [ROOT / "install" / "etcd", self.environment],
            env={**os.environ, "ALIBROKER_ETCD_BINARY": "", **paths},
            capture_output=True,
            check=True,
        )
        return subprocess.run(
            [self.environment / "bin" / "python"],
            env={**os.environ, "ALIBROKER_ETCD_BINARY": "", **paths},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def script(path: Path, line: str) -> None:
    write(path, f"#!/bin/sh\n{line}\n")


def etcd(path: Path, version: str) -> None:
    script(path, f"echo 'etcd Version: {version}'")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if not KEYS.exists() or not platform.freedesktop_os_release().get("VERSION_CODENAME"):
        pytest.skip("only Debian has Debian's keys")
    return Machine(tmp_path)


def test_a_sound_etcd_is_left_alone(machine: Machine) -> None:
    etcd(machine.path / "etcd", FIT)
    assert machine.get() == f"{machine.path}/etcd {FIT}"
    assert machine.log.read_text() == ""


def test_one_that_somebody_has_named_is_left_alone(machine: Machine) -> None:
    etcd(machine.path / "etcd", FAULTY)
    named = str(machine.path / "etcd")
    assert machine.get(ALIBROKER_ETCD_BINARY=named) == f"{named} {FAULTY}"
    assert machine.log.read_text() == ""


@pytest.mark.parametrize("present", [FAULTY, REFUSED])
def test_a_better_one_comes_from_debians_next_release(machine: Machine, present: str) -> None:
    etcd(machine.path / "etcd", present)
    etcd(machine.shelf / "forky", FIT)
    assert machine.get() == f"{machine.environment}/bin/etcd {FIT}"
    assert "install" not in machine.log.read_text()
    assert list(machine.environment.glob(".etcd*")) == []


def test_one_that_does_not_run_here_or_is_no_better_is_not_taken(machine: Machine) -> None:
    etcd(machine.path / "etcd", FAULTY)
    script(machine.shelf / "forky", "exit 127")
    etcd(machine.shelf / "trixie", FAULTY)
    assert machine.get() == f"{machine.path}/etcd {FAULTY}"
    assert machine.log.read_text().count("download") == 2
    assert "install" not in machine.log.read_text()


def test_one_with_known_faults_is_better_than_none(machine: Machine) -> None:
    etcd(machine.path / "etcd", REFUSED)
    etcd(machine.shelf / "trixie", FAULTY)
    assert machine.get() == f"{machine.environment}/bin/etcd {FAULTY}"
    assert "install" not in machine.log.read_text()


def test_the_package_manager_is_asked_where_nothing_else_is_to_be_had(machine: Machine) -> None:
    etcd(machine.path / "etcd", REFUSED)
    etcd(machine.shelf / "system", FAULTY)
    script(machine.path / "id", "echo 0")
    assert machine.get() == f"{machine.path}/etcd {FAULTY}"
    assert "install -y" in machine.log.read_text()
