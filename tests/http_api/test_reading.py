"""What is read: HEAD, and what of the catalog is sent to whom."""

from __future__ import annotations

import gzip
import itertools
from typing import Any

import pytest

from alibroker.http.openapi import openapi_document
from alibroker.http.settings import EdgeSettings

READ = [path for path, item in openapi_document(EdgeSettings())["paths"].items() if "get" in item]


def test_head_is_answered_as_get_is_but_for_the_body(platform: Any, provision_body: Any) -> None:
    for created in ("i1", "i1/service_bindings/b1"):
        target = f"/v2/service_instances/{created}"
        assert platform("PUT", target, provision_body).status_code == 201
    for path, instance_id in itertools.product(READ, ["i1", "none"]):
        filled = path.format(instance_id=instance_id, binding_id="b1")
        get, head = platform("GET", filled), platform("HEAD", filled)
        assert head.status_code == get.status_code, filled
        assert head.headers == get.headers, filled
        assert int(head.headers["Content-Length"]) == len(get.content) > 0, filled
        assert head.content == b"", filled


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_the_catalog_is_not_sent_again_to_who_has_it(platform: Any, accepted: str) -> None:
    """Also when a proxy has made its tag a weak one (RFC 9110, section 8.8.3.2)."""
    headers = {"Accept-Encoding": accepted}
    first = platform("GET", "/v2/catalog", headers=headers)
    tag = first.headers["ETag"]
    for method, known in itertools.product(["GET", "HEAD"], [tag, f"W/{tag}", f'"x", {tag}', "*"]):
        more = {**headers, "If-None-Match": known}
        again = platform(method, "/v2/catalog", headers=more)
        assert (again.status_code, again.content) == (304, b""), (method, known)
        assert (again.headers["ETag"], again.headers["Vary"]) == (tag, "Accept-Encoding")


def test_the_catalog_is_sent_to_who_has_another(platform: Any) -> None:
    packed = platform("GET", "/v2/catalog", headers={"Accept-Encoding": "gzip"})
    headers = {"If-None-Match": packed.headers["ETag"], "Accept-Encoding": "identity"}
    found = platform("GET", "/v2/catalog", headers=headers)
    assert [service["name"] for service in found.json["services"]] == ["drawer"]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("identity;q=0.5,gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, identity", False),
        ("x-gzip, br", False),
        ("", False),
    ],
)
def test_the_catalog_comes_compressed_to_who_can_read_that(
    platform: Any, accepted: str, *, packed: bool
) -> None:
    plain = platform("GET", "/v2/catalog")
    found = platform("GET", "/v2/catalog", headers={"Accept-Encoding": accepted})
    assert found.headers["Vary"] == "Accept-Encoding"
    assert (found.headers.get("Content-Encoding") == "gzip") is packed
    assert (found.headers["ETag"] != plain.headers["ETag"]) is packed
    content = gzip.decompress(found.content) if packed else found.content
    assert content == plain.content
