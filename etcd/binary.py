"""The etcd program on this machine: where it is, and whether its version is fit.

`python -m alibroker.etcd.binary` prints its path and version, or what to install.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alibroker.etcd import surroundings, versions
from alibroker.etcd.errors import EtcdError
from alibroker.etcd.versions import EtcdVersionError, Version

VARIABLE: Final = "ALIBROKER_ETCD_BINARY"

_TIMEOUT: Final = 10.0  # seconds; etcd prints its version in milliseconds
_VERSION_LINE: Final = re.compile(r"^etcd Version: *(\S.*)$", re.MULTILINE)

_DEBIAN: Final = (
    "install it with `sudo apt-get install etcd-server`, then "
    "`sudo systemctl disable --now etcd`, as the broker starts its own "
    "(Debian 12, Ubuntu 24.04 or later; what older releases offer is refused)"
)
_INSTALL: Final[Mapping[str, str]] = {
    "debian": _DEBIAN,
    "ubuntu": _DEBIAN,
    "fedora": "install it with `sudo dnf install etcd`",
    "alpine": "install it with `sudo apk add etcd` (repository: community)",
    "darwin": "install it with `brew install etcd`",
}
_REMEDY: Final = "`make etcd` looks for a better one; the page docs/etcd.md says how else to get it"
_INSTALL_ANYWHERE: Final = "install it from https://etcd.io/docs/latest/install/"


class EtcdNotFoundError(EtcdError):
    """There is no etcd program, or it cannot be run."""


@dataclass(frozen=True, slots=True)
class Binary:
    """An etcd program that may be used.

    Attributes:
        path: where it is.
        version: what it says of itself.
        faults: what is known against that version and does not forbid its use.
    """

    path: Path
    version: str
    faults: tuple[str, ...]

    @property
    def number(self) -> Version:
        """The version as numbers."""
        return versions.parse(self.version)

    @property
    def warning(self) -> str:
        """What to tell an operator: the known faults and the remedy; empty if there is nothing."""
        if not self.faults:
            return ""
        return f"etcd {self.version} ({self.path}): {'; '.join(self.faults)}. {_REMEDY}"


def find(
    environment: Mapping[str, str] | None = None,
    *,
    path: Path | None = None,
    allow_unsafe: bool = False,
) -> Binary:
    """Find etcd: at `path`, else at $ALIBROKER_ETCD_BINARY, else beside Python, else on PATH.

    Args:
        environment: instead of the process's own.
        path: the program, if it is known.
        allow_unsafe: turns the refusal of a version into a warning.

    Raises:
        EtcdNotFoundError: there is none, or it does not run.
        EtcdVersionError: its version is refused.
    """
    environment = os.environ if environment is None else environment
    path = path or _locate(environment)
    version = _ask(path)
    try:
        faults = versions.judge(version)
    except EtcdVersionError as error:
        if not allow_unsafe:
            raise EtcdVersionError(f"{error} ({path}); {install_hint()}") from None
        versions.parse(version)
        faults = (str(error),)
    return Binary(path, version, faults)


def install_hint() -> str:
    """Say how to install etcd on this system."""
    system = platform.system().lower()
    if system != "linux":
        return _INSTALL.get(system, _INSTALL_ANYWHERE)
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return _INSTALL_ANYWHERE
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((_INSTALL[name] for name in names if name in _INSTALL), _INSTALL_ANYWHERE)


def _locate(environment: Mapping[str, str]) -> Path:
    configured = environment.get(VARIABLE)
    if configured:
        found = shutil.which(configured, path=environment.get("PATH"))
        if found is None:
            raise EtcdNotFoundError(f"{VARIABLE} is {configured!r}, which is no program to run")
    else:
        # `make etcd` puts one into the virtual environment, which need not be on PATH.
        own = str(Path(sys.prefix) / "bin")
        found = shutil.which("etcd", path=os.pathsep.join([own, environment.get("PATH", "")]))
        if found is None:
            raise EtcdNotFoundError(
                f"etcd was found neither in {own} nor on PATH; `make etcd` gets one, "
                f"or {install_hint()}"
            )
    return Path(found).absolute()


def _ask(path: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own choice of a program
            [path, "--version"],
            env=surroundings.of_etcd(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EtcdNotFoundError(f"`{path} --version` cannot be run: {error}") from error
    line = _VERSION_LINE.search(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or line is None:
        raise EtcdVersionError(
            f"`{path} --version` does not say a version of etcd (exit code {done.returncode}); "
            f"{install_hint()}"
        )
    return line.group(1).strip()


def main() -> int:
    """Print path, version and warnings, or what is wrong; return the exit code."""
    try:
        binary = find()
    except EtcdError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is the program's answer
        return 1
    if binary.warning:
        print(f"warning: {binary.warning}", file=sys.stderr)  # noqa: T201 - the same
    print(f"{binary.path} {binary.version}")  # noqa: T201 - the same
    return 0


if __name__ == "__main__":
    sys.exit(main())
