"""What comes in: authentication, headers, bodies, ids; and what is answered if they are wrong."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from alibroker.http.bodies import strict_json
from alibroker.http.errors import OsbError

INSTANCE = "/v2/service_instances/i1"
BINDING = f"{INSTANCE}/service_bindings/b1"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.osb("AUTH-6", "AUTH-7")
def test_each_of_several_users_is_let_in_with_any_case_of_the_scheme(platform: Any) -> None:
    other = basic("other:x").replace("Basic", "bAsIc")
    assert platform("GET", "/v2/catalog").status_code == 200
    assert platform("GET", "/v2/catalog", headers={"Authorization": other}).status_code == 200


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("2.13", 200),
        ("2.17", 200),
        ("2.99", 200),
        (" 2.17 ", 200),
        ("2.12", 412),
        ("2.9", 412),
        ("1.17", 412),
        ("3.0", 412),
        ("", 412),
        ("abc", 412),
        ("2", 412),
        ("2.x", 412),
        ("v2.17", 412),
        ("2.17.1", 412),
        ("2.13, 2.14", 412),
        ("9" * 5000 + ".1", 412),
        (None, 412),
    ],
)
def test_versions(platform: Any, version: str | None, status: int) -> None:
    result = platform("GET", "/v2/catalog", headers={"X-Broker-API-Version": version})
    assert result.status_code == status
    if status == 412:
        assert "2.13" in result.json["description"]


def test_a_missing_version_can_be_a_bad_request(system: Any, make_platform: Any) -> None:
    platform = make_platform(system, missing_version=400)
    result = platform("GET", "/v2/catalog", headers={"X-Broker-API-Version": None})
    assert result.status_code == 400


@pytest.mark.parametrize("path", ["/v2/catalog", "/elsewhere", f"{INSTANCE}/last_operation"])
def test_the_request_identity_is_echoed_on_every_answer(platform: Any, path: str) -> None:
    for authorization in (basic("other:x"), "none"):
        headers = {"X-Broker-API-Request-Identity": "r-1", "Authorization": authorization}
        result = platform("GET", path, headers=headers)
        assert result.headers["X-Broker-API-Request-Identity"] == "r-1"


BODIES = {
    "empty": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"service_id": "\xff"}',
    "array": b"[]",
    "null": b"null",
    "text": b'"x"',
    "empty object": b"{}",
    "deep": b'{"parameters": ' + b'{"a":' * 60 + b"1" + b"}" * 60 + b"}",
    "very deep": b'{"parameters": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NaN": b'{"service_id": NaN}',
    "infinity": b'{"parameters": {"a": 1e999}}',
    "a number of many digits": b'{"parameters": {"a": ' + b"9" * 5000 + b"}}",
    "more than 64 bits": b'{"parameters": {"a": [{"b": 18446744073709551616}]}}',
    "a member twice": b'{"service_id": "a", "service_id": "b"}',
    "a member twice inside": b'{"parameters": {"a": {"b": 1, "b": 2}}}',
    "half a character": b'{"parameters": {"a": "\\ud800"}}',
    "a byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_none(platform: Any, name: str) -> None:
    for method, path in (("PUT", INSTANCE), ("PATCH", INSTANCE), ("PUT", BINDING)):
        result = platform(method, path, BODIES[name], headers={"Content-Type": "application/json"})
        assert result.status_code == 400, (method, path)
        assert result.json["error"] == "BadRequest"
        assert result.json["description"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"service_id": None}, "service_id"),
        ({"service_id": ""}, "service_id"),
        ({"plan_id": ""}, "plan_id"),
        ({"service_id": 1}, "service_id"),
        ({"service_id": "unknown"}, "service_id"),
        ({"plan_id": "unknown"}, "plan_id"),
        ({"organization_guid": ...}, "organization_guid"),
        ({"space_guid": ""}, "space_guid"),
        ({"parameters": []}, "parameters"),
        ({"parameters": "x"}, "parameters"),
        ({"context": 1}, "context"),
        ({"maintenance_info": "x"}, "maintenance_info"),
    ],
)
def test_a_wrong_member_is_named(
    platform: Any, system: Any, provision_body: Any, change: Any, named: str
) -> None:
    body = {name: value for name, value in {**provision_body, **change}.items() if value != ...}
    result = platform("PUT", INSTANCE, body, query_string="accepts_incomplete=true")
    assert result.status_code == 400
    assert named in result.json["description"]
    assert system.view.keys() == []


def test_too_large_a_body_is_refused(system: Any, make_platform: Any, provision_body: Any) -> None:
    platform = make_platform(system, max_body=1000)
    body = {**provision_body, "parameters": {"a": "x" * 1000}}
    assert platform("PUT", INSTANCE, body).status_code == 413


@pytest.mark.parametrize(
    ("many", "status"),
    [
        ({"a": [1] * 9_000}, 202),
        ({"a": [1] * 10_000}, 400),
        ({f"k{number}": 1 for number in range(18_000)}, 400),
        ({"a": [[]] * 10_000}, 400),
        ({"a": [{}] * 10_000}, 400),
        # What separates members separates none inside of texts.
        ({"a": ",[{" * 20_000}, 202),
        ({"a": '\\",' * 20_000}, 202),
        ({'\\",[' * 10_000: '",'}, 202),
    ],
)
def test_members_are_bounded_as_depth_is(
    platform: Any, provision_body: Any, many: Any, status: int
) -> None:
    body = {**provision_body, "context": many}
    result = platform("PUT", INSTANCE, body, query_string="accepts_incomplete=true")
    assert result.status_code == status
    if status == 400:
        assert "10000 members" in result.json["description"]


@pytest.mark.parametrize(
    "data", [b'"' * 250_000, b'\\"' * 125_000, b'"\\' * 125_000, b"[" * 250_000]
)
def test_bounding_takes_no_time(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(OsbError):
        strict_json(b"," * 11_000 + data)
    # Whoever tries each quotation mark anew needs minutes.
    assert time.process_time() - started < 5


def test_a_byte_order_mark_is_skipped(platform: Any, provision_body: Any) -> None:
    body = json.dumps(provision_body).encode("utf-8-sig")
    headers = {"Content-Type": "application/json"}
    query = {"query_string": "accepts_incomplete=true"}
    assert platform("PUT", INSTANCE, body, headers=headers, **query).status_code == 202


@pytest.mark.parametrize(
    ("coding", "status"), [("gzip", 415), ("br, gzip", 415), ("Identity", 202), ("", 202)]
)
def test_an_encoded_body_is_refused(
    platform: Any, provision_body: Any, coding: str, status: int
) -> None:
    headers = {"Content-Encoding": coding}
    query = {"query_string": "accepts_incomplete=true"}
    result = platform("PUT", INSTANCE, provision_body, headers=headers, **query)
    assert result.status_code == status
    if status == 415:
        assert result.headers["Accept-Encoding"] == "identity"
        assert "Content-Encoding" in result.json["description"]


def test_more_than_the_store_takes_is_refused(
    system: Any, make_platform: Any, provision_body: Any
) -> None:
    platform = make_platform(system, max_body=4_000_000)
    body = {**provision_body, "parameters": {"a": "x" * 1_500_000}}
    refused = platform("PUT", INSTANCE, body, query_string="accepts_incomplete=true")
    assert (refused.status_code, refused.json["error"]) == (413, "PayloadTooLarge")
    assert system.view.keys() == []


def test_another_content_type_is_a_bad_request(platform: Any, provision_body: Any) -> None:
    result = platform("PUT", INSTANCE, provision_body, headers={"Content-Type": "text/plain"})
    assert result.status_code == 400


@pytest.mark.parametrize("instance_id", ["a%00b", "a%0Ab", "x" * 600, "%FF", "%7F", "a%2Fb"])
def test_ids_that_cannot_be_one(platform: Any, provision_body: Any, instance_id: str) -> None:
    path = f"/v2/service_instances/{instance_id}"
    for method, body in (("PUT", provision_body), ("DELETE", None), ("GET", None)):
        result = platform(method, path, body, query_string="service_id=a&plan_id=b")
        assert result.status_code == 400, method


@pytest.mark.osb("URL-2", "URL-3", "URL-6")
@pytest.mark.parametrize("instance_id", ["org", "a.b_c~d-e", "%C3%BC", "a%20b", "..."])
def test_ids_need_not_be_guids(platform: Any, provision_body: Any, instance_id: str) -> None:
    path = f"/v2/service_instances/{instance_id}"
    result = platform("PUT", path, provision_body, query_string="accepts_incomplete=true")
    assert result.status_code == 202
    assert platform("GET", f"{path}/last_operation").status_code == 200


def test_unknown_paths_and_methods_are_answered_in_json(platform: Any) -> None:
    assert platform("GET", "/v2/nothing").json["error"] == "NotFound"
    wrong = platform("POST", INSTANCE)
    assert wrong.status_code == 405
    assert "PUT" in wrong.headers["Allow"]
    assert wrong.json["description"]
