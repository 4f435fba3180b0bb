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


class Variant:
    """The catalog in one form."""

    def __init__(self, tag: str, document: bytes) -> None:
        """Take its entity tag, without quotes, and its bytes."""
        self.tag = tag
        self.document = document
        self.headers = [("ETag", f'"{tag}"'), ("Vary", "Accept-Encoding")]


class CatalogResource:
    """`/v2/catalog`."""

    def __init__(self, catalog: Catalog) -> None:
        tag = catalog.etag.strip('"')
        self._plain = Variant(tag, catalog.document)
        self._packed = Variant(f"{tag}-gzip", catalog.compressed)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Fetch; 304 if the platform has it already (OSB, Catalog: conditional requests)."""
        accepted = req.get_header("Accept-Encoding")
        variant = self._packed if accepted and _GZIP.search(accepted) else self._plain
        resp.set_headers(variant.headers)
        known = req.if_none_match
        if known and not {variant.tag, "*"}.isdisjoint(map(str, known)):
            resp.status = 304
            return
        if variant is self._packed:
            resp.set_header("Content-Encoding", "gzip")
        resp.data = variant.document
        resp.content_type = falcon.MEDIA_JSON

    on_head = on_get
