"""The catalog: bytes that were made once, at start."""

from __future__ import annotations

import re
from typing import Final

import falcon
import falcon.asgi

from alibroker.brokers.catalog import Catalog

_GZIP: Final = re.compile(
    r"(?:^|[\s,])gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE
)
"""What permits gzip in an Accept-Encoding (RFC 9110, section 12.5.3): not with a weight of 0."""


class CatalogResource:
    """`/v2/catalog`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        tag = catalog.etag.strip('"')
        self._variants = {
            False: (tag, catalog.document),
            True: (f"{tag}-gzip", catalog.compressed),
        }

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Fetch; 304 if the platform has it already (OSB, Catalog: conditional requests)."""
        packed = _GZIP.search(req.get_header("Accept-Encoding") or "") is not None
        tag, document = self._variants[packed]
        resp.set_header("ETag", f'"{tag}"')
        resp.set_header("Vary", "Accept-Encoding")
        known = {str(one) for one in req.if_none_match or []}
        if not known.isdisjoint((tag, "*")):
            resp.status = 304
            return
        if packed:
            resp.set_header("Content-Encoding", "gzip")
        resp.data = document
        resp.content_type = falcon.MEDIA_JSON

    on_head = on_get
