"""RDS as a product of the cloud."""

from __future__ import annotations

from typing import Final

from aliyunsdkrds.endpoint import endpoint_data

from alibroker.brokers.alibabacloud.orders import ORDER_RULES
from alibroker.brokers.alibabacloud.product import Product
from alibroker.brokers.rds.errors import RULES

RDS: Final = Product(
    name="Rds",
    version="2014-08-15",
    hosts=endpoint_data.getEndpointMap(),
    rules=(*RULES, *ORDER_RULES),
)
