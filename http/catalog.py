"""The catalog: bytes that were made once, at start."""

from __future__ import annotations

import falcon
import falcon.asgi

from alibroker.brokers.catalog import Catalog


class CatalogResource:
    """`/v2/catalog`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Fetch; 304 if the platform has it already (OSB, Catalog: conditional requests)."""
        resp.set_header("ETag", self._catalog.etag)
        known = [str(tag) for tag in req.if_none_match or []]
        if self._catalog.etag.strip('"') in known or "*" in known:
            resp.status = 304
            return
        resp.data = self._catalog.document
        resp.content_type = falcon.MEDIA_JSON
