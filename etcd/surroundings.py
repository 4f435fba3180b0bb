"""What the programs around an embedded etcd see of the broker's environment: what they need.

The rest is none of their business: it holds the broker's passwords and the cloud's keys, and what a
process was started with can be read in /proc for as long as it lives.
"""

from collections.abc import Mapping
from typing import Final

_OF_EVERYBODY: Final = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR"}
)
_OF_GO: Final = frozenset({"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"})
# Without these a Python that is not where it was built to be may not find itself or its modules.
_OF_PYTHON: Final = ("PYTHON", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def of_etcd(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what etcd may know.

    No ETCD_ variable is among it: etcd would obey it in place of a flag, or trip over it.
    """
    return {name: value for name, value in environment.items() if _is_of_etcd(name)}


def of_keeper(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the keeper may know, which is what etcd may and what Python needs."""
    return {
        name: value
        for name, value in environment.items()
        if _is_of_etcd(name) or name.startswith(_OF_PYTHON)
    }


def _is_of_etcd(name: str) -> bool:
    return name in _OF_EVERYBODY or name in _OF_GO or name.startswith("LC_")
