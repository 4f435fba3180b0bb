"""Domains of the account's own: which bucket each of them stands for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import xml
from alibroker.sandbox.oss.call import document
from alibroker.sandbox.oss.documents import Domain
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def put_cname(call: Call) -> Response:
    """Let a domain stand for a bucket; whose the domain is, is not checked."""
    bucket = call.find_bucket()
    name = _asked(call)
    if _NAME.fullmatch(name) is None or name.endswith(".aliyuncs.com"):
        raise ApiError(400, "InvalidArgument", "The domain is not valid.")
    known = call.cloud.domains.get(name)
    if known is not None and known.bucket != bucket.name:
        raise ApiError(409, "CnameAlreadyExists", "The domain is bound to another bucket.")
    call.cloud.domains.put(name, Domain(name, bucket.name, call.now))
    return Response(200)


def list_cname(call: Call) -> Response:
    """List the domains of a bucket."""
    bucket = call.find_bucket()
    return document(
        "ListCnameResult",
        {
            "Bucket": bucket.name,
            "Owner": bucket.owner,
            "Cname": [
                {
                    "Domain": one.name,
                    "LastModified": xml.timestamp(one.bound),
                    "Status": "Enabled",
                }
                for one in call.cloud.domains.values()
                if one.bucket == bucket.name
            ],
        },
    )


def delete_cname(call: Call) -> Response:
    """Let a domain stand for a bucket no longer."""
    bucket = call.find_bucket()
    name = _asked(call)
    known = call.cloud.domains.get(name)
    if known is None or known.bucket != bucket.name:
        raise ApiError(404, "NoSuchCname", "The domain is not bound to the bucket.")
    call.cloud.domains.remove(name)
    return Response(200)


def _asked(call: Call) -> str:
    root = xml.parse(call.body)
    if root.tag != "BucketCnameConfiguration":
        raise xml.malformed("the root must be BucketCnameConfiguration")
    return (root.findtext("Cname/Domain") or "").lower()
