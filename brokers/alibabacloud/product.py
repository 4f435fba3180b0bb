"""What differs between the cloud's products: names, versions, endpoints, and what errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alibroker.brokers.alibabacloud.families import Rule

_DOMAIN: Final = "aliyuncs.com"


@dataclass(frozen=True, kw_only=True)
class Product:
    """One product of the cloud, as those know it who call it; a broker brings its own."""

    name: str
    """As the vendor's SDK writes it."""
    version: str = ""
    """Of its API; empty where requests do not say it."""
    host: str = ""
    """Where it is called in every region; empty if regions have hosts of their own."""
    hosts: Mapping[str, str] | None = None
    """Where it is called, by region; a region that is not there has a host of the usual name."""
    rules: tuple[Rule, ...] = ()
    """What its error codes mean; looked at before those that all products share."""

    @property
    def prefix(self) -> str:
        """How its actions begin in RAM policies, and its rates in settings."""
        return self.name.lower()

    def host_in(self, region: str) -> str:
        """Return the host that is called for a region."""
        usual = f"{self.prefix}.{region}.{_DOMAIN}"
        return self.host or (self.hosts or {}).get(region, usual)
