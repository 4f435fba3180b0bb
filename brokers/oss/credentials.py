"""The credentials of a binding, under the names that applications know."""

from __future__ import annotations

from urllib.parse import quote

from alibroker.brokers.api import Json, Work
from alibroker.brokers.oss.access import Access


def credentials(
    work: Work, places: Json, access: Access, username: str, key_id: str, secret: str
) -> Json:
    """Return the credentials for the bucket that `work` is about, which is reached at `places`."""
    bucket = work.resource["bucket"]
    found = {
        "bucket": bucket,
        "username": username,
        "access_key_id": key_id,
        "secret_access_key": secret,
        "uri": uri(key_id, secret, places["host"], bucket),
        "region": work.resource["region"],
        **places,
        "access": access.level.value,
    }
    return found | ({"prefix": access.prefix} if access.prefix else {})


def uri(key_id: str, secret: str, host: str, bucket: str) -> str:
    """Return it all in one text that generic parsers take (RFC 3986).

    What follows the colon after a host is a port to them, so the bucket is the path.
    """
    return f"oss://{quote(key_id, safe='')}:{quote(secret, safe='')}@{host}/{bucket}"


def endpoints(places: Json) -> tuple[Json, ...]:
    """Return where the bucket is reached (OSB, Endpoint Object)."""
    scheme, _, address = str(places["endpoint"]).partition("://")
    host, _, port = address.partition(":")
    return (
        {
            "host": host,
            "ports": [port or ("80" if scheme == "http" else "443")],
            "protocol": "tcp",
        },
    )
