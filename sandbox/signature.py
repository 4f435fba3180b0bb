"""Signature checks of the cloud's side: RPC version 1, ACS3, OSS versions 1 and 4.

The rules are those of the vendor's "Signature" pages, checked against requests of the real SDKs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_SUBRESOURCES = frozenset(
    [
        "acl",
        "bucketInfo",
        "stat",
        "uploads",
        "uploadId",
        "partNumber",
        "delete",
        "lifecycle",
        "tagging",
        "encryption",
        "versioning",
        "versions",
        "versionId",
        "policy",
        "publicAccessBlock",
        "continuation-token",
        "security-token",
        "location",
        "logging",
        "website",
        "referer",
        "cors",
        "objectMeta",
        "append",
        "position",
        "symlink",
        "worm",
        "wormId",
        "wormExtend",
        "inventory",
        "inventoryId",
        "replication",
        "replicationLocation",
        "replicationProgress",
        "restore",
        "status",
        "requestPayment",
        "qos",
        "qosInfo",
        "transferAcceleration",
        "cname",
        "resourceGroup",
        "style",
        "styleName",
        "response-content-type",
        "response-content-language",
        "response-expires",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "x-oss-process",
        "x-oss-traffic-limit",
        "callback",
        "callback-var",
    ]
)


def percent_encode(text: str) -> str:
    """Escape all but the unreserved characters of RFC 3986."""
    return quote(text, safe="-_.~")


def rpc_string_to_sign(method: str, parameters: Iterable[tuple[str, str]]) -> str:
    """Build the text that an RPC signature covers, from query and form together."""
    canonical = "&".join(
        f"{percent_encode(name)}={percent_encode(value)}"
        for name, value in sorted(parameters)
        if name != "Signature"
    )
    return f"{method}&%2F&{percent_encode(canonical)}"


def rpc_signature(secret: str, string_to_sign: str) -> str:
    """Sign with HMAC-SHA1, as RPC signature version 1.0 does."""
    return _hmac_sha1(f"{secret}&", string_to_sign)


def acs3_string_to_sign(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    signed: Collection[str],
    content_sha256: str,
) -> str:
    """Build the text that an ACS3 signature covers; `signed` are names of headers, lower-case."""
    pairs = sorted((percent_encode(name), percent_encode(value)) for name, value in query)
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(signed)),
            ";".join(sorted(signed)),
            content_sha256,
        ]
    )
    return f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def acs3_signature(secret: str, string_to_sign: str) -> str:
    """Sign with HMAC-SHA256, as ACS3-HMAC-SHA256 does."""
    return hmac.new(secret.encode(), string_to_sign.encode(), hashlib.sha256).hexdigest()


def oss_v1_string_to_sign(
    method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str]
) -> str:
    """Build the text that an OSS version 1 signature covers; the path is the raw one."""
    oss_headers = "".join(
        f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-oss-")
    )
    signed = sorted((name, value) for name, value in query if name in _SUBRESOURCES)
    resource = unquote(path)
    if signed:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in signed)
    return "\n".join(
        [
            method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            headers.get("x-oss-date") or headers.get("date", ""),
            oss_headers + resource,
        ]
    )


def oss_v1_signature(secret: str, string_to_sign: str) -> str:
    """Sign with HMAC-SHA1, as OSS signature version 1 does."""
    return _hmac_sha1(secret, string_to_sign)


def oss_v4_string_to_sign(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    scope: str,
    additional: Collection[str] = (),
    *,
    stamp: str = "",
) -> str:
    """Build the text that an OSS version 4 signature covers; the path is the raw one.

    A signed URL has no header x-oss-date: the `stamp` in its query takes its place.
    """
    pairs = sorted((percent_encode(name), percent_encode(value)) for name, value in query)
    canonical_headers = "".join(
        f"{name}:{headers[name]}\n"
        for name in sorted(headers)
        if name.startswith("x-oss-")
        or name in ("content-type", "content-md5")
        or name in additional
    )
    canonical = "\n".join(
        [
            method,
            quote(unquote(path), safe="/-_.~"),
            "&".join(f"{name}={value}" if value else name for name, value in pairs),
            canonical_headers,
            ";".join(sorted(additional)),
            headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return "\n".join(["OSS4-HMAC-SHA256", stamp or headers["x-oss-date"], scope, digest])


def oss_v4_signature(secret: str, scope: str, string_to_sign: str) -> str:
    """Sign with the key that the scope (date/region/product/terminator) is derived into."""
    key = _v4_key(secret, scope)
    return hmac.new(key, string_to_sign.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=1024)
def _v4_key(secret: str, scope: str) -> bytes:
    key = f"aliyun_v4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _hmac_sha1(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()).decode()


def matches(expected: str, given: str) -> bool:
    """Compare two signatures in constant time."""
    return hmac.compare_digest(expected.encode(), given.encode())
