"""Find the brokers: every entry point of the group `alibroker.brokers` is one.

One that cannot be loaded stays outside; the others serve.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from alibroker.brokers.api import Broker, TryAgainError
from alibroker.brokers.contract import ContractError, Plugin, checked, contained
from alibroker.brokers.documents import CatalogError
from alibroker.brokers.overlay import Overlay, read_overlay

GROUP: Final = "alibroker.brokers"
LOAD_TIMEOUT: Final = 30.0
"""Seconds within which a plugin has to be imported, created and asked what it offers."""


class PluginError(RuntimeError):
    """The brokers could not be started; the text names the plugins and where they come from."""


@dataclass(frozen=True)
class Loaded:
    """The plugins that serve, and why the others do not."""

    plugins: tuple[Plugin, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    """By the entry point's name: what is wrong with it."""


Attempt = Callable[[str, Callable[[], Plugin]], Plugin]
"""Runs what loads the plugin of a name; may refuse with `ContractError`."""


def load_brokers(
    settings: Mapping[str, str],
    *,
    strict: bool = False,
    timeout: float = LOAD_TIMEOUT,
    attempt: Attempt = lambda _, load: load(),
) -> Loaded:
    """Create one broker from each entry point: those that come along first, then by name.

    The order decides who keeps an id that two of them offer.

    Args:
        settings: the process environment. Its `ALIBROKER_BROKERS`, names with commas in between,
            limits which plugins are loaded.
        strict: whether one that cannot be loaded keeps the others from starting.
        timeout: seconds that each gets.
        attempt: has each loaded.

    Raises:
        PluginError: `ALIBROKER_BROKERS` names one that is not installed; none can be loaded; or
            one cannot, and `strict` is set.
        CatalogError: `ALIBROKER_CATALOG` cannot be read, or names what nobody offers.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    wanted = [name.strip() for name in settings.get("ALIBROKER_BROKERS", "").split(",")]
    names = [name for name in wanted if name] or sorted(found)
    for name in names:
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise PluginError(f"ALIBROKER_BROKERS names {name!r}; installed plugins: {known}")
    overlay = read_overlay(settings)
    loaded: list[Plugin] = []
    failures: dict[str, str] = {}
    for name in sorted(names, key=lambda name: _is_foreign(found[name])):
        load = _loader(found[name], settings, tuple(loaded), timeout)
        try:
            loaded.append(attempt(name, load))
        except (ContractError, TryAgainError) as error:
            failures[name] = f"plugin {name!r} ({found[name].value}): {error}"
    try:
        _judge(loaded, failures, overlay, strict=strict)
    except (PluginError, CatalogError):
        for plugin in loaded:
            plugin.broker.close()
        raise
    return Loaded(tuple(loaded), failures)


def _judge(
    loaded: Sequence[Plugin], failures: Mapping[str, str], overlay: Overlay, *, strict: bool
) -> None:
    if failures and (strict or not loaded):
        raise PluginError("; ".join(failures.values()))
    if not failures:
        # Else what the overlay names may be what is not there.
        overlay.check(offering for plugin in loaded for offering in plugin.offerings)


def foreign_plugins() -> list[str]:
    """Return the names of the installed plugins that do not come along with the broker."""
    return sorted(point.name for point in entry_points(group=GROUP) if _is_foreign(point))


def _is_foreign(point: EntryPoint) -> bool:
    return point.dist is None or point.dist.name != "alibroker"


def _loader(
    point: EntryPoint, settings: Mapping[str, str], others: tuple[Plugin, ...], timeout: float
) -> Callable[[], Plugin]:
    """Return what loads a plugin, in a thread of its own: it may never come back.

    Nor can what it raises be mistaken there for a signal to this process.
    """

    def create() -> Plugin:
        broker: Broker = point.load()(dict(settings))
        return checked(broker, others)

    def load() -> Plugin:
        result: list[Plugin | Exception] = []

        def run() -> None:
            try:
                result.append(contained(create))
            except (ContractError, TryAgainError) as error:
                result.append(error)

        thread: Any = threading.Thread(target=run, name=f"load {point.name}", daemon=True)
        thread.start()
        thread.join(timeout)
        if not result:
            raise ContractError(f"it was not loaded within {timeout:.0f} s")
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    return load
