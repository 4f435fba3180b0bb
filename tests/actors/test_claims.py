"""One thing in the cloud never has two records, whoever comes first and whatever happens meanwhile.

With two, deprovisioning one would delete what the other is in use for.
"""

from __future__ import annotations

from typing import Any

import pytest
from commands import ask, common, ended, provision
from drawers import Drawer
from msgspec.structs import replace
from waiting import eventually

from alibroker.actors.system import BrokerSystem
from alibroker.etcd import keys
from alibroker.etcd.client import Entry, Etcd
from alibroker.etcd.records import encode
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.commands import Adopt, Bind, Deprovision, Verdict
from alibroker.lifecycle.records import Key, Record


def adoption(instance_id: str, token: str, **more: Any) -> Adopt:
    return Adopt(resource={"token": token}, **common(instance_id, **more))


def holders(system: BrokerSystem, token: str) -> list[Key]:
    return [
        record.key
        for record in system.view.records()
        if record.holds_something and record.resource.get("token") == token
    ]


def test_of_many_adoptions_at_once_one_wins(system: BrokerSystem) -> None:
    replies = [system.submit(adoption(f"i-{number}", "t")) for number in range(50)]
    verdicts = [reply.result(timeout=20).verdict for reply in replies]
    assert sorted(verdicts) == [Verdict.DIFFERENT] * 49 + [Verdict.DONE]
    assert len(holders(system, "t")) == 1


def test_a_refused_adoption_says_whose_it_is(system: BrokerSystem) -> None:
    ask(system, adoption("one", "t"))
    for more in ({}, {"delete": True}):
        answer = ask(system, adoption("two", "t", **more))
        assert answer.verdict is Verdict.DIFFERENT
        assert answer.description == "There is a record of drawer/t: one."
    assert system.view.instance("two") is None


def test_what_is_being_provisioned_is_not_adopted(system: BrokerSystem, drawer: Drawer) -> None:
    drawer.hold.clear()
    command = provision("one")
    ask(system, command)
    eventually(lambda: holders(system, command.operation_id) == [Key("one")])
    assert ask(system, adoption("two", command.operation_id)).verdict is Verdict.DIFFERENT
    drawer.hold.set()
    assert ended(system, "one").status == "ready"


def test_a_provision_does_not_take_what_was_adopted(
    system: BrokerSystem, drawer: Drawer, caplog: pytest.LogCaptureFixture
) -> None:
    drawer.things["two"] = "t"
    ask(system, adoption("two", "t"))
    ask(system, replace(provision("one"), operation_id="t"))
    record = ended(system, "one")
    assert (record.status, record.clean) == ("creation failed", True)
    assert "another service instance's already" in record.operation.description
    assert "two" not in record.operation.description
    assert "Key(instance_id='two'" in caplog.text
    assert drawer.things == {"two": "t"}, "undoing it has not touched what is another's"
    assert holders(system, "t") == [Key("two")]


def test_of_provisions_and_adoptions_at_once_one_wins(system: BrokerSystem) -> None:
    replies = []
    for number in range(30):
        commands = [
            replace(provision(f"p-{number}"), operation_id=f"t-{number}"),
            adoption(f"a-{number}", f"t-{number}"),
        ]
        replies += [system.submit(one) for one in commands[:: 1 if number % 2 else -1]]
    for reply in replies:
        reply.result(timeout=20)
    for number in range(30):
        ended(system, f"p-{number}")
        assert len(holders(system, f"t-{number}")) == 1


def test_it_is_so_after_a_restart_too(system: BrokerSystem, make_system: Any) -> None:
    ask(system, adoption("one", "t"))
    system.stop()
    again = make_system()
    assert ask(again, adoption("two", "t")).verdict is Verdict.DIFFERENT
    ask(again, Deprovision(**common("one")))
    assert ended(again, "one").status == "deleted"
    assert ask(again, adoption("two", "t")).verdict is Verdict.DONE


def test_a_name_is_taken_within_its_instance_only(system: BrokerSystem) -> None:
    for name in ("one", "two"):
        ask(system, provision(name))
        ended(system, name)
        ask(system, Bind(binding_id="b", **common(name, accepts_incomplete=False)))
    assert {one.status for one in system.view.records()} == {"ready"}
    answer = ask(
        system,
        Adopt(
            binding_id="c",
            delete=True,
            resource=system.view.binding("one", "b").resource,  # type: ignore[union-attr]
            **common("nobody"),
        ),
    )
    assert answer.verdict is Verdict.DIFFERENT
    assert answer.description.endswith(": one/b.")


def test_what_has_two_records_from_before_is_not_deleted(
    system: BrokerSystem,
    make_system: Any,
    drawer: Drawer,
    etcd_endpoint: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    drawer.things["one"] = "t"
    ask(system, adoption("one", "t"))
    copy = replace(system.view.instance("one"), instance_id="two")
    system.stop()
    put(etcd_endpoint, copy)
    again = make_system()
    assert "drawer/t has two records" in caplog.text
    for name in ("one", "two"):
        assert ask(again, Deprovision(**common(name))).verdict is Verdict.DIFFERENT
    assert drawer.things == {"one": "t"}


def test_what_an_unreadable_record_may_name_is_not_adopted(
    etcd_endpoint: str, make_system: Any
) -> None:
    with Etcd([etcd_endpoint]) as etcd:
        etcd.commit([Entry(keys.instance_key("bad"), b"{", 0)], timeout=5)
    system = make_system()
    for more in ({}, {"delete": True}):
        assert ask(system, adoption("one", "t", **more)).verdict is Verdict.UNREADABLE
    assert ask(system, adoption("one", "t", marked=True)).verdict is Verdict.DONE


def put(endpoint: str, record: Record) -> None:
    path = keys.instance_key(record.instance_id)
    with Etcd([endpoint]) as etcd:
        value = encode(record, Sealer({"k": bytes(32)}, "k"), path)
        etcd.commit([Entry(path, value, 0)], timeout=5)
