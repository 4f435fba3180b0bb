"""Makes docs/lifecycle.md from the code: what every request is answered in every state.

`python tests/support/lifecycle_table.py` writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon.testing
from drawers import PLAN, SERVICE, Drawer, DrawerBroker
from msgspec.structs import replace

from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import Failed, Succeeded
from alibroker.etcd.client import Etcd
from alibroker.etcd.sealing import Sealer
from alibroker.http.answers import REFUSALS
from alibroker.http.app import create_app
from alibroker.lifecycle import progress, transitions
from alibroker.lifecycle.commands import (
    Bind,
    Command,
    Decision,
    Deprovision,
    Provision,
    Report,
    Unbind,
    Update,
    Verdict,
)
from alibroker.lifecycle.records import Binding, Instance, Record

NOW = 1_000.0
FILE = Path(__file__).resolve().parents[2] / "docs" / "lifecycle.md"

HEAD = """# What is answered in which state

Made from the code by `make docs`; a test compares. Requests are assumed to be right in themselves:
what is wrong with a request alone (401, 412, 400, 413, 422 `MaintenanceInfoConflict`,
`RequiresApp`) is refused in every state, before that is looked at.

`202` stands for an answer while the operation goes on, which is given if the request says
`accepts_incomplete=true`. Without, the answer waits for the operation's end and is what stands in
parentheses; a plan that takes longer than a request may last answers 422 `AsyncRequired` instead,
and only there: what needs no operation needs no patience. *stops* means that the operation
in progress is given up for the new one.
"""


def command(kind: type[Command], **more: Any) -> Any:
    """Return a command as the edge would make it."""
    fields: dict[str, Any] = {
        "instance_id": "i",
        "service_id": SERVICE,
        "plan_id": PLAN,
        "operation_id": "op",
        "duration": 100.0,
        **more,
    }
    if kind is Provision:
        fields = {"organization_guid": "o", "space_guid": "s", **fields}
    if kind in (Bind, Unbind):
        fields = {"binding_id": "b", **fields}
    if kind is Update:
        fields |= {"may_change_plan": True, "may_change_parameters": True}
    return kind(**fields)


def made(decision: Decision) -> Any:
    """Return the record that a decision leads to."""
    return decision.record


def after(record: Any, result: Any) -> Any:
    """Return the record after a step has reported."""
    operation = record.operation
    report = Report(key=record.key, operation_id=operation.id, step=operation.step, result=result)
    return progress.advance(record, report, NOW)


def instances() -> dict[str, Instance | None]:
    """Return an instance in each state."""
    creating = made(transitions.provision(None, command(Provision), NOW))
    undoing = after(creating, Failed(reason="No."))
    ready = after(creating, Succeeded())
    deleting = made(transitions.deprovision(ready, [], command(Deprovision), NOW))
    return {
        "none": None,
        "creating": creating,
        "creation failed": after(undoing, Succeeded()),
        "failed, something left": after(undoing, Failed(reason="No.")),
        "ready": ready,
        "updating": made(transitions.update(ready, command(Update, parameters={"a": 1}), NOW)),
        "deleting": deleting,
        "deleted": after(deleting, Succeeded()),
    }


def bindings(instance: Instance) -> dict[str, Binding | None]:
    """Return a binding in each state."""
    creating = made(transitions.bind(instance, None, None, command(Bind), NOW))
    undoing = after(creating, Failed(reason="No."))
    ready = after(creating, Succeeded(credentials={}))
    deleting = made(transitions.unbind(instance, ready, command(Unbind), NOW))
    return {
        "none": None,
        "creating": creating,
        "creation failed": after(undoing, Succeeded()),
        "failed, something left": after(undoing, Failed(reason="No.")),
        "ready": ready,
        "deleting": deleting,
        "deleted": after(deleting, Succeeded()),
    }


def shown(before: Record | None, decision: Decision, done: str) -> str:
    """Return how a decision is answered; `done` is the status of an operation waited for."""
    verdict = decision.answer.verdict
    if verdict in REFUSALS:
        status, error, _ = REFUSALS[verdict]
        return f"{status} `{error}`" if status == 422 else str(status)
    if verdict is Verdict.DONE:
        return "200"
    stops = before is not None and before.operation.in_progress and verdict is Verdict.STARTED
    same = ", the same" if verdict is Verdict.JOINED else ""
    return f"202{same} ({done})" + (", *stops*" if stops else "")


def asked(instance: Instance | None, binding: Binding | None, path: str) -> str:
    """Return the status of a question, asked over HTTP."""
    system = AtRest([DrawerBroker(Drawer())], Etcd(["unix:/none"]), Sealer({"k": bytes(32)}, "k"))
    system.view.complete = True
    for record in (instance, binding):
        if record is not None:
            system.view.put(record.key, record)
    client = falcon.testing.TestClient(create_app(system, {"u": "p"}))
    headers = {"Authorization": "Basic dTpw", "X-Broker-API-Version": "2.17"}
    answer = client.simulate_get(f"/v2/service_instances/i{path}", headers=headers)
    state = answer.json.get("state")
    return f"{answer.status_code} *{state}*" if state else str(answer.status_code)


def table(states: list[str], rows: dict[str, Callable[[str], str]]) -> str:
    """Return a table in Markdown."""
    lines = [
        "| request | " + " | ".join(states) + " |",
        "| --- |" + " --- |" * len(states),
    ]
    for name, answer in rows.items():
        lines.append(f"| {name} | " + " | ".join(answer(state) for state in states) + " |")
    return "\n".join(lines)


class AtRest(BrokerSystem):
    """A system that was never started, and knows what it was told."""

    async def up_to_date(self) -> bool:
        return True


def document() -> str:
    """Return the whole page."""
    some = instances()
    ready = some["ready"]
    assert ready is not None
    bound = bindings(ready)
    live = replace(ready)

    def change(make: Callable[[Any], Decision], done: str) -> Callable[[str], str]:
        return lambda state: shown(some[state], make(some[state]), done)

    def bind(make: Callable[[Any], Decision], done: str) -> Callable[[str], str]:
        return lambda state: shown(bound[state], make(bound[state]), done)

    of_instances = {
        "provision, as before": change(
            lambda one: transitions.provision(one, command(Provision), NOW), "201"
        ),
        "provision, different": change(
            lambda one: transitions.provision(one, command(Provision, space_guid="x"), NOW), "201"
        ),
        "update, the same as the one in progress": change(
            lambda one: transitions.update(one, command(Update, parameters={"a": 1}), NOW), "200"
        ),
        "update, different": change(
            lambda one: transitions.update(one, command(Update, parameters={"a": 2}), NOW), "200"
        ),
        "update of nothing": change(
            lambda one: transitions.update(one, command(Update), NOW), "200"
        ),
        "bind, anew": change(
            lambda one: transitions.bind(one, None, None, command(Bind), NOW), "201"
        ),
        "deprovision": change(
            lambda one: transitions.deprovision(one, [], command(Deprovision), NOW), "200"
        ),
        "deprovision with bindings": change(
            lambda one: transitions.deprovision(
                one, [bound["ready"]] if bound["ready"] else [], command(Deprovision), NOW
            ),
            "200",
        ),
        "fetch": lambda state: asked(some[state], None, ""),
        "last operation": lambda state: asked(some[state], None, "/last_operation"),
    }
    of_bindings = {
        "bind, as before": bind(
            lambda one: transitions.bind(live, one, None, command(Bind), NOW), "201"
        ),
        "bind, different": bind(
            lambda one: transitions.bind(live, one, None, command(Bind, parameters={"a": 1}), NOW),
            "201",
        ),
        "bind in its place (rotation)": bind(
            lambda one: transitions.bind(
                live,
                None,
                one,
                command(Bind, binding_id="new", predecessor_binding_id="b"),
                NOW,
            ),
            "201",
        ),
        "unbind": bind(lambda one: transitions.unbind(live, one, command(Unbind), NOW), "200"),
        "fetch": lambda state: asked(live, bound[state], "/service_bindings/b"),
        "last operation": lambda state: asked(
            live, bound[state], "/service_bindings/b/last_operation"
        ),
    }
    return "\n".join(
        [
            HEAD,
            "## Instances\n",
            table(list(some), of_instances),
            "\n## Bindings of an instance that is ready\n",
            table(list(bound), of_bindings),
            "",
        ]
    )


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
