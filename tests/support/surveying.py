"""Surveys of the drawers, and what lives in them."""

from __future__ import annotations

from typing import Any

from commands import ask, common, ended, provision
from drawers import PLAN, SERVICE
from waiting import eventually

from alibroker.actors.messages import Settlement
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import Found
from alibroker.lifecycle.commands import Bind
from alibroker.lifecycle.findings import Finding


def survey(system: BrokerSystem) -> tuple[Finding, ...]:
    before = system.surveys.report
    system.survey()
    eventually(lambda: system.surveys.report is not before and not system.surveys.running)
    return system.surveys.report.findings


def what(system: BrokerSystem) -> list[tuple[str, str]]:
    return sorted((one.disagreement, one.name) for one in survey(system))


def live(system: BrokerSystem, instance_id: str, *bindings: str) -> None:
    ask(system, provision(instance_id))
    assert ended(system, instance_id).status == "ready"
    for binding_id in bindings:
        ask(system, Bind(binding_id=binding_id, **common(instance_id)))
        eventually(lambda one=binding_id: bound(system, instance_id, one))


def bound(system: BrokerSystem, instance_id: str, binding_id: str) -> bool:
    found = system.view.binding(instance_id, binding_id)
    return found is not None and found.status == "ready"


def settle(system: BrokerSystem, finding: Finding, how: Settlement, **more: Any) -> Any:
    return system.settle(finding.id, how, **more).result(timeout=10)


def stray(token: str, **more: Any) -> Found:
    offer = {"service_id": SERVICE, "plan_id": PLAN}
    facts = {"resource": {"token": token}, **offer, **more}
    return Found(kind="drawer", name=f"drawer-{token}", **facts)
