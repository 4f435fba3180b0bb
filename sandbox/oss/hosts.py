"""Endpoints: what the name of the host in a request means, and which of them serve objects.

Accounts that activated OSS after 2025-03-20 may not use the default public endpoints of regions in
mainland China for data; that is how the sandbox is unless it is told otherwise.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss.regions import region_of

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.oss.call import Operation
    from alibroker.sandbox.wire import Request

INTERNAL_NAME = "localhost"
"""By this name the sandbox plays the internal endpoint; by its address the public one."""
_REAL = re.compile(
    r"(?:(?P<bucket>[a-z0-9-]+)\.)?(?:s3\.)?oss-[a-z0-9-]+?(?P<internal>-internal)?\.aliyuncs\.com"
)
# What is done to objects, and listed of them; the rest concerns buckets.
_DATA = frozenset(
    [
        "ListObjects",
        "ListObjectsV2",
        "ListObjectVersions",
        "ListMultipartUploads",
        "DeleteMultipleObjects",
        "PostObject",
    ]
)


def addressed(cloud: Cloud, request: Request) -> Request:
    """Return a request with its bucket in the path, where the host names the bucket."""
    bucket = _bucket(cloud, _host(request))
    return replace(request, path=f"/{bucket}{request.path}") if bucket else request


def check_data(cloud: Cloud, request: Request, operation: Operation, bucket: str, key: str) -> None:
    """Refuse what a public endpoint may not be used for.

    Raises:
        ApiError: PublicEndpointForbidden.
    """
    found = cloud.buckets.get(bucket)
    place = region_of(cloud, found)
    mainland = place.startswith("cn-") and place != "cn-hongkong"
    if cloud.settings.public_data_api or found is None or not mainland:
        return
    if not key and operation.name not in _DATA:
        return
    host = _host(request)
    real = _REAL.fullmatch(host)
    if host == INTERNAL_NAME or host in cloud.domains or (real and real["internal"]):
        return
    raise ApiError(
        400,
        "PublicEndpointForbidden",
        "Not allowed using the OSS public endpoint, please use CNAME instead.",
        ec="0048-00000401",
    )


def _host(request: Request) -> str:
    given = request.headers.get("host", "").lower()
    return re.sub(r":\d+$", "", given)


def _bucket(cloud: Cloud, host: str) -> str:
    domain = cloud.domains.get(host)
    if domain is not None:
        return domain.bucket
    real = _REAL.fullmatch(host)
    return (real["bucket"] or "") if real else ""
