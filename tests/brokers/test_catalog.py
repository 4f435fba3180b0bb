"""The catalog: what comes along, what operators may write, what is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alibroker.brokers import oss, rds
from alibroker.brokers.api import OperationKind
from alibroker.brokers.catalog import Catalog, CatalogError, load_offerings
from alibroker.brokers.contract import Plugin

RDS = Path(rds.__file__).with_name("catalog.yaml")
OSS = Path(oss.__file__).with_name("catalog.yaml")
SELF_DEFINE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"

GOOD = """
services:
  - name: things
    id: service-1
    description: Things
    bindable: true
    plans:
      - name: small
        id: plan-1
        description: A small thing
        maximum_polling_duration: 60
        schemas:
          service_instance:
            create:
              parameters:
                $schema: "http://json-schema.org/draft-04/schema#"
                type: object
                properties: {size: {type: integer}}
"""


def catalog(*paths: Path) -> Catalog:
    # Nothing but what it offers is asked of a broker here.
    nobody: Any = None
    return Catalog([Plugin("offers", nobody, load_offerings(path)) for path in paths])


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    return path


def test_ids_and_names_are_those_that_users_of_the_go_program_have() -> None:
    document = json.loads(catalog(RDS, OSS).document)
    found = {
        service["name"]: (service["id"], {plan["name"]: plan["id"] for plan in service["plans"]})
        for service in document["services"]
    }
    assert found == {
        "alibaba-cloud-rds-mysqldb": (
            "rds-997b8372-8dac-40ac-ae65-758b4a5075a5",
            {
                "rds-mysql-t1-small": "rds-427559f1-bf2a-45d3-8844-32374a3e58aa",
                "rds-mysql-s1-small": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1c",
                "rds-mysql-s2-large": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1d",
                "rds-self-define": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e",
            },
        ),
        "alibaba-cloud-oss": (
            "oss-997b8372-8dac-40ac-ae65-758b4a502222",
            {
                "default": "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221",
                "oss-self-define": "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222",
            },
        ),
    }


def test_the_document_says_what_platforms_would_otherwise_assume_wrongly() -> None:
    document = json.loads(catalog(RDS, OSS).document)
    for service in document["services"]:
        assert service["bindable"] is True
        assert service["instances_retrievable"] is True
        assert service["bindings_retrievable"] is True
        for plan in service["plans"]:
            assert plan["free"] is False
            assert plan["maximum_polling_duration"] > 0


def test_what_only_the_broker_needs_is_not_published() -> None:
    text = catalog(RDS, OSS).document.decode()
    assert "settings" not in text
    assert "asynchronous_only" not in text
    assert "replaced_classes" not in text


def test_the_entity_tag_follows_the_document() -> None:
    first, again, other = catalog(RDS), catalog(RDS), catalog(RDS, OSS)
    assert first.etag == again.etag != other.etag
    assert first.etag.startswith('"')
    assert first.etag.endswith('"')


def test_services_and_plans_are_found_by_id() -> None:
    found = catalog(RDS, OSS)
    service = found.service("oss-997b8372-8dac-40ac-ae65-758b4a502222")
    assert service is not None
    assert service.offering.name == "alibaba-cloud-oss"
    assert service.broker == "offers"
    plan = found.plan("rds-997b8372-8dac-40ac-ae65-758b4a5075a5", SELF_DEFINE)
    assert plan is not None
    assert OperationKind.PROVISION in plan.asynchronous_only
    assert found.service("unknown") is None
    assert found.plan("oss-997b8372-8dac-40ac-ae65-758b4a502222", SELF_DEFINE) is None
    assert found.plan("unknown", "unknown") is None


@pytest.mark.parametrize(("of_plan", "expected"), [("", True), ("bindable: false", False)])
def test_a_plan_overrides_what_its_service_says(
    tmp_path: Path, of_plan: str, *, expected: bool
) -> None:
    text = GOOD.replace("        id: plan-1", f"        id: plan-1\n        {of_plan}")
    assert catalog(written(tmp_path, text)).bindable("plan-1") is expected


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("name: things", "nam: things", "services[0]"),
        ("    bindable: true", "    bindable: maybe", "bindable"),
        ("        id: plan-1", "        id: plan-1\n        colour: red", "plans[0]"),
        ("id: plan-1", "id: plan 1", "plan 'small'"),
        ("id: plan-1", "id: service-1", "service 'things' already"),
        ("name: small", "name: Small Thing", "plan 'Small Thing'"),
        ("A small thing", "x" * 256, "plan 'small': description"),
        ("description: Things", "description: ''", "service 'things': description"),
        ("maximum_polling_duration: 60", "maximum_polling_duration: 0", "maximum_polling_duration"),
        ("draft-04", "draft-07", "draft-04"),
        ("type: integer", "type: number-ish", "draft-04 schema"),
        ("{type: integer}", "{$ref: 'http://example.com/a'}", "outside the schema"),
        ("service_instance:", "service_thing:", "service_thing"),
        ("create:", "make:", "schemas.service_instance"),
        ("parameters:", "params:", "schemas.service_instance.create"),
        ("    id: service-1", "    id: service-1\n    requires: [teleport]", "teleport"),
        ("    id: service-1", "    id: service-1\n    id: service-2", "twice"),
        ("    id: service-1", "    id: service-1\n    metadata: {on: .inf}", "JSON"),
        ("services:", "service:", "service"),
        ("plan-1", "plan-1\n        maintenance_info: {version: new}", "semantic version"),
    ],
)
def test_a_faulty_catalog_is_refused_with_file_and_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CatalogError) as refused:
        load_offerings(path)
    assert str(path) in str(refused.value)
    assert place in str(refused.value)


def test_the_catalog_that_the_faulty_ones_were_made_from_is_good(tmp_path: Path) -> None:
    assert load_offerings(written(tmp_path, GOOD))[0].plans[0].id == "plan-1"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere\.yaml"):
        load_offerings(tmp_path / "nowhere.yaml")


def test_a_schema_of_more_than_64_kb_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("{type: integer}", f"{{description: {'x' * 66_000}}}")
    with pytest.raises(CatalogError, match="larger than 65536 bytes"):
        load_offerings(written(tmp_path, text))


def test_two_brokers_must_not_offer_the_same_id(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    with pytest.raises(CatalogError, match="things"):
        catalog(path, path)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"EngineVersion": 5.6, "Storage": 20},
        {"EngineVersion": "5.7", "Storage": "25", "Class": "rds.mysql.s2.large"},
        {"EngineVersion": 8, "Engine": "MySQL", "ZoneId": "cn-hangzhou-MAZ6(b,f)"},
        {"TimeZone": "+8:00"},
        {"TimeZone": "-12:59"},
        {"TimeZone": "+13:00"},
        {"NetworkType": "VPC", "VpcID": "vpc-bp1abc", "VSwitchID": "vsw-bp1abc"},
    ],
)
def test_parameters_that_users_of_the_go_program_send_are_accepted(
    parameters: Mapping[str, Any],
) -> None:
    found = catalog(RDS).check_parameters(SELF_DEFINE, OperationKind.PROVISION, parameters)
    assert found is None


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"Storage": 21}, "parameters/Storage"),
        ({"Storage": "many"}, "parameters/Storage"),
        ({"Storage": True}, "parameters/Storage"),
        ({"EngineVersion": "9"}, "parameters/EngineVersion"),
        ({"VpcID": "secret-looking"}, "parameters/VpcID"),
        ({"TimeZone": "+13:30"}, "parameters/TimeZone"),
        ({"TimeZone": "+14:00"}, "parameters/TimeZone"),
        ({"TimeZone": "Asia/Shanghai"}, "parameters/TimeZone"),
        ({"Colour": "red"}, "known: AllowedIPs, BackupDays"),
    ],
)
def test_what_to_change_in_parameters_is_said(parameters: Mapping[str, Any], place: str) -> None:
    text = catalog(RDS).check_parameters(SELF_DEFINE, OperationKind.PROVISION, parameters)
    assert text is not None
    assert place in text


def test_no_value_of_a_parameter_is_repeated() -> None:
    text = catalog(RDS).check_parameters(
        SELF_DEFINE,
        OperationKind.BIND,
        {"Password": "hush hush", "Username": "HUSH", "Storage": {"hush": "hush"}},
    )
    assert text is not None
    assert "hush hush" not in text
    assert "HUSH" not in text
    assert "'hush'" not in text


def test_many_faults_make_no_long_text() -> None:
    parameters = {f"P{number}": "x" for number in range(1000)} | {"Storage": 1, "Class": "x"}
    text = catalog(RDS).check_parameters(SELF_DEFINE, OperationKind.PROVISION, parameters)
    assert text is not None
    assert len(text) < 2000


@pytest.mark.parametrize("items", [[{}], [1], [None], list(range(10_000))])
def test_many_faults_make_no_long_work(items: list[Any]) -> None:
    parameters = {"AllowedIPs": (items * 10_000)[:10_000]}
    text = catalog(RDS).check_parameters(SELF_DEFINE, OperationKind.PROVISION, parameters)
    assert text is not None
    assert text.startswith("parameters/AllowedIPs: ")
    # The first alone: all of them would take a second or two.
    assert "; " not in text


def test_deletions_take_no_parameters_and_have_no_schema() -> None:
    found = catalog(RDS).check_parameters(SELF_DEFINE, OperationKind.DEPROVISION, {"any": "thing"})
    assert found is None
