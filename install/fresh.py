"""Tries the README on bare Debian systems, as a newcomer would: `fresh.py [--test] [RELEASE...]`.

Builds a root file system of each release from the mirror that this machine uses (mmdebstrap),
installs what the README says is needed, and runs `make run` and the first commands with curl as an
ordinary user in a chroot; with --test, `make test` as well. Says what a bare system lacks, how long
each step took and how long it was silent. Needs root and Debian; all is removed afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

RELEASES = ("bookworm", "trixie")
USER = "newcomer"
TOOLS = ("python3", "git", "make", "curl")
CERTIFICATES = "usr/local/share/ca-certificates"
READY = "alibroker is ready at"
LIMIT = 600.0  # seconds for `make run` to be ready
TEST_LIMIT = 5400.0

# In namespaces of its own, so that mounts and processes are gone when a command is.
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
ENTER = """
mount --make-rprivate /
mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" && mount --rbind /dev "$1/dev"
# Not exec: the first process has to reap orphans, as init does.
chroot "$@" || exit $?
"""


class FailedError(Exception):
    """A step did not do what the README promises."""


class Machine:
    """A bare system in a directory."""

    def __init__(self, release: str, directory: Path, settings: dict[str, str]) -> None:
        self.release = release
        self.root = directory / release
        self.log = directory / f"{release}.log"
        self._settings = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            **settings,
        }

    def run(
        self,
        command: str,
        *,
        user: str = "root",
        until: str = "",
        limit: float = LIMIT,
        then: Callable[[], None] | None = None,
    ) -> Pace:
        """Run a shell command in it.

        Args:
            command: what to run, in the user's home.
            user: who runs it.
            until: the text at which the clock stops; without one it does so at the end.
            limit: seconds.
            then: what to do at that text; the command is stopped with SIGINT afterwards.

        Raises:
            FailedError: It fails, or takes too long.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        environment = {**self._settings, "HOME": home}
        inner = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        if user != "root":
            inner = ["runuser", "-u", user, "--", *inner]
        inner += ["sh", "-c", f"cd {home} && {command}"]
        process = subprocess.Popen(
            [*APART, "sh", "-ec", ENTER, "sh", str(self.root), *inner],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        watch = threading.Timer(limit, process.kill)
        watch.start()
        try:
            pace, seen = self._follow(process, until)
            if seen and then:
                then()
            if until and process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                for _ in process.stdout or ():
                    pass
        finally:
            watch.cancel()
            if process.poll() is None:
                process.kill()
        code = process.wait()
        if (until and not seen) or (not until and code):
            raise FailedError(f"`{command}` ended with {code}; see {self.log}")
        return pace

    def _follow(self, process: subprocess.Popen[str], until: str) -> tuple[Pace, bool]:
        pace = Pace()
        with self.log.open("a", encoding="utf-8", buffering=1) as log:
            for line in process.stdout or ():
                pace.line()
                log.write(f"{pace.seconds:7.1f}  {line}")
                if until and until in line:
                    return pace, True
        pace.line()
        return pace, False


class Pace:
    """How long something takes, and how long it is silent."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self.seconds = 0.0
        self.first: float | None = None
        self.silence = 0.0

    def line(self) -> None:
        """Note that a line has come."""
        now = time.monotonic()
        self.silence = max(self.silence, now - self._last)
        self._last = now
        self.seconds = now - self._began
        if self.first is None:
            self.first = self.seconds


def build(machine: Machine, mirror: str) -> None:
    """Make the system, with this machine's way to the network, a user and a clone.

    Raises:
        FailedError: It cannot be made.
    """
    command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates"]
    command += ["--skip=cleanup/apt/lists", machine.release, str(machine.root), mirror]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(done.stderr)
    own = Path("/") / CERTIFICATES
    if own.is_dir():
        shutil.copytree(own, machine.root / CERTIFICATES, dirs_exist_ok=True)
        machine.run("update-ca-certificates")
    shutil.copy("/etc/resolv.conf", machine.root / "etc" / "resolv.conf")
    (machine.root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    machine.run(f"useradd --create-home --shell /bin/bash {USER}")
    clone = machine.root / "home" / USER / "alibroker"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    machine.run(f"chown -R {USER}:{USER} /home/{USER}")


def follow_readme(machine: Machine, *, test: bool) -> Iterator[tuple[str, Pace]]:
    """Do what the README says, step by step.

    Raises:
        FailedError: Something did not work.
    """
    packages = re.search(r"`apt-get\s+install ([^`]*)`", README)
    if packages is None:
        raise FailedError("the README does not say which packages Debian needs")
    lacking = [tool for tool in TOOLS if not (machine.root / "usr" / "bin" / tool).exists()]
    print(f"  a bare system lacks: {', '.join(lacking)}", flush=True)
    install = f"apt-get install {' '.join(packages[1].split())}"
    yield install, machine.run(f"DEBIAN_FRONTEND=noninteractive {install} -y")
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    first = next(block for block in blocks if "curl" in block)
    script = machine.root / "home" / USER / "first-steps"
    script.write_text(f"set -e\n{first}", encoding="utf-8")
    paces: list[Pace] = []

    def with_curl() -> None:
        paces.append(machine.run("cd alibroker && sh ../first-steps", user=USER))

    run = "cd alibroker && make run"
    yield "make run (first)", machine.run(run, user=USER, until=READY, then=with_curl)
    yield "a first database with curl", paces[0]
    answered = machine.log.read_text(encoding="utf-8")
    if '"password"' not in answered or '"error"' in answered:
        raise FailedError(f"the first commands were not answered well; see {machine.log}")
    yield "make run (second)", machine.run(run, user=USER, until=READY)
    if test:
        # The databases that tests use are installed with sudo, or, where nobody may, simulated.
        machine.run("apt-get install -y sudo")
        (machine.root / "etc" / "sudoers.d" / USER).write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        yield "make test", machine.run("cd alibroker && make test", user=USER, limit=TEST_LIMIT)


def mirror_of_this_machine() -> str:
    """Return the archive that this system's packages come from.

    Raises:
        FailedError: It is not known.
    """
    listed = subprocess.run(
        ["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=False
    ).stdout
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    found = re.search(rf"^'(.*)/dists/{release}/InRelease'", listed, re.MULTILINE)
    if found is None:
        raise FailedError("apt does not say where this system's packages come from")
    return found[1]


def settings_of_this_machine() -> dict[str, str]:
    """Return what leads from here to the network, and other ports if the usual ones are taken."""
    names = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
    settings = {name: os.environ[name] for name in names if os.environ.get(name)}
    for name, form, port in (
        ("ALIBROKER_BIND", "127.0.0.1:{}", 8005),
        ("ALIBROKER_SANDBOX_PORT", "{}", 8006),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                continue
            probe.bind(("127.0.0.1", 0))
            settings[name] = form.format(probe.getsockname()[1])
    return settings


def main() -> int:
    """Try all releases; return the exit code."""
    parser = argparse.ArgumentParser(description="Try the README on bare Debian systems.")
    parser.add_argument("releases", nargs="*", default=RELEASES)
    parser.add_argument("--test", action="store_true", help="run `make test` as well")
    arguments = parser.parse_args()
    if os.getuid() or not shutil.which("apt-get"):
        return _complain("This needs Debian, and root, to make root file systems.")
    if not shutil.which("mmdebstrap"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "mmdebstrap"], check=True)
    directory = Path(tempfile.mkdtemp(prefix="fresh-"))
    directory.chmod(0o755)
    failed = False
    for release in arguments.releases:
        machine = Machine(release, directory, settings_of_this_machine())
        print(f"{release}: building a bare system ...", flush=True)
        try:
            build(machine, mirror_of_this_machine())
            for title, pace in follow_readme(machine, test=arguments.test):
                print(
                    f"  {pace.seconds:6.1f} s  {title}   "
                    f"(first line after {pace.first or 0:.1f} s, silent for {pace.silence:.1f} s "
                    "at the most)",
                    flush=True,
                )
            print(f"{release}: all went as the README says", flush=True)
        except FailedError as ex:
            failed = True
            print(f"{release}: FAILED: {ex}", flush=True)
        finally:
            shutil.rmtree(machine.root, ignore_errors=True)
    print(f"What was written: {directory}/*.log")
    return int(failed)


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
