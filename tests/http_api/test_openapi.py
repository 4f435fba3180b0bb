"""The OpenAPI document: valid, complete, and true of every answer of the running broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon.inspect
import pytest
import requests
import schemathesis
from drawer_app import OPERATOR, USER, DrawerServer, drawer_server
from drawers import PLAN, SERVICE
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from alibroker.brokers import catalog
from alibroker.http import openapi
from alibroker.http.answers import REFUSALS
from alibroker.http.app import create_app
from alibroker.http.settings import EdgeSettings
from alibroker.lifecycle.findings import Disagreement

DOCUMENT = openapi.openapi_document(EdgeSettings())
METHODS = ("get", "put", "patch", "delete", "post", "head", "options", "trace")
OPERATIONS = [
    f"{method.upper()} {path}"
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method in METHODS
]
# Wrong credentials are not what is looked for here, and are answered ever later.
SCHEMA = schemathesis.openapi.from_dict({**DOCUMENT, "security": []})
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
OF_THE_SERVER = (414, 431)
"""Targets and headers that are too long never reach the application."""
EXPLORED = [
    (label, mode)
    for label in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    # Nothing can be wrong with a request that consists of its path.
    if mode is GenerationMode.POSITIVE or "{" in label or label.endswith("catalog")
]
HEADERS = {"X-Broker-API-Version": "2.17"}
OFFERS = [{"service_id": SERVICE, "plan_id": plan} for plan in (PLAN, "plan-2", "plan-3", "plan-4")]
STEERS = [None] + [
    {
        "id": one,
        "query": {**offer, "accepts_incomplete": incomplete},
        "body": {**offer, **sent},
    }
    for one in ("a", "b")
    for offer in OFFERS
    for incomplete in ("true", "false")
    for sent in ({}, {"parameters": {}}, {"maintenance_info": {"version": "1.2.0"}})
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawerServer]:
    with drawer_server(tmp_path_factory.mktemp("openapi")) as server:
        yield server


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_the_document_knows_all_that_a_survey_can_find() -> None:
    finding = DOCUMENT["components"]["schemas"]["Survey"]["properties"]["findings"]["items"]
    assert finding["properties"]["disagreement"]["enum"] == list(Disagreement)


def test_it_has_each_route_and_method_of_the_application_and_no_other(system: Any) -> None:
    routed = {
        f"{method.method} {route.path}"
        for route in falcon.inspect.inspect_app(create_app(system, {"user": "x"})).routes
        for method in route.methods
        if not method.internal
    }
    # Of HEAD the document says once that it is wherever GET is.
    heads = {one for one in routed if one.startswith("HEAD ")}
    assert heads == {one.replace("GET", "HEAD") for one in OPERATIONS if one.startswith("GET ")}
    assert routed - heads == set(OPERATIONS)


def test_each_refusal_is_in_it() -> None:
    responses = DOCUMENT["components"]["responses"]
    written = str(DOCUMENT["paths"]) + str(responses)
    for status, error, _ in REFUSALS.values():
        assert f"'{status}'" in written
        assert f"'{error}'" in written


def test_it_hides_what_the_catalog_hides() -> None:
    assert set(openapi._UNPUBLISHED) == set(catalog._UNPUBLISHED)


def test_it_says_the_bounds_that_hold() -> None:
    document = openapi.openapi_document(EdgeSettings(max_body=4711))
    assert "4711" in document["components"]["responses"]["PayloadTooLarge"]["description"]
    body = document["components"]["schemas"]["ProvisionBody"]
    assert body["properties"]["service_id"]["maxLength"] == 1024
    assert "${" not in str(document)


def test_it_is_served_without_version_but_not_without_password(server: DrawerServer) -> None:
    url = f"{server.url}/openapi.json"
    assert requests.get(url, timeout=10).status_code == 401
    answer = requests.get(url, auth=USER, timeout=10)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == DOCUMENT


@pytest.mark.parametrize("label", OPERATIONS)
def test_who_is_not_let_in_is_told_so_as_documented(server: DrawerServer, label: str) -> None:
    operation = SCHEMA.find_operation_by_label(label)
    case = operation.Case(
        path_parameters={"instance_id": "i", "binding_id": "b", "finding_id": "f"},
        headers=dict(HEADERS),
    )
    answer = case.call_and_validate(base_url=server.url, checks=CHECKS)
    is_open = DOCUMENT["paths"][operation.path][operation.method.lower()].get("security") == []
    assert answer.status_code == (200 if is_open else 401)


@pytest.mark.parametrize(("label", "mode"), EXPLORED)
def test_every_answer_is_documented(server: DrawerServer, label: str, mode: Any) -> None:
    explore(server, label, mode, 40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("label", "mode"), EXPLORED)
def test_every_answer_to_very_many_requests_is_documented(
    server: DrawerServer, label: str, mode: Any
) -> None:
    explore(server, label, mode, 1500)


def explore(server: DrawerServer, label: str, mode: GenerationMode, examples: int) -> None:
    """Send generated requests, most of them steered to what exists, and check the answers."""
    operation = SCHEMA.find_operation_by_label(label)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(operation.as_strategy(mode), st.sampled_from(STEERS))
    def run(case: Any, steer: dict[str, Any] | None) -> None:
        if steer is not None:
            steer_to(case, steer)
        with requests.Session() as session:
            session.auth = OPERATOR if "/operator/" in label else USER
            answer = case.call(base_url=server.url, session=session, timeout=30)
        if answer.status_code in OF_THE_SERVER:
            assert answer.headers["content-type"] == ["application/json"]
        else:
            assert answer.status_code < 500, answer.text
            case.validate_response(answer, checks=CHECKS)

    run()


def steer_to(case: Any, steer: dict[str, Any]) -> None:
    """Put what exists into a generated request."""
    for name in case.path_parameters.keys() - {"finding_id"}:
        case.path_parameters[name] = steer["id"]
    case.headers.pop("X-Broker-API-Originating-Identity", None)
    case.headers.update(HEADERS)
    if isinstance(case.query, dict):
        case.query |= steer["query"]
    if isinstance(case.body, dict):
        case.body |= steer["body"]
