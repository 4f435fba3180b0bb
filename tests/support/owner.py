"""The owner of the cloud account, who does things behind the broker's back."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import oss2
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from world import KEY, World

REGION = "cn-hangzhou"
VERSIONS = {"rds": "2014-08-15", "ram": "2015-05-01"}


class Owner:
    """Calls the cloud with the account's own access key."""

    def __init__(self, world: World) -> None:
        self._url = world.sandbox.url
        self._client = AcsClient(*KEY, REGION, timeout=30)

    def call(self, product: str, action: str, **parameters: Any) -> dict[str, Any]:
        """Call an RPC action."""
        request = CommonRequest(
            domain=urlsplit(self._url).netloc, version=VERSIONS[product], action_name=action
        )
        request.set_method("POST")
        request.set_protocol_type("http")
        for name, value in parameters.items():
            request.add_body_params(name, value)
        found: dict[str, Any] = json.loads(self._client.do_action_with_exception(request))
        return found

    def bucket(self, name: str) -> oss2.Bucket:
        """Return a bucket of the account, whether it exists or not."""
        session = oss2.Session()
        session.session.trust_env = False
        auth = oss2.AuthV4(*KEY)
        # The internal endpoint: the public one serves no objects.
        url = self._url.replace("127.0.0.1", "localhost")
        return oss2.Bucket(auth, url, name, region=REGION, session=session)
