"""Orphans are found, adopted, kept or deleted; what is being worked on is left alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from commands import ask, common, ended, provision
from drawers import PLAN, SERVICE, Drawer
from waiting import eventually

from alibroker.actors.messages import Settlement
from alibroker.actors.settings import Orphans
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import Found, TryAgainError
from alibroker.brokers.digests import digest
from alibroker.lifecycle.commands import Bind, Deprovision, Verdict
from alibroker.lifecycle.findings import Disagreement, Finding
from alibroker.lifecycle.missing import MOST_LOOKS, Search
from alibroker.lifecycle.records import Key


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


def test_a_lost_store_is_rebuilt_from_the_cloud(system: BrokerSystem, drawer: Drawer) -> None:
    drawer.things["lost"] = "t"
    drawer.locks["b"] = "lost"
    drawer.keys["b"] = "the old key"
    binding, instance = sorted(survey(system), key=lambda one: one.kind, reverse=True)
    assert settle(system, binding, Settlement.ADOPT).verdict is Verdict.UNKNOWN
    assert settle(system, instance, Settlement.ADOPT).verdict is Verdict.DONE
    assert settle(system, binding, Settlement.ADOPT).verdict is Verdict.STARTED
    eventually(lambda: bound(system, "lost", "b"))
    credentials = system.view.binding("lost", "b").private.credentials  # type: ignore[union-attr]
    assert credentials == {"key": drawer.keys["b"]}
    assert drawer.keys["b"] != "the old key"
    assert what(system) == []
    ask(system, Deprovision(**common("lost")))


def test_an_adopted_instance_lives_like_any_other(
    system: BrokerSystem, drawer: Drawer, make_system: Any
) -> None:
    drawer.things["lost"] = "t"
    (finding,) = survey(system)
    settle(system, finding, Settlement.ADOPT)
    system.stop()
    again = make_system()
    assert again.view.instance("lost").status == "ready"
    ask(again, Deprovision(**common("lost")))
    assert ended(again, "lost").status == "deleted"
    assert drawer.things == {}


def test_what_is_kept_is_not_reported_again(system: BrokerSystem, drawer: Drawer) -> None:
    drawer.things["lost"] = "t"
    drawer.locks["b"] = "lost"
    findings = {one.kind: one for one in survey(system)}
    assert settle(system, findings["drawer"], Settlement.KEEP).verdict is Verdict.DONE
    assert settle(system, findings["lock"], Settlement.KEEP).verdict is Verdict.UNSUPPORTED
    assert what(system) == [("unknown", "lock-b")]


def test_an_adoption_that_fails_removes_nothing(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    drawer.locks["b"] = "one"
    (finding,) = survey(system)
    settle(system, finding, Settlement.ADOPT, parameters={"fails": True})
    eventually(lambda: not system.view.binding("one", "b").operation.in_progress)  # type: ignore[union-attr]
    binding = system.view.binding("one", "b")
    assert binding is not None
    assert (binding.status, binding.clean) == ("creation failed", False)
    assert drawer.locks == {"b": "one"}
    (again,) = survey(system)
    assert again.disagreement == "half-deleted"
    settle(system, again, Settlement.DELETE)
    eventually(lambda: drawer.locks == {})


def test_an_orphaned_binding_is_deleted_without_its_instance(
    system: BrokerSystem, drawer: Drawer
) -> None:
    drawer.locks["b"] = "never-heard-of"
    (finding,) = survey(system)
    assert settle(system, finding, Settlement.DELETE).verdict is Verdict.STARTED
    eventually(lambda: drawer.locks == {})
    eventually(lambda: system.view.binding("never-heard-of", "b").status == "deleted")  # type: ignore[union-attr]


def test_a_deletion_that_failed_is_taken_up_again(system: BrokerSystem, drawer: Drawer) -> None:
    ask(system, provision("one", parameters={"fails": True, "stuck": True}))
    assert ended(system, "one").status == "creation failed"
    (finding,) = survey(system)
    assert finding.disagreement == "half-deleted"
    answer = settle(system, finding, Settlement.DELETE, parameters={"stuck": False})
    assert answer.verdict is Verdict.STARTED
    eventually(lambda: system.view.instance("one").status == "deleted")  # type: ignore[union-attr]
    assert drawer.things == {}


def test_what_does_not_say_what_it_is_of_is_adopted_under_a_given_id(
    system: BrokerSystem, drawer: Drawer
) -> None:
    drawer.strays += [stray("s"), stray("t", service_id="", plan_id="")]
    nameless, foreign = sorted(survey(system), key=lambda one: one.name)
    assert settle(system, nameless, Settlement.ADOPT).verdict is Verdict.UNSUPPORTED
    assert settle(system, nameless, Settlement.ADOPT, instance_id="mine").verdict is Verdict.DONE
    assert system.view.instance("mine").resource == {"token": "s"}  # type: ignore[union-attr]
    assert settle(system, foreign, Settlement.ADOPT, instance_id="x").verdict is Verdict.UNSUPPORTED
    assert settle(system, foreign, Settlement.DELETE).verdict is Verdict.STARTED
    eventually(lambda: not any(one.name == "drawer-t" for one in drawer.strays))


@pytest.mark.parametrize("action", list(Settlement))
def test_an_operator_cannot_overrule_the_marks(
    system: BrokerSystem, drawer: Drawer, action: Settlement
) -> None:
    drawer.things["lost"] = "t"
    drawer.locks["b"] = "lost"
    for finding in survey(system):
        if action is Settlement.KEEP and finding.kind == "lock":
            continue
        answer = settle(system, finding, action, instance_id="other")
        assert answer.verdict is Verdict.UNSUPPORTED
    assert system.view.keys() == []
    assert drawer.things == {"lost": "t"}


def test_marks_that_hold_a_digest_have_the_last_word_as_well(
    system: BrokerSystem, drawer: Drawer
) -> None:
    name = "a name that is too long" * 9
    drawer.strays.append(stray("s", instance_digest=digest(name)))
    (finding,) = survey(system)
    other = settle(system, finding, Settlement.ADOPT, instance_id="other")
    assert other.verdict is Verdict.UNSUPPORTED
    assert settle(system, finding, Settlement.ADOPT, instance_id=name).verdict is Verdict.DONE
    assert what(system) == []


def test_a_binding_is_not_adopted_without_its_name(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    drawer.strays.append(stray("s", binding_id="lock-7", resource={"lock": "7"}))
    (finding,) = survey(system)
    answer = settle(system, finding, Settlement.ADOPT, instance_id="one")
    assert answer.verdict is Verdict.UNSUPPORTED
    assert settle(system, finding, Settlement.DELETE).verdict is Verdict.STARTED


def test_a_binding_of_something_else_is_not_adopted(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    lock = stray("s", instance_id="one", binding_id="b", resource={"lock": "b", "token": "other"})
    drawer.strays.append(lock)
    (finding,) = survey(system)
    assert settle(system, finding, Settlement.ADOPT).verdict is Verdict.DIFFERENT


def test_an_adoption_never_replaces_a_record(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    drawer.strays.append(stray("s"))
    (finding,) = survey(system)
    answer = settle(system, finding, Settlement.ADOPT, instance_id="one")
    assert answer.verdict is Verdict.DIFFERENT
    assert system.view.instance("one").resource["token"] != "s"  # type: ignore[union-attr]


def test_only_orphans_can_be_settled(system: BrokerSystem, drawer: Drawer) -> None:
    live(system, "one")
    drawer.things.clear()
    (finding,) = survey(system)
    assert settle(system, finding, Settlement.DELETE).verdict is Verdict.UNSUPPORTED
    gone = system.settle("no-such-finding", Settlement.KEEP).result(timeout=10)
    assert gone.verdict is Verdict.UNKNOWN


def test_a_cloud_that_cannot_be_asked_is_said_and_forgets_nothing(
    system: BrokerSystem, drawer: Drawer
) -> None:
    drawer.things["lost"] = "t"
    (finding,) = survey(system)
    drawer.away = "The cloud is away."
    assert survey(system) == (finding,)
    assert system.surveys.report.failures == {"drawer": "The cloud is away."}


def test_old_orphans_are_deleted_if_that_is_wanted(make_system: Any, drawer: Drawer) -> None:
    drawer.things["lost"] = "t"
    system = make_system(orphans=Orphans.DELETE, orphan_age=0.5)
    live(system, "one")
    assert [one.name for one in survey(system)] == ["drawer-t"]
    assert "lost" in drawer.things

    def deleted() -> bool:
        survey(system)
        return "lost" not in drawer.things

    eventually(deleted)
    assert "one" in drawer.things


def test_a_lost_store_deletes_nothing(make_system: Any, drawer: Drawer) -> None:
    drawer.things.update({"lost": "t", "too": "u"})
    system = make_system(orphans=Orphans.DELETE, orphan_age=0.001)
    live(system, "one")
    for _ in range(3):
        assert len(survey(system)) == 2
    assert {"lost", "too"} <= drawer.things.keys()


def test_surveys_are_taken_on_schedule(make_system: Any, drawer: Drawer) -> None:
    drawer.things["lost"] = "t"
    system = make_system(survey_interval=0.3)
    eventually(lambda: len(system.surveys.report.findings) == 1)
    drawer.things.clear()
    eventually(lambda: system.surveys.report.findings == ())
