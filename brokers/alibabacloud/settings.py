"""What the brokers for Alibaba Cloud read from the environment at start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from alibroker.brokers.alibabacloud.rates import Rates, RatesError, parse_rates

_REGION: Final = re.compile(r"[a-z]+(-[a-z0-9]+)+")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class SettingsError(ValueError):
    """A setting is missing or wrong; the text names it."""


@dataclass(frozen=True, kw_only=True)
class CloudSettings:
    """Where the cloud is, how fast it may be asked, and what marks our things in it."""

    region: str
    endpoint: str | None
    """URL that stands in for every product's endpoint, e.g. of the sandbox."""
    poll_interval: float
    """Seconds between two looks at something that the cloud is busy with."""
    settle: float
    """Seconds after which a request whose answer was lost must have taken effect or never will."""
    name: str
    """Value of the tag `alibroker` on everything we create."""
    vpc_id: str
    vswitch_id: str
    zone_id: str
    rates: Rates = field(repr=False)
    directory: Path | None = None
    """Where what need not be asked again is kept; None: nowhere."""


def read_settings(environment: Mapping[str, str]) -> CloudSettings:
    """Read and check the settings.

    Raises:
        SettingsError: Naming the first setting that is missing or wrong.
    """
    region = environment.get("ALIBROKER_REGION", "")
    if not _REGION.fullmatch(region):
        raise SettingsError("set ALIBROKER_REGION to the id of a region, e.g. cn-hangzhou")
    name = environment.get("ALIBROKER_NAME", "") or "alibroker"
    if not _NAME.fullmatch(name):
        raise SettingsError("ALIBROKER_NAME is not 1 to 63 letters, digits and . _ -")
    try:
        rates = parse_rates(environment.get("ALIBROKER_CLOUD_RATE", ""))
    except RatesError as error:
        raise SettingsError(f"ALIBROKER_CLOUD_RATE: {error}") from error
    directory = environment.get("ALIBROKER_DATA_DIR", "")
    return CloudSettings(
        region=region,
        endpoint=_endpoint(environment.get("ALIBROKER_CLOUD_ENDPOINT", "")),
        poll_interval=_seconds(environment, "ALIBROKER_POLL_INTERVAL", 15.0, at_least=0.01),
        settle=_seconds(environment, "ALIBROKER_SETTLE_SECONDS", 120.0, at_least=0.0),
        name=name,
        vpc_id=environment.get("ALIBROKER_VPC_ID", ""),
        vswitch_id=environment.get("ALIBROKER_VSWITCH_ID", ""),
        zone_id=environment.get("ALIBROKER_ZONE_ID", ""),
        rates=rates,
        directory=Path(directory) if directory else None,
    )


def read_flag(environment: Mapping[str, str], name: str) -> bool:
    """Read a setting that is `true` or `false`; false if it is not there.

    Raises:
        SettingsError: It is neither.
    """
    text = environment.get(name, "").lower()
    if text not in {"", "true", "false"}:
        raise SettingsError(f"{name} is neither true nor false")
    return text == "true"


def _endpoint(text: str) -> str | None:
    if not text:
        return None
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/") or url.query:
        raise SettingsError("ALIBROKER_CLOUD_ENDPOINT is not of the form http://host:port")
    if url.username or url.password:
        raise SettingsError("ALIBROKER_CLOUD_ENDPOINT has a user or password in it")
    return f"{url.scheme}://{url.netloc}"


def _seconds(
    environment: Mapping[str, str], name: str, default: float, *, at_least: float
) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not at_least <= value <= 3600:  # noqa: PLR2004 - an hour; also keeps out infinity and NaN
        raise SettingsError(f"{name} is not a number of seconds between {at_least} and 3600")
    return value
