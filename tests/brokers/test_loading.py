"""Finding and starting the plugins."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest
from drawers import Drawer, DrawerBroker

from alibroker.brokers import loading
from alibroker.brokers.catalog import Catalog, CatalogError
from alibroker.brokers.contract import ContractError, Plugin, checked
from alibroker.brokers.loading import PluginError, load_brokers

SETTINGS = {
    "ALIBROKER_REGION": "cn-hangzhou",
    "ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:9",
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "id",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret",
}


def close(*plugins: Plugin) -> None:
    for plugin in plugins:
        plugin.broker.close()


def test_the_brokers_that_come_along_are_found() -> None:
    plugins = load_brokers(SETTINGS).plugins
    assert [plugin.name for plugin in plugins] == ["oss", "rds"]
    close(*plugins)


def test_brokers_of_one_process_share_a_connection() -> None:
    first, second = load_brokers(SETTINGS).plugins
    settings = SETTINGS | {"ALIBROKER_NAME": "other", "ALIBROKER_BROKERS": "rds"}
    (other,) = load_brokers(settings).plugins
    clouds: list[Any] = [plugin.broker for plugin in (first, second, other)]
    assert clouds[0]._cloud is clouds[1]._cloud
    assert clouds[0]._cloud is not clouds[2]._cloud
    close(first, second, other)


@pytest.mark.parametrize(
    ("attribute", "value", "fault"),
    [("account_fact", "", "account_fact is no text"), ("account", None, "no method account")],
)
def test_a_plugin_that_half_says_in_which_account_it_works_is_refused(
    attribute: str, value: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = DrawerBroker(Drawer())
    assert checked(broker).accounts is broker
    monkeypatch.setattr(broker, attribute, value)
    with pytest.raises(ContractError, match=fault):
        checked(broker)


def test_an_operator_chooses_what_is_loaded() -> None:
    plugins = load_brokers(SETTINGS | {"ALIBROKER_BROKERS": " rds "}).plugins
    assert [plugin.name for plugin in plugins] == ["rds"]
    close(*plugins)


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
    plugins = load_brokers(SETTINGS | {"ALIBROKER_CATALOG": str(path)}).plugins
    document = Catalog(plugins).document.decode()
    assert "alibaba-cloud-rds-mysqldb" in document
    assert "rds-mysql-t1-small" not in document
    assert "alibaba-cloud-oss" not in document
    close(*plugins)


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
    (plugin,) = load_brokers(SETTINGS | settings).plugins
    assert [offering.name for offering in plugin.offerings] == ["mine"]
    close(plugin)


class Point:
    """An entry point of somebody else's distribution, whose function is `create`."""

    dist = None

    def __init__(self, name: str, create: Callable[[], Any]) -> None:
        self.name = name
        self.value = f"{name}:create"
        self._create = create

    def load(self) -> Callable[[Any], Any]:
        if self.name.startswith("import"):
            self._create()
        return lambda _settings: self._create()


def hung() -> None:
    threading.Event().wait(2)


def exiting() -> None:
    raise SystemExit(0)


def interrupted() -> None:
    raise KeyboardInterrupt


def endless() -> Any:
    return itertools.repeat(DrawerBroker(Drawer()).offerings()[0])


def altered(**attributes: Any) -> Callable[[], Any]:
    def create() -> Any:
        broker: Any = DrawerBroker(Drawer())
        for name, value in attributes.items():
            setattr(broker, name, value)
        return broker

    return create


def offering(**changes: Any) -> Callable[[], Any]:
    services = DrawerBroker(Drawer()).offerings()
    return altered(offerings=lambda: [msgspec.structs.replace(services[0], **changes)])


BAD: dict[str, Callable[[], Any]] = {
    "import-exits": exiting,
    "import-interrupts": interrupted,
    "import-hangs": hung,
    "creation-exits": exiting,
    "creation-hangs": hung,
    "creation-makes-none": lambda: None,
    "creation-makes-a-class": object,
    "no-name": altered(name=None),
    "name-of-another": altered(name="rds"),
    "no-provision": altered(provision=None),
    "unbind-is-text": altered(unbind="unbind"),
    "no-close": altered(close=None),
    "offers-exit": altered(offerings=exiting),
    "offers-nothing": altered(offerings=lambda: None),
    "offers-text": altered(offerings=lambda: "services"),
    "offers-numbers": altered(offerings=lambda: [1, 2]),
    "offers-without-end": altered(offerings=endless),
    "offers-a-number-as-id": offering(id=7),
    "offers-an-id-of-another": offering(id="rds-997b8372-8dac-40ac-ae65-758b4a5075a5"),
    "offers-a-name-of-another": offering(name="alibaba-cloud-oss"),
    "offers-no-plans": offering(plans=()),
    "offers-plans-of-text": offering(plans=("small",)),
    "offers-a-long-description": offering(description="d" * 1000),
    "inventory-without-keep": altered(keep=None),
    "inventory-without-facts": altered(instance_fact=7),
}


def test_a_bad_plugin_stays_outside_and_the_others_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    # Their names come before those of the good ones, which still go first: they came along.
    points = [Point(name, create) for name, create in BAD.items()]
    own = list(loading.entry_points(group=loading.GROUP))
    monkeypatch.setattr(loading, "entry_points", lambda **_: [*points, *own])
    loaded = load_brokers(SETTINGS, timeout=1.0)
    assert [plugin.name for plugin in loaded.plugins] == ["oss", "rds"]
    assert loaded.failures.keys() == BAD.keys()
    assert all(name in text for name, text in loaded.failures.items())
    close(*loaded.plugins)


def test_a_strict_start_is_refused_for_one_bad_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    own = list(loading.entry_points(group=loading.GROUP))
    monkeypatch.setattr(loading, "entry_points", lambda **_: [Point("bad", exiting), *own])
    with pytest.raises(PluginError, match=r"'bad'.*SystemExit"):
        load_brokers(SETTINGS, strict=True)


def test_what_is_changed_of_a_plugin_that_is_not_there_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("services: [{name: redis}]", encoding="utf-8")
    own = list(loading.entry_points(group=loading.GROUP))
    monkeypatch.setattr(loading, "entry_points", lambda **_: [Point("redis", exiting), *own])
    loaded = load_brokers(SETTINGS | {"ALIBROKER_CATALOG": str(path)})
    assert len(loaded.plugins) == 2
    close(*loaded.plugins)
