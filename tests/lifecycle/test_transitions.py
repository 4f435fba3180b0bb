"""The state machine alone: a rule at a time, and as a whole under random histories."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from alibroker.brokers.api import Failed, InProgress, Succeeded
from alibroker.lifecycle import progress, transitions
from alibroker.lifecycle.commands import (
    Again,
    Bind,
    Decision,
    Deprovision,
    Provision,
    Report,
    Unbind,
    Update,
    Verdict,
)
from alibroker.lifecycle.records import Binding, Instance, OperationState, Record, Status, same_json

NOW = 1_000.0


def command(kind: type[Any], **more: Any) -> Any:
    fields = {
        "instance_id": "i",
        "service_id": "s",
        "plan_id": "p",
        "operation_id": "op",
        "duration": 100.0,
        **more,
    }
    if kind is Provision:
        fields = {"organization_guid": "o", "space_guid": "s", **fields}
    if kind in (Bind, Unbind):
        fields = {"binding_id": "b", **fields}
    return kind(**fields)


def created(decision: Decision) -> Any:
    assert decision.record is not None
    return decision.record


def report(record: Record, result: Any, **more: Any) -> Report:
    operation = record.operation
    fields = {"operation_id": operation.id, "step": operation.step, **more}
    return Report(key=record.key, result=result, **fields)


def advanced(record: Any, result: Any, now: float = NOW) -> Any:
    after = progress.advance(record, report(record, result), now)
    assert after is not None
    return after


@pytest.fixture
def creating() -> Instance:
    decision = transitions.provision(None, command(Provision, parameters={"a": 1}), NOW)
    assert decision.answer.verdict is Verdict.STARTED
    instance: Instance = created(decision)
    return instance


@pytest.fixture
def ready(creating: Instance) -> Instance:
    instance: Instance = advanced(creating, Succeeded(resource={"id": "x"}))
    return instance


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2.0], "a": 1.0}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": None}, {}, False),
        ({"a": {"b": True}}, {"a": {"b": True}}, True),
        ({}, {}, True),
    ],
)
def test_what_is_the_same_json(one: Any, other: Any, *, same: bool) -> None:
    assert same_json(one, other) is same
    assert same_json(other, one) is same


@pytest.mark.parametrize(
    "change",
    [
        {"plan_id": "other"},
        {"service_id": "other"},
        {"organization_guid": "other"},
        {"space_guid": "other"},
        {"parameters": {"a": 2}},
        {"parameters": {}},
    ],
)
def test_a_repeated_provision_with_another_attribute_is_a_conflict(
    creating: Instance, ready: Instance, change: dict[str, Any]
) -> None:
    repeated = command(Provision, **{"parameters": {"a": 1}, **change})
    for instance in (creating, ready):
        assert transitions.provision(instance, repeated, NOW).answer.verdict is Verdict.DIFFERENT


def test_context_and_maintenance_do_not_make_a_provision_another(ready: Instance) -> None:
    repeated = command(Provision, parameters={"a": 1.0}, context={"instance_name": "new"})
    assert transitions.provision(ready, repeated, NOW).answer.verdict is Verdict.DONE


def test_a_late_result_cannot_overwrite_but_its_facts_are_kept(creating: Instance) -> None:
    stopped = created(
        transitions.deprovision(creating, [], command(Deprovision, operation_id="op2"), NOW)
    )
    late = report(creating, InProgress(description="made", resource={"id": "x"}))

    absorbed = progress.advance(stopped, late, NOW)

    assert absorbed is not None
    assert absorbed.operation == stopped.operation
    assert absorbed.resource == {"id": "x"}
    assert progress.advance(absorbed, late, NOW) is None


def test_the_result_of_an_earlier_step_is_too_late(creating: Instance) -> None:
    first = report(creating, InProgress(description="one"))
    after = progress.advance(creating, first, NOW)
    assert after is not None
    assert after.operation.step == 1
    assert progress.advance(after, first, NOW) is None


def test_a_failed_creation_is_undone_before_it_fails(creating: Instance) -> None:
    undoing = advanced(
        advanced(creating, InProgress(description="made", resource={"id": "x"}, state={"a": 1})),
        Failed(reason="No stock."),
    )
    assert undoing.operation.undoing
    assert undoing.operation.state is OperationState.IN_PROGRESS
    assert undoing.resource == {"id": "x"}
    assert undoing.private.state == {}

    failed = advanced(undoing, Succeeded())

    assert failed.status is Status.CREATION_FAILED
    assert failed.operation.description == "No stock."
    assert (failed.clean, failed.resource) == (True, {})


def test_what_could_not_be_undone_is_named_and_can_be_deleted(creating: Instance) -> None:
    made = advanced(creating, InProgress(description="made", resource={"id": "x"}))
    failed = advanced(advanced(made, Failed(reason="No.")), Failed(reason="Locked."))

    assert (failed.clean, failed.resource) == (False, {"id": "x"})
    assert "Locked." in failed.operation.description
    repeated = transitions.provision(failed, command(Provision, parameters={"a": 1}), NOW)
    assert repeated.answer.verdict is Verdict.DIFFERENT
    deletion = created(transitions.deprovision(failed, [], command(Deprovision), NOW))
    assert advanced(deletion, Succeeded()).status is Status.DELETED


def test_tries_wait_longer_and_longer_and_as_long_as_the_cloud_says(creating: Instance) -> None:
    record, pauses = creating, []
    for _ in range(10):
        record = advanced(record, Again("Busy."))
        pauses.append(record.operation.due_at - NOW)
    assert pauses[0] <= 1.0
    assert 30.0 <= pauses[-1] <= 60.0
    asked = advanced(creating, Again("Throttled.", after=14.0))
    assert 14.0 <= asked.operation.due_at - NOW <= 15.0
    assert advanced(record, InProgress(description="on")).operation.tries == 0


def test_whoever_goes_on_waits_no_longer_than_was_meant_by_another_clock(
    creating: Instance,
) -> None:
    """As when a replica takes over whose clock is an hour behind."""
    looked_at = advanced(creating, InProgress(description="waits", poll_after=7.0))
    failed = advanced(creating, Again("Busy."))
    for record, longest in ((creating, 0.0), (looked_at, 7.0), (failed, progress.MAX_BACK_OFF)):
        due_at = record.operation.due_at
        assert progress.due_in(record.operation, due_at - 3_600) == longest
        assert progress.due_in(record.operation, due_at + 1) == 0.0
    assert progress.due_in(failed.operation, NOW) == failed.operation.due_at - NOW


def test_a_request_without_an_answer_is_remembered_until_the_thing_is_gone(
    creating: Instance,
) -> None:
    assert advanced(creating, Again("Throttled.")).unanswered_at == 0.0
    unsure = advanced(creating, Again("No answer.", unanswered=True), NOW + 5)
    assert unsure.unanswered_at == NOW + 5
    ready = advanced(unsure, Succeeded())
    deletion = created(transitions.deprovision(ready, [], command(Deprovision), NOW + 9))
    assert deletion.unanswered_at == NOW + 5
    # What a deletion asks for creates nothing.
    again = advanced(deletion, Again("No answer.", unanswered=True), NOW + 10)
    assert again.unanswered_at == NOW + 5
    assert advanced(again, Succeeded()).unanswered_at == 0.0


def test_a_deletion_learns_that_the_creation_it_stopped_was_not_answered(
    creating: Instance,
) -> None:
    late = report(creating, Again("No answer.", unanswered=True))
    stop = command(Deprovision, operation_id="another")
    deletion = created(transitions.deprovision(creating, [], stop, NOW))
    told = progress.advance(deletion, late, NOW + 5)
    assert told is not None
    assert (told.unanswered_at, told.operation) == (NOW + 5, deletion.operation)


def test_a_creation_that_takes_too_long_is_undone_within_its_deadline(creating: Instance) -> None:
    assert progress.expire(creating, NOW + 74.9) is None
    undoing = progress.expire(creating, NOW + 75.0)
    assert undoing is not None
    assert undoing.operation.undoing
    assert progress.expire(undoing, NOW + 99.9) is None
    ended = progress.expire(undoing, NOW + 100.0)
    assert ended is not None
    assert ended.operation.state is OperationState.FAILED
    assert not ended.clean


@pytest.mark.parametrize("kind", ["provision", "update", "deprovision", "bind", "unbind"])
@pytest.mark.parametrize(
    "word",
    [
        Again("RDS: Throttling (request 4711)."),
        InProgress(description="RDS: Creating (request 4711)."),
    ],
)
def test_what_ends_by_its_deadline_says_what_it_last_waited_for(
    ready: Instance, creating: Instance, kind: str, word: Again | InProgress
) -> None:
    binding = created(transitions.bind(ready, None, None, command(Bind), NOW))
    bound = advanced(binding, Succeeded(credentials={"key": "k"}))
    changed = command(Update, parameters={"a": 2}, may_change_parameters=True)
    record = {
        "provision": creating,
        "update": created(transitions.update(ready, changed, NOW)),
        "deprovision": created(transitions.deprovision(ready, [], command(Deprovision), NOW)),
        "bind": binding,
        "unbind": created(transitions.unbind(ready, bound, command(Unbind), NOW)),
    }[kind]
    assert record.operation.kind == kind
    late = progress.expire(advanced(record, word), NOW + 99.0) or advanced(record, word)
    ended = progress.expire(late, NOW + 100.0)
    assert ended is not None
    assert ended.operation.state is OperationState.FAILED
    assert "(request 4711)." in ended.operation.description
    assert ended.operation.last_word == ""


def test_an_instance_with_bindings_is_not_deleted(ready: Instance) -> None:
    binding = created(transitions.bind(ready, None, None, command(Bind), NOW))
    deletion = command(Deprovision)
    assert transitions.deprovision(ready, [binding], deletion, NOW).answer.verdict is Verdict.BUSY
    bound = advanced(binding, Succeeded(credentials={"a": 1}))
    left = transitions.deprovision(ready, [bound], deletion, NOW).answer
    assert left.verdict is Verdict.BINDINGS_LEFT
    assert "b" in left.description
    unbound = advanced(created(transitions.unbind(ready, bound, command(Unbind), NOW)), Succeeded())
    assert unbound.private.credentials is None
    ok = transitions.deprovision(ready, [unbound], deletion, NOW).answer
    assert ok.verdict is Verdict.STARTED


def test_nothing_is_forgotten_before_its_time(ready: Instance, creating: Instance) -> None:
    assert progress.forget_at(ready, 10.0) is None
    gone = advanced(
        created(transitions.deprovision(ready, [], command(Deprovision), NOW)), Succeeded()
    )
    assert progress.forget_at(gone, 10.0) == NOW + 10.0
    unclean = advanced(advanced(creating, Failed(reason="No.")), Failed(reason="No."))
    assert progress.forget_at(unclean, 10.0) is None


RESULTS = strategies.one_of(
    strategies.builds(
        InProgress,
        description=strategies.sampled_from(["one", "two"]),
        resource=strategies.sampled_from([{}, {"id": "x"}]),
        poll_after=strategies.sampled_from([0.0, 5.0]),
    ),
    strategies.builds(Succeeded, credentials=strategies.sampled_from([None, {"key": "k"}])),
    strategies.builds(Failed, reason=strategies.just("No."), instance_usable=strategies.booleans()),
    strategies.builds(Again, reason=strategies.just("Busy.")),
)


class Histories(RuleBasedStateMachine):
    """Commands, step results, late step results and time, in any order.

    Cites I4 (one operation at a time), I6 (every operation ends within its deadline) and I7 (what
    failed can be deprovisioned).
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.count = 0
        self.instance: Instance | None = None
        self.binding: Binding | None = None
        self.reports: list[Report] = []

    def take(self, decision: Decision) -> None:
        match decision.record:
            case Instance() as instance:
                self.instance = instance
            case Binding() as binding:
                self.binding = binding
        if decision.answer.verdict is Verdict.STARTED:
            assert decision.record is not None
            assert decision.record.operation.id == f"op{self.count}"

    def next_command(self, kind: type[Any], **more: Any) -> Any:
        self.count += 1
        return command(kind, operation_id=f"op{self.count}", **more)

    @rule(size=strategies.integers(1, 2))
    def provision(self, size: int) -> None:
        wanted = self.next_command(Provision, parameters={"size": size})
        before = self.instance
        decision = transitions.provision(before, wanted, self.now)
        if before is not None and before.operation.in_progress:
            assert decision.record is None
        self.take(decision)

    @rule()
    def deprovision(self) -> None:
        bindings = [self.binding] if self.binding else []
        self.take(
            transitions.deprovision(
                self.instance,
                bindings,
                self.next_command(Deprovision, **self.offer()),
                self.now,
            )
        )

    @rule(
        size=strategies.integers(1, 3),
        plan_id=strategies.sampled_from(["", "p", "q"]),
        may=strategies.booleans(),
    )
    def update(self, size: int, plan_id: str, *, may: bool) -> None:
        wanted = self.next_command(
            Update,
            plan_id=plan_id,
            parameters={"size": size},
            may_change_plan=may,
            may_change_parameters=may,
        )
        before = self.instance
        self.take(transitions.update(before, wanted, self.now))
        if before is not None and self.instance is not None:
            assert self.instance.plan_id == before.plan_id
            assert self.instance.private.parameters == before.private.parameters

    @rule(predecessor=strategies.sampled_from(["", "b0"]))
    def bind(self, predecessor: str) -> None:
        wanted = self.next_command(Bind, predecessor_binding_id=predecessor, **self.offer())
        old = None
        if predecessor and self.binding is not None:
            old = replace(self.binding, binding_id="b0")
        self.take(transitions.bind(self.instance, self.binding, old, wanted, self.now))

    def offer(self) -> dict[str, str]:
        """Return the plan as the instance has it, as a platform would send it."""
        return {"plan_id": self.instance.plan_id} if self.instance else {}

    @rule()
    def unbind(self) -> None:
        wanted = self.next_command(Unbind, **self.offer())
        self.take(transitions.unbind(self.instance, self.binding, wanted, self.now))

    @rule(result=RESULTS, of_binding=strategies.booleans())
    def step(self, result: Any, *, of_binding: bool) -> None:
        record = self.binding if of_binding else self.instance
        if record is not None and record.operation.in_progress:
            self.reports.append(report(record, result))
            self.put(progress.advance(record, self.reports[-1], self.now))

    @rule(data=strategies.data())
    def late_step(self, data: Any) -> None:
        if self.reports:
            late = data.draw(strategies.sampled_from(self.reports))
            record = self.binding if late.key.binding_id else self.instance
            assert record is not None
            before = record.operation
            after = progress.advance(record, late, self.now)
            if after is not None:
                assert after.operation == before
                self.put(after)

    @rule(seconds=strategies.sampled_from([1.0, 30.0, 80.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for kept in (self.instance, self.binding):
            after: Record | None = kept
            while after is not None:
                self.put(after)
                after = progress.expire(after, self.now)

    def put(self, record: Record | None) -> None:
        if isinstance(record, Instance):
            self.instance = record
        elif isinstance(record, Binding):
            self.binding = record

    @invariant()
    def every_operation_ends_in_time(self) -> None:
        for record in (self.instance, self.binding):
            if record is not None and record.operation.in_progress:
                assert self.now < record.operation.deadline

    @invariant()
    def what_is_wanted_is_there_only_while_it_is_worked_on(self) -> None:
        if self.instance is not None:
            updating = self.instance.status is Status.UPDATING
            assert (self.instance.wanted is not None) == updating
            assert updating or not self.instance.private.wanted

    @invariant()
    def what_is_deleted_holds_nothing(self) -> None:
        for record in (self.instance, self.binding):
            if record is not None and record.status is Status.DELETED:
                assert not record.resource
                assert record.private.credentials is None

    @invariant()
    def everything_can_be_deleted(self) -> None:
        binding = self.binding
        if binding is not None and binding.status is not Status.DELETED:
            wanted = command(Unbind, operation_id="x", **self.offer())
            unbinding = transitions.unbind(self.instance, binding, wanted, self.now)
            assert unbinding.answer.verdict in (Verdict.STARTED, Verdict.JOINED)
            under_way = unbinding.record or binding
            binding = advanced(under_way, Succeeded(), self.now)
            assert binding.status is Status.DELETED
        instance = self.instance
        if instance is not None and instance.status is Status.UPDATING:
            instance = advanced(instance, Failed(reason="No."), self.now)
        if instance is not None and instance.status is not Status.DELETED:
            deletion = transitions.deprovision(
                instance,
                [binding] if binding else [],
                command(Deprovision, operation_id="y", plan_id=instance.plan_id),
                self.now,
            )
            assert deletion.answer.verdict in (Verdict.STARTED, Verdict.JOINED)
            gone = advanced(deletion.record or instance, Succeeded(), self.now)
            assert gone.status is Status.DELETED


Histories.TestCase.settings = settings(
    max_examples=2_000,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestHistories = pytest.mark.timeout(600)(Histories.TestCase)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_long_histories() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=200_000,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_the_history_of_a_record_is_bounded(creating: Instance) -> None:
    record = creating
    for number in range(100):
        record = advanced(record, InProgress(description=str(number)))
    assert len(record.events) <= 20
    assert replace(record, events=()).operation.step == 100
