"""Which etcd versions may hold the broker's records. The reasons are in docs/etcd.md."""

import re
from typing import Final

from alibroker.etcd.errors import EtcdError

Version = tuple[int, int, int]

_NUMBER: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-+~].*)?")

# From, to (exclusive), and why; see upstream's CHANGELOG-3.4.md and CHANGELOG-3.5.md.
_REFUSED: Final[tuple[tuple[Version, Version, str], ...]] = (
    ((0, 0, 0), (3, 4, 0), "this line ended years ago and lacks flags that the broker needs"),
    ((3, 4, 0), (3, 4, 22), "it can corrupt data or let members diverge; 3.4.22 is the first fit"),
    ((3, 5, 0), (3, 5, 3), "it can lose acknowledged writes when it is killed under load"),
    ((3, 5, 3), (3, 5, 6), "its members can diverge after a crash; 3.5.6 is the first fit"),
)
_WARNED: Final[tuple[tuple[Version, Version, str], ...]] = (
    (
        (3, 4, 22),
        (3, 4, 25),
        "upstream 3.4.25 fixes watches that lose or repeat events, and CVE-2021-28235",
    ),
    ((3, 4, 22), (3, 4, 31), "upstream 3.4.31 fixes leases that a deposed leader revokes"),
    ((3, 4, 22), (3, 4, 45), "the 3.4 line ended with 3.4.45 in June 2026; move to 3.5 or later"),
    ((3, 5, 6), (3, 5, 14), "upstream 3.5.14 fixes a revision that goes back after a crash"),
    ((3, 5, 6), (3, 5, 23), "upstream 3.5.23 fixes a renewal that succeeds on a revoked lease"),
    ((3, 6, 0), (3, 6, 5), "upstream 3.6.5 fixes a renewal that succeeds on a revoked lease"),
)


class EtcdVersionError(EtcdError):
    """This version of etcd is not fit to hold the broker's records."""


def parse(text: str) -> Version:
    """Understand "3.4.23" and what distributions make of it ("3.5.16+ds1").

    Raises:
        EtcdVersionError: the text is no version; nothing is ever guessed.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise EtcdVersionError(f"etcd says that its version is {text.strip()[:40]!r}")
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def judge(text: str) -> tuple[str, ...]:
    """Return the known faults of a version that do not forbid its use.

    Raises:
        EtcdVersionError: the version is refused, or cannot be understood.
    """
    version = parse(text)
    for first, end, reason in _REFUSED:
        if first <= version < end:
            raise EtcdVersionError(f"etcd {text.strip()} is refused: {reason}")
    return tuple(reason for first, end, reason in _WARNED if first <= version < end)
