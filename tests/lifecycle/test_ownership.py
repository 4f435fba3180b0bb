"""Who works on what: the rules, without anybody to follow them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alibroker.brokers.api import OperationKind
from alibroker.lifecycle.ownership import chosen, chosen_for, owned, taken_over
from alibroker.lifecycle.records import Instance, Key, Operation

NAMES = st.sets(st.text(min_size=1), min_size=1, max_size=6)


def instance(kind: OperationKind = OperationKind.PROVISION, **operation: object) -> Instance:
    begun = Operation(id="o", kind=kind, started_at=0.0, deadline=100.0)
    return Instance(
        instance_id="i", service_id="s", plan_id="p", operation=replace(begun, **operation)
    )


@given(NAMES, st.text())
def test_all_choose_the_same_one_of_those_who_live(living: set[str], what: str) -> None:
    assert chosen(what, living) == chosen(what, sorted(living)) == chosen(what, [*living, *living])
    assert chosen(what, living) in living


@given(NAMES, st.text(min_size=1), st.lists(st.text(), min_size=1))
def test_what_nobody_lost_stays_where_it_is(living: set[str], new: str, things: list[str]) -> None:
    for what in things:
        assert chosen(what, {*living, new}) in (chosen(what, living), new)


def test_the_work_is_shared_out_evenly() -> None:
    living = [f"host-{number}" for number in range(3)]
    parts = [chosen_for(Key(f"instance-{number}"), living) for number in range(3000)]
    assert all(900 < parts.count(one) < 1100 for one in living)


def test_nobody_is_chosen_where_nobody_lives() -> None:
    assert chosen("x", ()) == ""


def test_who_begins_an_operation_works_on_it() -> None:
    assert owned(instance(), None, "a").operation.replica == "a"


def test_what_stops_an_operation_is_left_to_who_works_on_that() -> None:
    before = instance(replica="a")
    stopping = instance(OperationKind.DEPROVISION)
    assert owned(stopping, before, "b").operation.replica == "a"


@pytest.mark.parametrize(
    ("kind", "at"), [(OperationKind.PROVISION, 5.0), (OperationKind.DEPROVISION, 0.0)]
)
def test_a_step_of_the_dead_may_have_left_a_request_on_its_way(
    kind: OperationKind, at: float
) -> None:
    taken = taken_over(instance(kind, replica="dead"), "b", 5.0)
    assert (taken.operation.replica, taken.unanswered_at) == ("b", at)
