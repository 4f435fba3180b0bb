"""One connection to the cloud per process, whatever the number of brokers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final
from weakref import WeakValueDictionary

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.rates import RateLimiter
from alibroker.brokers.alibabacloud.settings import CloudSettings, read_settings
from alibroker.brokers.alibabacloud.sources import find_credentials

_PREFIXES: Final = ("ALIBROKER_", "ALIBABA_CLOUD_")
_lock = threading.Lock()
_clients: Final[WeakValueDictionary[tuple[tuple[str, str], ...], CloudClient]] = (
    WeakValueDictionary()
)


def connect(environment: Mapping[str, str]) -> tuple[CloudSettings, CloudClient]:
    """Read the settings and return them with the process's client for them.

    Raises:
        SettingsError: A setting is missing or wrong.
        CredentialsError: No credentials were found.
    """
    settings = read_settings(environment)
    key = tuple(
        sorted(item for item in environment.items() if item[0].startswith((*_PREFIXES, "HOME")))
    )
    with _lock:
        client = _clients.get(key)
        if client is None:
            client = CloudClient(
                region=settings.region,
                endpoint=settings.endpoint,
                credentials=find_credentials(
                    environment, region=settings.region, endpoint=settings.endpoint
                ),
                limiter=RateLimiter(settings.rates),
                directory=settings.directory,
            )
            _clients[key] = client
        return settings, client
