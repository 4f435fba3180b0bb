"""The machine's metadata service, under /latest/: plain and token mode."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox import sts
from alibroker.sandbox.cloud import NODE_ROLE, timestamp
from alibroker.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud

_TTL_HEADER = "x-aliyun-ecs-metadata-token-ttl-seconds"
_TOKEN_HEADER = "x-aliyun-ecs-metadata-token"  # noqa: S105 - a header's name
_MAX_TTL = 21600
_CREDENTIALS = "/latest/meta-data/ram/security-credentials/"


def respond(cloud: Cloud, request: Request) -> Response:
    """Answer a request to the metadata service."""
    now = time.time()
    if request.path == "/latest/api/token":
        return _issue_token(cloud, request, now)
    if request.method != "GET":
        return _text("method not allowed", 405)
    token = request.headers.get(_TOKEN_HEADER)
    if token is None:
        if cloud.settings.metadata_token_required:
            return _text("a metadata token is required", 403)
    elif not _is_valid(cloud, token, now):
        return _text("the metadata token is invalid or expired", 401)
    # Older programs write Ram, and the real service has always answered them.
    path = request.path.replace("/latest/meta-data/Ram/", "/latest/meta-data/ram/", 1)
    if path == _CREDENTIALS:
        return _text(NODE_ROLE)
    if path == _CREDENTIALS + NODE_ROLE:
        return _credentials(cloud, now)
    found = _facts(cloud).get(path.removeprefix("/latest/meta-data/"))
    return _text("not found", 404) if found is None else _text(found)


def _facts(cloud: Cloud) -> dict[str, str]:
    zone, vswitch = next(iter(cloud.owner.vswitches.items()))
    facts = {
        "region-id": cloud.region,
        "zone-id": zone,
        "vpc-id": cloud.owner.vpc,
        "vswitch-id": vswitch,
        "instance-id": cloud.owner.vpc.replace("vpc-", "i-", 1),
        "owner-account-id": cloud.owner.id,
        "private-ipv4": "192.168.0.2",
        "mac": "00:16:3e:00:00:02",
    }
    return {**facts, "": "\n".join([*facts, "ram/"])}


def _credentials(cloud: Cloud, now: float) -> Response:
    seconds = cloud.settings.role_credential_seconds
    try:
        session, secret = sts.issue(cloud, cloud.roles[NODE_ROLE], "metadata", now, seconds)
        cloud.store.commit()
    except BaseException:
        cloud.store.rollback()
        raise
    body = {
        "AccessKeyId": session.key_id,
        "AccessKeySecret": secret,
        "SecurityToken": session.token,
        "Expiration": timestamp(session.expires),
        "LastUpdated": timestamp(now),
        "Code": "Success",
    }
    return Response(200, msgspec.json.encode(body), [("content-type", "application/json")])


def _issue_token(cloud: Cloud, request: Request, now: float) -> Response:
    ttl = request.headers.get(_TTL_HEADER, "")
    if request.method != "PUT" or not ttl.isdecimal() or not 1 <= int(ttl) <= _MAX_TTL:
        return _text(f"PUT with {_TTL_HEADER} from 1 to {_MAX_TTL}", 400)
    expires = str(int(now) + int(ttl))
    return _text(f"{expires}.{_mac(cloud, expires)}")


def _is_valid(cloud: Cloud, token: str, now: float) -> bool:
    expires, _, mac = token.partition(".")
    return (
        expires.isdecimal()
        and hmac.compare_digest(mac.encode(), _mac(cloud, expires).encode())
        and now < int(expires)
    )


def _mac(cloud: Cloud, text: str) -> str:
    key = cloud.owner.sealed_secret.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _text(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), [("content-type", "text/plain")])
