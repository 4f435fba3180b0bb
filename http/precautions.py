"""What is looked at when a deployment starts: what lets strangers in, and what must be a slip.

A setting by itself is held against its kind where it is read; here are those that are right by
themselves, and wrong where they are used.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from gunicorn import systemd

from alibroker.actors.settings import PREFIX, EngineSettings, SettingsError
from alibroker.brokers.loading import foreign_plugins
from alibroker.http.settings import EdgeSettings

MIN_PASSWORD: Final = 8
"""Characters that a password needs where others than this machine can try some."""

_ELSEWHERE: Final = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("BROKERS", "CATALOG", "CLOUD_ENDPOINT", "CLOUD_RATE", "NAME", "POLL_INTERVAL", "REGION"),
        *("SETTLE_SECONDS", "VPC_ID", "VSWITCH_ID", "ZONE_ID"),
        *(
            "OSS_BINDING_ENDPOINT",
            "OSS_CATALOG",
            "OSS_ENDPOINT",
            "OSS_ROLE",
            "RDS_CATALOG",
            "RDS_DRY_RUN",
        ),
        *("ETCD_BINARY", "EMBEDDED_ETCD", "EMBEDDED_ETCD_KEEPER"),
        *("URL", "SANDBOX_PORT", "CONFORMANCE_PASSWORD"),
    )
)
"""Variables that are read in other places than the settings of engine and edge."""

# Kubernetes puts these into each container for a service that is called alibroker, or alibroker-…
_OF_KUBERNETES: Final = re.compile(
    r"\w+_SERVICE_HOST=.*|\w+_SERVICE_PORT(_\w+)?=.*|\w+_PORT=\w+://.*|"
    r"\w+_PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?=.*"
)


def check(edge: EdgeSettings, engine: EngineSettings, addresses: Iterable[Any]) -> None:
    """Refuse what would let strangers in.

    Args:
        edge: the settings of the HTTP edge.
        engine: the settings of the engine.
        addresses: where the broker listens, as sockets name it.

    Raises:
        SettingsError: A password can be guessed from other machines, or a file with secrets can be
            changed by anybody.
    """
    if not all(is_of_this_machine(address) for address in addresses):
        for setting, password in edge.passwords():
            if len(password) < MIN_PASSWORD:
                raise SettingsError(
                    f"{setting} has a password of fewer than {MIN_PASSWORD} characters, which is "
                    "enough only if ALIBROKER_BIND is a loopback address"
                )
    for setting, path in _secret_files(edge, engine):
        if _mode(path) & stat.S_IWOTH:
            raise SettingsError(
                f"{setting}: everybody on this machine can change {path}: chmod 600 it"
            )


def warnings(
    edge: EdgeSettings, engine: EngineSettings, environment: Mapping[str, str]
) -> Iterator[str]:
    """Say what may be meant like this, and more probably is not."""
    for setting, path in _secret_files(edge, engine):
        if _mode(path) & stat.S_IROTH:
            yield f"{setting}: everybody on this machine can read {path}: chmod 600 it"
    for endpoint in engine.endpoints:
        url = urlsplit(endpoint)
        if url.scheme == "http" and not is_of_this_machine((url.hostname or "", url.port)):
            # Not the text: there may be a password where none belongs.
            yield (
                f"ALIBROKER_ETCD_ENDPOINTS: what is stored goes to {url.hostname} unencrypted, "
                "where whoever is in between can read and change it; use https"
            )
    known = known_variables()
    for name in sorted(environment):
        if (
            name.startswith(PREFIX)
            and name not in known
            and not _is_of_others(name, environment[name])
        ):
            (nearest,) = difflib.get_close_matches(name, known, n=1) or ("",)
            hint = f"; is {nearest} meant?" if nearest else ""
            yield f"{name} is no setting of the broker, and has no effect{hint}"


def known_variables() -> frozenset[str]:
    """Return the names of all settings, but for those of plugins."""
    fields = (*msgspec.structs.fields(EdgeSettings), *msgspec.structs.fields(EngineSettings))
    return _ELSEWHERE.union(field.encode_name for field in fields)


def is_of_this_machine(address: Any) -> bool:
    """Tell whether nobody else can reach a socket's address: a loopback one, or a path.

    No name but `localhost` is looked up: a start must not wait for that.
    """
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host == "localhost":
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def listening_at(configured: Sequence[Any]) -> list[Any]:
    """Return the addresses at which gunicorn will listen, as sockets name them.

    Args:
        configured: what its settings say: addresses, or numbers of sockets that it was given.
            Those that systemd has given come first.
    """
    given = systemd.listen_fds(unset_environment=False)
    first = systemd.SD_LISTEN_FDS_START
    return [_address_of(one) for one in range(first, first + given) or configured]


def _address_of(bound: Any) -> Any:
    if not isinstance(bound, int):
        return bound
    with socket.socket(fileno=os.dup(bound)) as given:
        return given.getsockname()


def _is_of_others(name: str, value: str) -> bool:
    """Tell whether a variable is a plugin's (ALIBROKER_<its name>_…), or comes from Kubernetes."""
    plugins = (re.sub(r"\W", "_", plugin.upper()) for plugin in foreign_plugins())
    return bool(
        name.startswith(tuple(f"{PREFIX}{plugin}_" for plugin in plugins))
        or _OF_KUBERNETES.fullmatch(f"{name}={value}")
    )


def _secret_files(edge: EdgeSettings, engine: EngineSettings) -> Iterator[tuple[str, Path]]:
    files = {
        "ALIBROKER_USERS_FILE": edge.users_file,
        "ALIBROKER_TLS_KEY": edge.tls_key,
        "ALIBROKER_ETCD_KEY": engine.etcd_key,
        "ALIBROKER_SEAL_KEY_FILE": engine.seal_key_file or engine.kept_key,
    }
    yield from ((setting, path) for setting, path in files.items() if path is not None)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0  # whoever reads it says what is wrong with it
