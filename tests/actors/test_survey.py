"""Orphans and losses are found; what is being worked on is left alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from commands import ask, common, ended, provision
from drawers import Drawer
from surveying import live, settle, stray, survey, what
from waiting import eventually

from alibroker.actors.messages import Settlement
from alibroker.actors.settings import Orphans
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import Found, TryAgainError
from alibroker.lifecycle.commands import Deprovision, Verdict
from alibroker.lifecycle.findings import Disagreement, Finding
from alibroker.lifecycle.missing import MOST_LOOKS, Search
from alibroker.lifecycle.records import Key


def test_nothing_is_found_where_all_is_as_recorded(system: BrokerSystem) -> None:
    live(system, "one", "b1", "b2")
    live(system, "two")
    assert what(system) == []
    assert system.surveys.report.seen == {"drawer": 4}


def test_what_no_record_knows_is_found(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one", "b1")
    drawer.things["lost"] = "t"
    drawer.locks["b9"] = "one"
    drawer.strays.append(stray("s"))
    assert what(system) == [
        ("unknown", "drawer-s"),
        ("unknown", "drawer-t"),
        ("unknown", "lock-b9"),
    ]


def test_what_somebody_else_holds_says_so(system: BrokerSystem, drawer: Drawer) -> None:
    drawer.strays.append(stray("s", instance_id="one", held="attached to RAM group ops"))
    (finding,) = survey(system)
    assert finding.description == (
        "No record names it. It stays while it is attached to RAM group ops."
    )


def test_what_was_deleted_behind_the_brokers_back_is_missing(
    make_system: Any, drawer: Drawer
) -> None:
    system = make_system(missing_age=0.001)
    live(system, "one", "b1")
    drawer.things.clear()
    drawer.locks.clear()
    assert what(system) == [("unseen", "one"), ("unseen", "one/b1")]
    assert what(system) == [("missing", "one"), ("missing", "one/b1")]


def test_what_was_not_seen_a_moment_ago_is_not_missing_yet(
    system: BrokerSystem, drawer: Drawer
) -> None:
    live(system, "one")
    token = drawer.things.pop("one")
    assert what(system) == [("unseen", "one")]
    assert what(system) == [("unseen", "one")]
    drawer.things["one"] = token
    assert what(system) == []


def test_what_lost_its_marks_is_not_missing(make_system: Any, drawer: Drawer) -> None:
    system = make_system(missing_age=0.001)
    live(system, "one")
    drawer.unmarked.add(drawer.things.pop("one"))
    for _ in range(2):
        (finding,) = survey(system)
        assert finding.disagreement == "drifted"
        assert "marks" in finding.description
    drawer.unmarked.clear()
    assert what(system) == [("unseen", "one")], "what it was before does not count"
    assert what(system) == [("missing", "one")]


def test_what_cannot_be_looked_for_is_not_missing(
    make_system: Any, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_system(missing_age=0.001)
    live(system, "one")
    drawer.things.clear()

    def away(*_: Any, **__: Any) -> bool:
        raise TryAgainError("The cloud is away.")

    monkeypatch.setattr(system.catalog.plugins[0].broker, "exists", away)
    for _ in range(2):
        (finding,) = survey(system)
        assert finding.disagreement == "unseen"
        assert "The cloud is away." in finding.description


@pytest.mark.parametrize("orphans", Orphans)
def test_what_another_account_shows_is_neither_missing_nor_an_orphan(
    make_system: Any, drawer: Drawer, orphans: Orphans
) -> None:
    system = make_system(missing_age=0.001, orphans=orphans, orphan_age=0.0)
    drawer.account = "first"
    live(system, "one", "b1")
    live(system, "two")
    things, locks = dict(drawer.things), dict(drawer.locks)
    drawer.account = "second"
    drawer.things, drawer.locks = {"of-others": "t"}, {}
    for _ in range(2):
        findings = survey(system)
        assert sorted((one.disagreement, one.name) for one in findings) == [
            ("other account", "drawer-t"),
            ("other account", "one"),
            ("other account", "one/b1"),
            ("other account", "two"),
        ]
        for one in findings:
            assert "first" in one.description
            assert "second" in one.description
    stranger = next(one for one in findings if one.found)
    for how in (Settlement.DELETE, Settlement.ADOPT):
        assert settle(system, stranger, how).verdict is Verdict.UNSUPPORTED
    assert drawer.things == {"of-others": "t"}
    assert ("deprovision", "of-others") not in drawer.calls
    drawer.account = "first"
    drawer.things, drawer.locks = things, locks
    assert what(system) == []


def test_a_record_that_does_not_say_its_account_learns_it_when_its_thing_is_seen(
    make_system: Any, drawer: Drawer
) -> None:
    system = make_system(missing_age=0.001)
    live(system, "one", "b1")
    ask(system, provision("slow", parameters={"slow": 30}))
    eventually(lambda: all(one.resource for one in system.view.records()))
    before = {one.key: one.operation for one in system.view.records()}
    drawer.account = "first"
    assert what(system) == []

    def learned() -> bool:
        instance, binding = system.view.instance("one"), system.view.binding("one", "b1")
        known = [one.resource.get("account") for one in (instance, binding) if one]
        return known == ["first", "first"]

    eventually(learned)
    found = system.view.instance("one")
    assert found is not None
    assert (found.status, found.operation) == ("ready", before[found.key])
    assert found.events[-1].what == "seen in the cloud: account first"
    assert what(system) == []
    assert system.view.instance("one") == found, "it is written once"
    busy = system.view.instance("slow")
    assert busy is not None
    assert "account" not in busy.resource, "what is being worked on is left alone"
    system.stop()
    again = make_system()
    kept = again.view.instance("one")
    assert kept is not None
    assert kept.resource["account"] == "first"
    drawer.account = "second"
    drawer.things.clear()
    drawer.locks.clear()
    assert {one.disagreement for one in survey(again)} == {"other account"}


def test_where_the_account_is_not_known_nothing_is_found(
    make_system: Any, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_system(missing_age=0.001)
    live(system, "one")
    drawer.things.clear()

    def away() -> str:
        raise TryAgainError("Nobody knows whose these keys are.")

    monkeypatch.setattr(system.catalog.plugins[0].broker, "account", away)
    assert what(system) == []
    assert "whose" in system.surveys.report.failures["drawer"]


def test_where_all_seems_to_be_missing_nothing_is() -> None:
    def finding(number: int) -> Finding:
        return Finding(
            disagreement=Disagreement.MISSING,
            broker="drawer",
            key=Key(f"i-{number}"),
            description="It is not there.",
            since=1.0,
        )

    some = [finding(number) for number in range(MOST_LOOKS + 1)]
    earlier = {one.id: one for one in some}
    search = Search(lambda _: False, earlier, now=1e9, age=1.0)
    assert {one.disagreement for one in search.judge(some[1:])} == {Disagreement.MISSING}
    assert {one.disagreement for one in search.judge(some)} == {Disagreement.UNSEEN}


def test_another_survey_follows_soon_where_something_was_not_seen(
    make_system: Any, drawer: Drawer
) -> None:
    system = make_system(survey_interval=3600.0, missing_age=0.2)
    live(system, "one")
    drawer.things.clear()
    assert what(system) == [("unseen", "one")]
    eventually(lambda: [one.disagreement for one in system.surveys.report.findings] == ["missing"])


def test_what_has_the_marks_of_another_has_drifted_and_is_nobodys_orphan(
    make_system: Any, drawer: Drawer
) -> None:
    system = make_system(missing_age=0.001)
    live(system, "one")
    drawer.strays.append(stray(drawer.things.pop("one"), instance_id="two"))
    for _ in range(2):
        (finding,) = survey(system)
        assert (finding.disagreement, finding.key.instance_id) == ("drifted", "one")
        assert finding.description == "Its marks say that it is of two."


def test_what_the_cloud_will_not_list_just_now_is_not_missing(
    system: BrokerSystem, drawer: Drawer
) -> None:
    live(system, "one", "b1")
    token = drawer.things.pop("one")
    drawer.locks.clear()
    drawer.strays.append(stray(token, instance_id="one", contents_unknown=True))
    assert what(system) == []


def test_what_was_changed_behind_the_brokers_back_has_drifted(
    system: BrokerSystem, drawer: Drawer
) -> None:
    live(system, "one")
    token = drawer.things.pop("one")
    drawer.strays.append(
        Found(
            kind="drawer",
            name="moved",
            instance_id="one",
            resource={"token": token, "shelf": 2, "colour": "red"},
        )
    )
    (finding,) = survey(system)
    assert finding.disagreement == "drifted"
    assert finding.description == "shelf is 2, the record says 1"


def test_what_outlived_its_deletion_is_left_over(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    token = drawer.things["one"]
    ask(system, Deprovision(**common("one")))
    assert ended(system, "one").status == "deleted"
    drawer.things["one"] = token
    assert what(system) == [("left over", f"drawer-{token}")]


def test_a_second_one_for_the_same_instance_is_double(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    drawer.strays.append(stray("second", instance_id="one"))
    (finding,) = survey(system)
    assert finding.disagreement == "double"
    assert settle(system, finding, Settlement.ADOPT).verdict is Verdict.UNSUPPORTED
    assert settle(system, finding, Settlement.DELETE).verdict is Verdict.STARTED
    assert ended(system, f"orphan-{finding.id}").status == "deleted"
    assert drawer.strays == []
    assert "one" in drawer.things
    assert what(system) == []


def test_what_is_being_worked_on_is_left_alone(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "old")
    drawer.hold.clear()
    ask(system, provision("new"))
    eventually(lambda: "new" in drawer.things)
    ask(system, Deprovision(**common("old")))
    # Not recorded yet, or being deleted: neither is an orphan, nor is it missing.
    assert what(system) == []
    drawer.hold.set()
    ended(system, "new")


def test_an_operation_during_the_inventory_is_no_finding(
    system: BrokerSystem, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(system, "gone")
    plugin: Any = system.catalog.plugins[0].broker
    before, inventory = drawer.things.copy(), plugin.inventory
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> Any:
        seen = list(inventory())
        reached.set()
        go_on.wait(10)
        return seen

    monkeypatch.setattr(plugin, "inventory", slow)
    system.survey()
    assert reached.wait(10)
    ask(system, Deprovision(**common("gone")))
    ended(system, "gone")
    live(system, "fresh")
    go_on.set()
    eventually(lambda: system.surveys.report.taken_at and not system.surveys.running)
    assert before
    assert system.surveys.report.findings == ()
