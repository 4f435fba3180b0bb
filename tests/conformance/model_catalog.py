"""The catalog of the broker in memory, and what can be wrong with it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

SECRET = "s3cret-of-the-dashboard"

SCHEMA = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}
PLAN = {
    "id": "plan-small",
    "name": "small",
    "description": "A small vault",
    "free": False,
    "binding_rotatable": True,
    "maximum_polling_duration": 60,
    "maintenance_info": {"version": "1.0.0"},
    "schemas": {"service_instance": {"create": {"parameters": SCHEMA}}},
}
LARGE = {"id": "plan-large", "name": "large", "description": "A large vault"}
VAULT = {
    "id": "service-vault",
    "name": "vault",
    "description": "Vaults",
    "bindable": True,
    "instances_retrievable": True,
    "bindings_retrievable": True,
    "allow_context_updates": True,
    "tags": ["vault"],
    "plans": [PLAN, LARGE],
}
LAMP = {
    "id": "service-lamp",
    "name": "lamp",
    "description": "Lamps",
    "bindable": False,
    "plans": [{"id": "plan-lamp", "name": "bright", "description": "A bright lamp"}],
}


def _schema(parameters: Any) -> dict[str, Any]:
    return {"service_instance": {"create": {"parameters": parameters}}}


CATALOG_FAULTS: dict[str, Callable[[Any], Any]] = {
    "ids-twice": lambda vault: vault["plans"][1].update(id="plan-small"),
    "names-twice": lambda vault: vault["plans"][1].update(name="small"),
    "names-by-case": lambda vault: vault["plans"][1].update(name="Small"),
    "plan-undescribed": lambda vault: vault["plans"][1].pop("description"),
    "bindable-text": lambda vault: vault.update(bindable="true"),
    "requires-odd": lambda vault: vault.update(requires=["everything"]),
    "tags-text": lambda vault: vault.update(tags="vault"),
    "free-text": lambda vault: vault["plans"][1].update(free="no"),
    "duration-text": lambda vault: vault["plans"][1].update(maximum_polling_duration="60"),
    "not-semantic": lambda vault: vault["plans"][1].update(maintenance_info={"version": "1.0"}),
    "no-draft": lambda vault: vault["plans"][1].update(schemas=_schema({"type": "object"})),
    "outside-reference": lambda vault: vault["plans"][1].update(
        schemas=_schema({**SCHEMA, "properties": {"a": {"$ref": "http://example.com/a"}}})
    ),
    "schema-array": lambda vault: vault["plans"][1].update(schemas=_schema([])),
    "dashboard-secret": lambda vault: vault.update(
        dashboard_client={"id": "model", "secret": SECRET}
    ),
    "not-draft-4": lambda vault: vault["plans"][1].update(
        schemas=_schema({**SCHEMA, "type": "nonsense"})
    ),
    "name-with-blanks": lambda vault: vault["plans"][1].update(name="very large"),
    "long-description": lambda vault: vault["plans"][1].update(description="x" * 256),
}


def catalog_with(fault: str, *, plans_change: bool = False) -> Any:
    """Return the catalog, spoilt if the fault is one of its own."""
    found: Any = copy.deepcopy({"services": [VAULT, LAMP]})
    if plans_change:
        found["services"][0]["plan_updateable"] = True
        found["services"][0]["plans"][1]["binding_rotatable"] = True
    if fault in CATALOG_FAULTS:
        CATALOG_FAULTS[fault](found["services"][0])
    return found
