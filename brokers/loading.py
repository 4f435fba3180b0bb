"""Find the brokers: every entry point of the group `alibroker.brokers` is one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from alibroker.brokers.api import Broker
from alibroker.brokers.documents import CatalogError
from alibroker.brokers.overlay import read_overlay

GROUP: Final = "alibroker.brokers"


class PluginError(RuntimeError):
    """A broker could not be started; the text names the plugin and where it comes from."""


def load_brokers(settings: Mapping[str, str]) -> tuple[Broker, ...]:
    """Create one broker from each entry point, in the order of their names.

    `settings` is the process environment. Its `ALIBROKER_BROKERS`, names with commas in between,
    limits which plugins are loaded.

    Raises:
        PluginError: A plugin is missing, cannot be imported, or refuses its settings; the cause is
            chained.
        CatalogError: `ALIBROKER_CATALOG` cannot be read, or names what nobody offers.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    wanted = [name.strip() for name in settings.get("ALIBROKER_BROKERS", "").split(",")]
    names = [name for name in wanted if name] or sorted(found)
    brokers: dict[str, Broker] = {}
    for name in names:
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise PluginError(f"ALIBROKER_BROKERS names {name!r}; installed plugins: {known}")
        try:
            broker: Broker = found[name].load()(settings)
        except Exception as error:
            for created in brokers.values():
                created.close()
            raise PluginError(f"plugin {name!r} ({found[name].value}): {error}") from error
        if broker.name in brokers:
            raise PluginError(f"plugin {name!r}: another broker is called {broker.name!r} too")
        brokers[broker.name] = broker
    try:
        offered = [one for broker in brokers.values() for one in broker.offerings()]
        read_overlay(settings).check(offered)
    except CatalogError:
        for created in brokers.values():
            created.close()
        raise
    return tuple(brokers.values())
