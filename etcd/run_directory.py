"""Where the sockets of an embedded etcd lie: a directory that only its owner can enter."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# gRPC refuses longer socket paths with a text that does not say so.
MAX_SOCKET_PATH: Final = 107

SOCKET: Final = "client:0"

_PRIVATE: Final = 0o700


def choose(data: Path, environment: Mapping[str, str]) -> Path:
    """Return the run directory for a data directory: inside it, unless that makes too long a path.

    The answer is the same for the same directory and environment. Nothing is created.
    """
    inside = data / "run"
    if _fits(inside):
        return inside
    name = f"alibroker-{os.getuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK) and _fits(Path(runtime) / name):
        return Path(runtime) / name
    temporary = Path(tempfile.gettempdir()) / name
    # Whatever TMPDIR is set to, this one is short.
    return temporary if _fits(temporary) else Path("/tmp") / name  # noqa: S108 - made 0700 below


def make_private(directory: Path) -> None:
    """Create a directory with mode 0700, or take an existing one into exclusive possession.

    Raises:
        OSError: it cannot be created, or it belongs to somebody else.
    """
    directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{directory} is not a directory of user {os.getuid()}")
    if stat.S_IMODE(found.st_mode) != _PRIVATE:
        directory.chmod(_PRIVATE)


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / SOCKET)) <= MAX_SOCKET_PATH
