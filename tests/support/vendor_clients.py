"""The vendor's newest RPC clients, pointed at a sandbox: witnesses that nobody here has written."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from witness import check_values

MODULES = {
    "rds": "alibabacloud_rds20140815",
    "ram": "alibabacloud_ram20150501",
    "sts": "alibabacloud_sts20150401",
    "vpc": "alibabacloud_vpc20160428",
}


class VendorClient:
    """One product's newest client.

    Args:
        product: rds, ram, sts or vpc.
        url: the sandbox's.
        key_id: of an AccessKey.
        secret: of the AccessKey.
        token: the security token of a session's key.
    """

    def __init__(self, product: str, url: str, key_id: str, secret: str, token: str = "") -> None:
        self._product = product
        # Imported when first wanted, for there are a thousand modules; not free of warnings.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._models: Any = importlib.import_module(f"{MODULES[product]}.models")
            client: Any = importlib.import_module(f"{MODULES[product]}.client")
            config: Any = importlib.import_module("alibabacloud_tea_openapi.utils_models")
            self._client = client.Client(
                config.Config(
                    access_key_id=key_id,
                    access_key_secret=secret,
                    security_token=token or None,
                    endpoint=url.removeprefix("http://"),
                    protocol="http",
                    region_id="cn-hangzhou",
                )
            )

    def model(self, name: str, **values: Any) -> Any:
        """Make one of the product's models from its API names, refusing those it does not know."""
        made = getattr(self._models, name)().from_map(values)
        unknown = values.keys() - made.to_map().keys()
        assert not unknown, f"{name} knows no {', '.join(sorted(unknown))}"
        return made

    def call(self, action: str, **parameters: Any) -> dict[str, Any]:
        """Call an action by its API name; returns what the client's own model kept of the answer.

        Raises:
            alibabacloud_tea_openapi.exceptions.AlibabaCloudException: It was refused.
        """
        wanted = action.lower()
        names = (name for name in dir(self._client) if name.replace("_", "") == wanted)
        method = getattr(self._client, next(names))
        takes_none = not hasattr(self._models, f"{action}Request")
        given = () if takes_none else (self.model(f"{action}Request", **parameters),)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = method(*given)
        assert answer.status_code == 200
        kept: dict[str, Any] = answer.body.to_map()
        assert (wrong := check_values(self._product, action, kept)) == [], wrong
        return kept
