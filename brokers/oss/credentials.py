"""The credentials of a binding, under the names that applications know."""

from __future__ import annotations

from alibroker.brokers.api import Json, Work
from alibroker.brokers.oss.access import Access


def credentials(work: Work, access: Access, username: str, key_id: str, secret: str) -> Json:
    """Return the credentials for the bucket that `work` is about.

    `host`, `uri` and `endpoint` are those of the bucket's region, whatever the broker's is.
    """
    facts = work.resource
    host, bucket = facts["host"], facts["bucket"]
    found = {
        "bucket": bucket,
        "username": username,
        "access_key_id": key_id,
        "secret_access_key": secret,
        "host": host,
        "uri": f"oss://{key_id}:{secret}@{host}:{bucket}",
        "region": facts["region"],
        "endpoint": facts["endpoint"],
        "access": access.level.value,
    }
    # Buckets of earlier versions of this broker do not know them.
    found |= {name: facts[name] for name in ("internal_endpoint", "s3_endpoint") if name in facts}
    return found | ({"prefix": access.prefix} if access.prefix else {})


def endpoints(work: Work) -> tuple[Json, ...]:
    """Return where the bucket is reached (OSB, Endpoint Object)."""
    scheme, _, address = str(work.resource["endpoint"]).partition("://")
    host, _, port = address.partition(":")
    return (
        {
            "host": host,
            "ports": [port or ("80" if scheme == "http" else "443")],
            "protocol": "tcp",
        },
    )
