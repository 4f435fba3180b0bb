"""What is read of the records in memory, whatever form they are kept in."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from alibroker.brokers.api import OperationKind
from alibroker.etcd.records import decode, encode
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.records import (
    SCHEMA,
    Binding,
    Instance,
    Key,
    Operation,
    OperationState,
    Private,
    Record,
)
from alibroker.lifecycle.view import View

SEALER = Sealer({"k": bytes(range(32))}, "k")
OPERATION = Operation(id="o", kind=OperationKind.PROVISION, started_at=1.0, deadline=2.0)
INSTANCE = Instance(
    instance_id="i",
    service_id="s",
    plan_id="p",
    operation=OPERATION,
    private=Private(parameters={"pin": 1}),
)
BINDING = Binding(instance_id="i", binding_id="b", service_id="s", plan_id="p", operation=OPERATION)


def kept(record: Record) -> View:
    """Return a view that has the record as etcd has it."""

    def opened(key: Key, value: bytes) -> Record:
        kind = Binding if key.binding_id else Instance
        return decode(kind, value, SEALER, str(key))

    view = View()
    view.clear(opened)
    view.put(record.key, record, encode(record, SEALER, str(record.key)))
    return view


@pytest.mark.parametrize("record", [INSTANCE, BINDING], ids=["instance", "binding"])
@pytest.mark.parametrize("state", OperationState)
@pytest.mark.parametrize("kind", OperationKind)
def test_the_operation_alone_is_that_of_the_record(
    record: Record, kind: OperationKind, state: OperationState
) -> None:
    record = replace(record, operation=replace(OPERATION, kind=kind, state=state, step=3))
    view = kept(record)
    assert view.operation(record.key) == record.operation
    assert view.get(record.key) == record
    assert record.operation.has_deleted is (record.status == "deleted")


def test_of_nothing_there_is_no_operation() -> None:
    view = kept(INSTANCE)
    assert view.operation(Key("other")) is None
    assert view.operation(Key("i", "b")) is None


def test_an_older_form_is_read_as_a_whole() -> None:
    ended = replace(INSTANCE, operation=replace(OPERATION, state=OperationState.SUCCEEDED))
    view = View()
    view.clear(lambda _, __: ended)
    older = msgspec.json.decode(encode(ended, SEALER, "i")) | {"schema": SCHEMA - 1}
    older["operation"] = older["operation"] | {"description": "in words of then"}
    view.put(ended.key, ended, msgspec.json.encode(older))
    assert view.operation(ended.key) == ended.operation
