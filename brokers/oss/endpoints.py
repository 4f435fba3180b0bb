"""Through which of its endpoints OSS is asked, and which of them applications are told.

Accounts that activated OSS after 2025-03-20 may not use the default public endpoints of regions in
mainland China for what is in buckets; for the buckets themselves they may. Internal endpoints and
domains of one's own serve everything (OSS, Access OSS through a custom domain name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from alibroker.brokers.alibabacloud.settings import SettingsError

OSS_ENDPOINT: Final = "ALIBROKER_OSS_ENDPOINT"
"""The setting that says through which endpoint the broker asks OSS."""
OSS_BINDING_ENDPOINT: Final = "ALIBROKER_OSS_BINDING_ENDPOINT"
"""The setting that says which endpoint applications are told."""
_PUBLIC: Final = "public"
_INTERNAL: Final = "internal"
_BUCKET: Final = "{bucket}"
_EVERYWHERE: Final = ""
_LOOPBACK: Final = re.compile(r"//(127\.0\.0\.1|\[::1\])(?=:|$)")
_REGION: Final = re.compile(r"[a-z]+(-[a-z0-9]+)+")
_FORM: Final = (
    "public, internal, or a URL such as https://{bucket}.files.example.com; for one region only "
    "with it in front, as in cn-hangzhou=internal, several with commas in between"
)


class Endpoint(msgspec.Struct, frozen=True):
    """Where a bucket is reached. `is_domain` says that the host stands for this bucket alone."""

    url: str
    is_domain: bool = False


class Endpoints:
    """Knows the endpoints of every region."""

    def __init__(
        self,
        stand_in: str | None = None,
        own: Mapping[str, str] | None = None,
        handed: Mapping[str, str] | None = None,
    ) -> None:
        """Take the URL that stands in for the whole cloud, and what the settings say."""
        self._stand_in = stand_in
        self._own = own or {}
        self._handed = handed or {}

    @classmethod
    def read(cls, environment: Mapping[str, str], stand_in: str | None) -> Endpoints:
        """Read the settings.

        Raises:
            SettingsError: One is wrong.
        """
        return cls(
            stand_in,
            own=_parse(environment, OSS_ENDPOINT),
            handed=_parse(environment, OSS_BINDING_ENDPOINT),
        )

    def of_buckets(self, region: str) -> str:
        """Return the URL for what is done to buckets, which no domain of theirs can serve."""
        choice = _choice(self._own, region)
        if not choice or _BUCKET in choice:
            return self._public(region)
        return self._resolve(choice, "", region).url

    def of_contents(self, bucket: str, region: str) -> Endpoint:
        """Return the endpoint that the broker uses for what is in a bucket."""
        return self._resolve(_choice(self._own, region) or _PUBLIC, bucket, region)

    def of_applications(self, bucket: str, region: str, *, inside: bool) -> Endpoint:
        """Return the endpoint that applications are told.

        Where no setting says which, it is the public one, or the internal one if `inside`.
        """
        choice = _choice(self._handed, region) or _choice(self._own, region)
        return self._resolve(choice or (_INTERNAL if inside else _PUBLIC), bucket, region)

    def internal(self, region: str) -> str:
        """Return the URL of OSS for machines in `region`, where traffic is free."""
        if self._stand_in is not None:
            # One port plays all endpoints; by its name it is reached as from inside.
            return _LOOPBACK.sub("//localhost", self._stand_in)
        return f"https://oss-{region}-internal.aliyuncs.com"

    def s3(self, endpoint: Endpoint, region: str) -> str:
        """Return the URL for clients of the S3 protocol that goes with an endpoint.

        They put the bucket in front of the host, so a bucket's own domain does not serve them.
        """
        url = self.internal(region) if endpoint.is_domain else endpoint.url
        return re.sub(r"(https?://)(oss-[a-z0-9-]+\.aliyuncs\.com)", r"\1s3.\2", url)

    def _public(self, region: str) -> str:
        return self._stand_in or f"https://oss-{region}.aliyuncs.com"

    def _resolve(self, choice: str, bucket: str, region: str) -> Endpoint:
        if choice == _PUBLIC:
            return Endpoint(self._public(region))
        if choice == _INTERNAL:
            return Endpoint(self.internal(region))
        return Endpoint(choice.replace(_BUCKET, bucket), is_domain=_BUCKET in choice)


def _choice(choices: Mapping[str, str], region: str) -> str:
    return choices.get(region) or choices.get(_EVERYWHERE, "")


def _parse(environment: Mapping[str, str], setting: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in environment.get(setting, "").split(","))):
        region, equals, value = part.rpartition("=")
        if (equals and not _REGION.fullmatch(region)) or not _is_endpoint(value):
            raise SettingsError(f"{setting} is not {_FORM}")
        if region in found:
            raise SettingsError(f"{setting} names {region or 'all regions'} twice")
        found[region] = value.rstrip("/")
    return found


def _is_endpoint(text: str) -> bool:
    if text in {_PUBLIC, _INTERNAL}:
        return True
    try:
        url = urlsplit(text.replace(_BUCKET, "bucket"))
        reached = bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return (
        reached
        and url.scheme in {"http", "https"}
        and not (url.username or url.password or url.query or url.fragment or url.path.strip("/"))
        and re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", url.netloc) is not None
    )
