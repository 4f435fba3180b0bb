"""RAM, STS and VPC: the products that services of the cloud stand on, and any broker may call."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.families import BUSY, Kind, rule
from alibroker.brokers.alibabacloud.product import Product

_RAM_CODES: Final = "RAM and STS, error codes"
_TERRAFORM: Final = "terraform-provider-alicloud, RAM's resources"
_ENTITIES: Final = (
    rule(Kind.NOT_FOUND, "", f"{_RAM_CODES}; {_TERRAFORM}", r"EntityNotExist(\..*)?"),
    rule(Kind.EXISTS, "", f"{_RAM_CODES}; {_TERRAFORM}", r"EntityAlreadyExists?(\..*)?"),
    rule(
        Kind.RETRY,
        BUSY,
        _RAM_CODES,
        r"DeleteConflict\.User\.(AccessKey|Group|LoginProfile|MFADevice|Policy)",
    ),
)

RAM: Final = Product(name="Ram", version="2015-05-01", host="ram.aliyuncs.com", rules=_ENTITIES)
STS: Final = Product(name="Sts", version="2015-04-01", host="sts.aliyuncs.com", rules=_ENTITIES)
VPC: Final = Product(
    name="Vpc",
    version="2016-04-28",
    rules=(
        rule(
            Kind.NOT_FOUND,
            "",
            "VPC, error codes",
            r"InvalidVpcI[Dd]\.NotFound",
            r"Forbidden\.VpcNotFound",
        ),
    ),
)
