"""Regions: the account has buckets in all of them, although RDS is simulated in one only.

All share one address, so the region that a signature of version 4 names stands for the endpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.oss.documents import Bucket

_REGIONS = frozenset(
    [
        "cn-hangzhou",
        "cn-shanghai",
        "cn-nanjing",
        "cn-fuzhou",
        "cn-wuhan-lr",
        "cn-qingdao",
        "cn-beijing",
        "cn-zhangjiakou",
        "cn-huhehaote",
        "cn-wulanchabu",
        "cn-shenzhen",
        "cn-heyuan",
        "cn-guangzhou",
        "cn-chengdu",
        "cn-hongkong",
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-southeast-1",
        "ap-southeast-3",
        "ap-southeast-5",
        "ap-southeast-6",
        "ap-southeast-7",
        "eu-central-1",
        "eu-west-1",
        "me-central-1",
        "me-east-1",
        "na-south-1",
        "us-east-1",
        "us-west-1",
    ]
)


def is_region(cloud: Cloud, name: str) -> bool:
    """Tell whether there is such a region."""
    return name in _REGIONS or name == cloud.region


def region_of(cloud: Cloud, bucket: Bucket | None) -> str:
    """Return where a bucket is."""
    return (bucket.region if bucket else "") or cloud.region


def check_endpoint(cloud: Cloud, bucket: Bucket | None, signed: str) -> None:
    """Refuse to work on a bucket through the endpoint of another region.

    Raises:
        ApiError: AccessDenied.
    """
    place = region_of(cloud, bucket)
    if bucket is not None and signed and place != signed:
        raise ApiError(
            403,
            "AccessDenied",
            "The bucket you are attempting to access must be addressed using the specified "
            "endpoint. Please send all future requests to this endpoint.",
            ec="0003-00001403",
            details={"Bucket": bucket.name, "Endpoint": f"oss-{place}.aliyuncs.com"},
        )
