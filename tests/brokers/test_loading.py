"""Finding and starting the plugins."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from alibroker.brokers import loading
from alibroker.brokers.catalog import Catalog, CatalogError
from alibroker.brokers.loading import PluginError, load_brokers

SETTINGS = {
    "ALIBROKER_REGION": "cn-hangzhou",
    "ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:9",
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "id",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret",
}


def close(*brokers: loading.Broker) -> None:
    for broker in brokers:
        broker.close()


def test_the_brokers_that_come_along_are_found() -> None:
    brokers = load_brokers(SETTINGS)
    assert [broker.name for broker in brokers] == ["oss", "rds"]
    close(*brokers)


def test_brokers_of_one_process_share_a_connection() -> None:
    first, second = load_brokers(SETTINGS)
    other = load_brokers(SETTINGS | {"ALIBROKER_NAME": "other", "ALIBROKER_BROKERS": "rds"})
    assert first._cloud is second._cloud  # type: ignore[attr-defined]
    assert first._cloud is not other[0]._cloud  # type: ignore[attr-defined]
    close(first, second, *other)


def test_an_operator_chooses_what_is_loaded() -> None:
    brokers = load_brokers(SETTINGS | {"ALIBROKER_BROKERS": " rds "})
    assert [broker.name for broker in brokers] == ["rds"]
    close(*brokers)


def test_an_unknown_plugin_is_named_with_those_there_are() -> None:
    with pytest.raises(PluginError, match=r"'redis'.*oss, rds"):
        load_brokers(SETTINGS | {"ALIBROKER_BROKERS": "redis"})


def test_a_wrong_setting_names_the_plugin_and_the_setting() -> None:
    with pytest.raises(PluginError, match=r"plugin 'rds'.*ALIBROKER_REGION"):
        load_brokers(SETTINGS | {"ALIBROKER_REGION": "", "ALIBROKER_BROKERS": "rds"})


def test_an_operator_changes_what_is_offered(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        """
        services:
          - name: alibaba-cloud-oss
            hidden: true
          - name: alibaba-cloud-rds-mysqldb
            plans:
              - {name: rds-mysql-t1-small, hidden: true}
        """,
        encoding="utf-8",
    )
    brokers = load_brokers(SETTINGS | {"ALIBROKER_CATALOG": str(path)})
    document = Catalog(brokers).document.decode()
    assert "alibaba-cloud-rds-mysqldb" in document
    assert "rds-mysql-t1-small" not in document
    assert "alibaba-cloud-oss" not in document
    close(*brokers)


def test_what_nobody_offers_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("services: [{name: redis}]", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"ALIBROKER_CATALOG.*'redis'.*alibaba-cloud-oss"):
        load_brokers(SETTINGS | {"ALIBROKER_CATALOG": str(path)})


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no.such.module:create", loading.GROUP)
    monkeypatch.setattr(loading, "entry_points", lambda group: [broken] if group else [])
    with pytest.raises(PluginError, match=r"'broken' \(no\.such\.module:create\)"):
        load_brokers(SETTINGS)


def test_a_catalog_of_the_operators_takes_the_place_of_ours(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("catalog") / "mine.yaml"
    path.write_text(
        "services:\n- {name: mine, id: m, description: Mine, bindable: true, plans: [{name: p, "
        "id: p, description: P, maximum_polling_duration: 60, settings: {engine_version: '8.0', "
        "instance_class: mysql.n2.small.1, storage: 20}}]}\n"
    )
    settings = {"ALIBROKER_BROKERS": "rds", "ALIBROKER_RDS_CATALOG": str(path)}
    (broker,) = load_brokers(SETTINGS | settings)
    assert [offering.name for offering in broker.offerings()] == ["mine"]
    broker.close()
