"""What operators decide on orphans is done, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from commands import ask, common, ended, provision
from drawers import Drawer
from surveying import bound, live, settle, stray, survey, what
from waiting import eventually

from alibroker.actors.messages import Settlement
from alibroker.actors.settings import Orphans
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.digests import digest
from alibroker.lifecycle.commands import Deprovision, Verdict


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
