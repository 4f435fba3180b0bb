"""Checks against the catalog, in the order that platforms expect."""

from __future__ import annotations

import re
import secrets
from typing import Any

import falcon.asgi

from alibroker.brokers.api import Json, OperationKind, Plan
from alibroker.brokers.catalog import Catalog
from alibroker.http.bodies import MaintenanceInfo, accepts_incomplete
from alibroker.http.errors import OsbError, bad_request
from alibroker.http.headers import requested_by
from alibroker.lifecycle.records import Record

_SECRET = re.compile(r"secret|password|token|accesskey", re.IGNORECASE)


def offered_plan(catalog: Catalog, service_id: str, plan_id: str) -> Plan:
    """Return the plan.

    Raises:
        OsbError: 400, service or plan are not in the catalog, or do not belong together; 503, the
            service may be one whose plugin is not loaded.
    """
    if catalog.service(service_id) is None:
        if catalog.not_loaded:
            raise OsbError(
                503,
                "ServiceUnavailable",
                "service_id is not in the catalog, but not all services are: the plugin "
                f"{' and '.join(catalog.not_loaded)} is not loaded. The broker's log says why.",
                headers={"Retry-After": "60"},
            )
        raise bad_request("service_id is not in the catalog.")
    plan = catalog.plan(service_id, plan_id)
    if plan is None:
        raise bad_request("plan_id is not a plan of this service.")
    return plan


def check_sold(plan: Plan, record: Record | None) -> None:
    """Refuse a plan that is hidden, but to an instance that has it.

    Raises:
        OsbError: 400.
    """
    if plan.hidden and (record is None or record.plan_id != plan.id):
        raise bad_request("plan_id is a plan that is not offered any more.")


def check_known(catalog: Catalog, record: Record | None, service_id: str, plan_id: str) -> None:
    """Let pass what is in the catalog, or was when the record was made.

    Raises:
        OsbError: 400.
    """
    plans = () if record is None else (record.plan_id, *getattr(record, "earlier_plans", ()))
    if record is None or record.service_id != service_id or plan_id not in plans:
        offered_plan(catalog, service_id, plan_id)


def check_maintenance_info(plan: Plan, info: MaintenanceInfo | None) -> str:
    """Compare the version that the platform knows, if it names one, with the catalog's.

    Returns the version named, empty if there is none.

    Raises:
        OsbError: 422 MaintenanceInfoConflict.
    """
    if info is None or info.version is None:
        return ""
    if info.version != plan.maintenance_info.get("version"):
        raise OsbError(
            422,
            "MaintenanceInfoConflict",
            "maintenance_info.version is not the catalog's: fetch the catalog again.",
        )
    return info.version


def maintenance_version(plan: Plan) -> str:
    """Return the version of the plan in the catalog, empty if it has none."""
    return str(plan.maintenance_info.get("version", ""))


def takes_parameters(plan: Plan | None) -> bool:
    """Whether the plan's instances take parameters when they are updated: its schema says so."""
    return bool(plan and plan.schemas.get("service_instance", {}).get("update"))


def given_parameters(
    catalog: Catalog, plan_id: str, kind: OperationKind, parameters: Json
) -> tuple[Json, frozenset[str]]:
    """Hold the parameters against the plan's schema.

    Returns those that are given, and the names of those that are null where the schema has no null:
    they are not given, and an update takes them back.

    Raises:
        OsbError: 400.
    """
    absent = catalog.not_given(plan_id, kind, parameters)
    given = {name: value for name, value in parameters.items() if name not in absent}
    complaint = catalog.check_parameters(plan_id, kind, given)
    if complaint is not None:
        raise bad_request(complaint)
    return given, absent


def without_secrets(plan: Plan | None, of: str, parameters: Json) -> dict[str, Any]:
    """Return the parameters that may be shown (OSB: a broker may withhold parameters).

    Withheld are those that the schema calls passwords and those that are named like secrets.
    """
    schema = plan.schemas.get(of, {}).get("create", {}).get("parameters", {}) if plan else {}
    properties = schema.get("properties", {})
    return {
        name: value
        for name, value in parameters.items()
        if not _SECRET.search(name) and properties.get(name, {}).get("format") != "password"
    }


def common(req: falcon.asgi.Request, plan: Plan | None, kind: OperationKind) -> dict[str, Any]:
    """Return the members that all commands have, but for the ids."""
    return {
        "operation_id": secrets.token_hex(16),
        "duration": float(plan.maximum_polling_duration if plan else 3600),
        "accepts_incomplete": accepts_incomplete(req),
        "asynchronous_only": plan is not None and kind in plan.asynchronous_only,
        "requested_by": requested_by(req),
    }
