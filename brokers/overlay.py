"""An operator's own file that changes what the plugins offer: `ALIBROKER_CATALOG`.

It names services and plans, and says what of them is to be different (RFC 7396, JSON merge patch:
objects are merged, null removes, all else replaces), which are not offered any more, and which new
plans there are besides.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from alibroker.brokers.api import ServiceOffering
from alibroker.brokers.documents import CatalogError, located, read_document

VARIABLE: Final = "ALIBROKER_CATALOG"

Document = dict[str, Any]
T = TypeVar("T")


class _Item(msgspec.Struct, frozen=True):
    """A service or a plan: which one, and what is asked of it besides changes."""

    id: str = ""
    name: str = ""
    hidden: bool = False
    like: str = ""
    plans: tuple[Document, ...] = ()


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    services: tuple[Document, ...]


class Overlay:
    """The changes to all catalogs; without a file there are none."""

    def __init__(self, path: Path | None) -> None:
        """Read the file at `path`.

        Raises:
            CatalogError: It cannot be read, or has not the shape of a catalog.
        """
        self._path = path
        self._text = ""
        self._services: tuple[Document, ...] = ()
        if path is not None:
            self._text, document = read_document(path)
            self._services = self._converted(document, _Shape).services

    def applied(self, document: Document) -> Document:
        """Return the catalog document as it is after the changes to the services in it.

        Raises:
            CatalogError: They do not fit.
        """
        document = copy.deepcopy(document)
        services: list[Document] = document["services"]
        for change in self._services:
            service = _named(services, self._converted(change, _Item))
            if service is not None:
                self._change_service(service, change)
        return document

    def check(self, offerings: Iterable[ServiceOffering]) -> None:
        """Raise if a service is named that nobody offers.

        Raises:
            CatalogError: The text names it, and what there is.
        """
        known = {name for one in offerings for name in (one.id, one.name)}
        for change in self._services:
            item = self._converted(change, _Item)
            if not known & {item.id, item.name}:
                names = ", ".join(sorted(known)) or "none"
                raise self.blamed(f"no plugin offers {item.id or item.name!r}; there are: {names}")

    def blamed(self, fault: str) -> CatalogError:
        """Return the error for what is wrong with a catalog only since it was changed."""
        return CatalogError(f"{VARIABLE}: {located(self._path, self._text, fault)}")

    def _change_service(self, service: Document, change: Document) -> None:
        item = self._converted(change, _Item)
        plans = service.setdefault("plans", [])
        for one in item.plans:
            self._change_plan(str(service.get("name")), plans, one)
        if item.hidden:
            for plan in plans:
                plan["hidden"] = True
        rest = {key: value for key, value in change.items() if key not in ("plans", "hidden")}
        service.update(merged(service, rest))

    def _change_plan(self, service: str, plans: list[Document], change: Document) -> None:
        item = self._converted(change, _Item)
        base = _named(plans, _Item(id=item.like, name=item.like) if item.like else item)
        if base is None:
            names = ", ".join(str(plan.get("name")) for plan in plans)
            wanted = item.like or item.id or item.name
            raise self.blamed(
                f"service {service!r}: there is no plan {wanted!r} but {names}; a new one says "
                "which of them it is `like`"
            )
        rest = {key: value for key, value in change.items() if key != "like"}
        if not item.like:
            base.update(merged(base, rest))
            return
        if not item.id or not item.name:
            raise self.blamed(
                f"service {service!r}: a plan like {item.like!r} needs an id and a name of its own"
            )
        plans.append(merged({**copy.deepcopy(base), "hidden": False}, rest))

    def _converted(self, document: Any, kind: type[T]) -> T:
        try:
            return msgspec.convert(document, kind)
        except msgspec.ValidationError as error:
            raise self.blamed(str(error)) from error


def read_overlay(settings: Mapping[str, str]) -> Overlay:
    """Return the changes that the process environment names in `ALIBROKER_CATALOG`.

    Raises:
        CatalogError: The file cannot be read, or has not the shape of a catalog.
    """
    name = settings.get(VARIABLE, "")
    return Overlay(Path(name) if name else None)


def merged(target: Any, patch: Any) -> Any:
    """Return `target` changed by a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _named(items: list[Document], item: _Item) -> Document | None:
    """Return the one with the item's id, or else the one with its name."""
    for key, value in (("id", item.id), ("name", item.name)):
        for one in items:
            if value and isinstance(one, dict) and one.get(key) == value:
                return one
    return None
