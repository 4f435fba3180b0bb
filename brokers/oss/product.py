"""Object Storage Service, and what its error codes mean."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.families import (
    DISTURBANCE,
    FEWER,
    LIMIT,
    OVERDUE,
    Kind,
    rule,
)
from alibroker.brokers.alibabacloud.product import Product

_OSS: Final = "OSS, error codes"
_FORBIDDEN: Final = "OSS, HTTP 403"

OSS: Final = Product(
    name="oss",
    rules=(
        rule(
            Kind.THROTTLED,
            FEWER,
            _OSS,
            r"ServiceBusy",
            r"\w*(Qps|TrafficRate)LimitExceeded",
        ),
        rule(Kind.UNKNOWN, DISTURBANCE, _OSS, r"RequestTimeout"),
        rule(Kind.NOT_FOUND, "", _OSS, r"NoSuch(Bucket|Key|Upload)", r"Http404"),
        rule(Kind.EXISTS, "", _OSS, r"BucketAlreadyExists"),
        rule(
            Kind.FAILED,
            "the bucket still holds objects, versions or unfinished uploads: empty it, then try "
            "again",
            _OSS,
            r"BucketNotEmpty",
        ),
        rule(
            Kind.FAILED,
            "this Alibaba Cloud account may not use the default public endpoints of OSS in "
            "mainland China for what is in buckets: the broker's operator has to set "
            "ALIBROKER_OSS_ENDPOINT to internal, if the broker runs in the bucket's region, or to "
            "a domain of the bucket",
            "OSS, Access OSS through a custom domain name",
            r"PublicEndpointForbidden",
        ),
        rule(
            Kind.FAILED,
            "a retention policy of the bucket forbids this until its time is over",
            _OSS,
            r"FileImmutable",
        ),
        rule(Kind.DENIED, "", _FORBIDDEN, r"AccessDenied", r"BucketNotBelongTo"),
        rule(
            Kind.ACCOUNT,
            OVERDUE,
            _FORBIDDEN,
            r"AbnormalBucketOwnerStatus",
            r"BucketDisable",
        ),
        rule(
            Kind.QUOTA,
            LIMIT,
            _OSS,
            r"TooManyBuckets",
        ),
    ),
)
