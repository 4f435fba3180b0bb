"""What was asked to be created and is not known to be gone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from alibroker.conformance.exchange import Exchange, Kind

CREATIONS = (Kind.PROVISION, Kind.BIND)
DELETIONS = (Kind.DEPROVISION, Kind.UNBIND)

Key = tuple[str, str]


@dataclass(frozen=True)
class Entry:
    """An instance, or a binding, with what a delete has to name."""

    instance: str
    binding: str
    service_id: str
    plan_id: str

    @property
    def kind(self) -> str:
        """What it is."""
        return "binding" if self.binding else "instance"


class Ledger:
    """Keeps the entries. It is written by several threads at once."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._doubtful: set[Key] = set()
        self._pending: Counter[Key] = Counter()
        self._lock = threading.Lock()

    def before(self, kind: Kind, instance: str, binding: str, ids: Mapping[str, str]) -> None:
        """Write down a creation before it is asked for."""
        key = (instance, binding)
        if kind in CREATIONS:
            with self._lock:
                self._pending[key] += 1
                self._entries.setdefault(key, Entry(*key, ids["service_id"], ids["plan_id"]))

    def after(self, kind: Kind, instance: str, binding: str, exchange: Exchange) -> None:
        """Take note of an answer: a creation that was refused has created nothing."""
        key = (instance, binding)
        with self._lock:
            if kind in CREATIONS:
                self._pending[key] -= 1
                if not exchange.refused:
                    self._doubtful.add(key)
                elif key not in self._doubtful and not self._pending[key]:
                    self._strike(key)
            elif kind in DELETIONS and exchange.has(200):
                # 410 may be wrong, or come before a creation that nobody has seen the end of.
                self._strike(key)

    def changed(self, instance: str, plan_id: str) -> None:
        """Take note that an instance has another plan now, which its deletion has to name."""
        key = (instance, "")
        with self._lock:
            if key in self._entries:
                self._entries[key] = replace(self._entries[key], plan_id=plan_id)

    def gone(self, instance: str, binding: str = "") -> None:
        """Take note that it was deleted; an instance takes its bindings along."""
        with self._lock:
            self._strike((instance, binding))

    def entries(self) -> list[Entry]:
        """Return what is left, bindings first."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: not entry.binding)

    def holds(self, instance: str, binding: str = "") -> bool:
        """Tell whether something is, or may be, there."""
        with self._lock:
            return (instance, binding) in self._entries

    def _strike(self, key: Key) -> None:
        instance, binding = key
        for one in list(self._entries):
            if one == key or (one[0] == instance and not binding):
                del self._entries[one]
                self._doubtful.discard(one)
