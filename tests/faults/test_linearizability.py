"""The judge of histories is judged: by histories that are right, by wrong ones, by brute force."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from history import READS, Asked, Request, Told
from hypothesis import HealthCheck, assume, given, settings, strategies
from linearizability import check_one
from played_history import BINDINGS, CHANGES, Player, Step, asked_by, steps
from sequential_broker import START, State, answered, unanswered

quick = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)

PROVISION = Asked("provision", identity="space-1", plan="plan-1")
FETCH, POLL = Asked("fetch"), Asked("last_operation")
UPDATE = Asked("update", plan="plan-2")
DEPROVISION = Asked("deprovision")
BIND = Asked("bind", "b1", identity="app-1", plan="plan-1")
UNBIND, FETCH_BINDING = Asked("unbind", "b1"), Asked("fetch", "b1")
IN_PROGRESS, SUCCEEDED = Told(200, state="in progress"), Told(200, state="succeeded")
NOT_FOUND, GONE = Told(404, "NotFound"), Told(410, "Gone")
BUSY = Told(422, "ConcurrencyError")
AS_MADE = Told(200, plan="plan-1", parameters=())
UPDATED = Told(200, plan="plan-2", parameters=())


def accepted(operation: str) -> Told:
    return Told(202, operation=operation)


Line = tuple[Asked, Told | None]

THERE: list[Line] = [(PROVISION, accepted("1")), (POLL, SUCCEEDED), (FETCH, AS_MADE)]
BOUND: list[Line] = [
    *THERE,
    (BIND, accepted("2")),
    (Asked("last_operation", "b1"), SUCCEEDED),
    (FETCH_BINDING, Told(200, credentials="secret")),
]

# What is wrong with each is its last line.
WRONG: dict[str, list[Line]] = {
    "404 after 202": [(PROVISION, accepted("1")), (POLL, NOT_FOUND)],
    "an old plan after an update that was seen to succeed": [
        *THERE,
        (UPDATE, accepted("2")),
        (POLL, SUCCEEDED),
        (FETCH, AS_MADE),
    ],
    "a new plan while the update is seen to go on": [
        *THERE,
        (UPDATE, accepted("2")),
        (FETCH, UPDATED),
        (POLL, IN_PROGRESS),
    ],
    "the end of the operation before": [
        *THERE,
        (UPDATE, accepted("2")),
        (POLL, IN_PROGRESS),
        (POLL, SUCCEEDED),
        (DEPROVISION, accepted("3")),
        (POLL, IN_PROGRESS),
        (FETCH, AS_MADE),
    ],
    "a state that goes back": [*THERE, (POLL, IN_PROGRESS)],
    "succeeded, then failed": [*THERE, (POLL, Told(200, state="failed"))],
    "two operations at once": [
        (PROVISION, accepted("1")),
        (PROVISION, accepted("2")),
        (PROVISION, accepted("1")),
    ],
    "two deletions at once": [
        *THERE,
        (DEPROVISION, accepted("2")),
        (POLL, IN_PROGRESS),
        (DEPROVISION, accepted("3")),
        (DEPROVISION, accepted("2")),
    ],
    "an update during another": [
        *THERE,
        (UPDATE, accepted("2")),
        (Asked("update", plan="plan-3"), accepted("3")),
        (UPDATE, accepted("2")),
    ],
    "there after 410": [
        *THERE,
        (DEPROVISION, accepted("2")),
        (POLL, SUCCEEDED),
        (DEPROVISION, GONE),
        (FETCH, AS_MADE),
    ],
    "created anew without a request": [
        *THERE,
        (DEPROVISION, accepted("2")),
        (POLL, SUCCEEDED),
        (POLL, IN_PROGRESS),
    ],
    "an accepted change is lost": [
        *THERE,
        (DEPROVISION, accepted("2")),
        (POLL, SUCCEEDED),
        (FETCH, AS_MADE),
    ],
    "an accepted creation is lost": [(PROVISION, accepted("1")), (DEPROVISION, GONE)],
    "bound while it is being deleted": [
        *THERE,
        (DEPROVISION, accepted("2")),
        (BIND, accepted("3")),
        (DEPROVISION, accepted("2")),
    ],
    "deleted while it is bound": [*BOUND, (DEPROVISION, accepted("3"))],
    "other credentials than before": [*BOUND, (FETCH_BINDING, Told(200, credentials="other"))],
    "a binding of nothing": [(BIND, accepted("1"))],
    "a binding that comes back": [
        *BOUND,
        (UNBIND, accepted("3")),
        (UNBIND, accepted("3")),
        (Asked("last_operation", "b1"), SUCCEEDED),
        (FETCH_BINDING, Told(200, credentials="secret")),
    ],
    "there, and nobody asked for it": [(FETCH, AS_MADE)],
    "busy with nothing": [*THERE, (UPDATE, BUSY)],
    "an answer that there is not": [*THERE, (UPDATE, Told(418))],
    "an operation that there was before": [
        *THERE,
        (DEPROVISION, accepted("2")),
        (DEPROVISION, accepted("1")),
    ],
}


def one_by_one(lines: Sequence[Line]) -> list[Request]:
    return [
        Request(asked, told, float(second), second + 0.5 if told else math.inf)
        for second, (asked, told) in enumerate(lines)
    ]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_found(name: str) -> None:
    history = one_by_one(WRONG[name])
    assert check_one("i", history[:-1]) is None
    found = check_one("i", history)
    assert found is not None
    assert found.request == history[-1]
    assert str(history[-1]) in str(found)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a read beside the change", [*THERE, (UPDATE, accepted("2")), (FETCH, AS_MADE)]),
        ("an end that nobody has seen", [*THERE, (UPDATE, accepted("2")), (FETCH, UPDATED)]),
        ("a lost answer", [(PROVISION, None), (PROVISION, accepted("1"))]),
        ("a lost request", [(PROVISION, None), (POLL, NOT_FOUND)]),
        ("a late one", [(PROVISION, None), (POLL, NOT_FOUND), (POLL, IN_PROGRESS)]),
        ("a late deletion", [(PROVISION, accepted("1")), (DEPROVISION, None), (DEPROVISION, GONE)]),
        ("one that failed before", [(PROVISION, accepted("1")), (PROVISION, accepted("2"))]),
        ("one that joins", [(PROVISION, accepted("1")), (PROVISION, accepted("1"))]),
        ("a deletion stops it", [(PROVISION, accepted("1")), (DEPROVISION, accepted("2"))]),
    ],
)
def test_what_a_client_cannot_tell_from_right_is_right(name: str, lines: list[Line]) -> None:
    assert check_one(name, one_by_one(lines)) is None


@pytest.mark.parametrize(("sent", "fine"), [(9.0, True), (11.0, True), (11.01, False)])
def test_an_old_answer_is_right_only_while_the_change_is_not_answered(
    sent: float, *, fine: bool
) -> None:
    update = Request(UPDATE, accepted("2"), 10.0, 11.0)
    later = Request(POLL, IN_PROGRESS, 13.0, 14.0)
    as_before = Request(POLL, SUCCEEDED, sent, 12.0)
    found = check_one("i", [*one_by_one(THERE), update, as_before, later])
    assert (found is None) is fine


@quick
@given(steps())
def test_whatever_the_lifecycle_answers_is_right(what: list[Step]) -> None:
    assert check_one("i", list(Player().play(what))) is None


OF_READS = [
    *(Told(200, state=state) for state in ("in progress", "succeeded", "failed")),
    *(Told(200, plan=f"plan-{n}", parameters=()) for n in (1, 2)),
    *(Told(200, plan=f"plan-{n}", parameters=(("size", "1"),)) for n in (1, 2)),
    *(Told(200, credentials=f"{{'password': 'op-{n}'}}") for n in (1, 2, 3)),
    *(NOT_FOUND, GONE),
]
OF_CHANGES = [
    *(accepted(f"op-{n}") for n in (1, 2, 99)),
    *(Told(200), Told(200, credentials="{'password': 'op-2'}")),
    *(NOT_FOUND, GONE, BUSY, Told(409, "Conflict"), Told(422, "BindingsExist")),
]


@quick
@given(
    steps(most=20),
    strategies.sampled_from(["", *BINDINGS]),
    strategies.one_of(
        strategies.tuples(strategies.sampled_from(READS), strategies.sampled_from(OF_READS)),
        strategies.tuples(strategies.sampled_from(CHANGES), strategies.sampled_from(OF_CHANGES)),
    ),
)
def test_at_rest_each_question_has_one_answer(
    what: list[Step], binding: str, last: tuple[str, Told]
) -> None:
    """Whatever else is said then is wrong.

    Failures are left out: after one, nobody is told whether something is left or usable.
    """
    player = Player()
    history = list(player.play([one._replace(fate="answered", good=True) for one in what]))
    player.settle()
    for second, (kind, name) in enumerate(itertools.product(READS, ("", *BINDINGS)), 100):
        question = Asked(kind, name)
        history.append(Request(question, player.answer(question), second, second + 0.5))
    kind, told = last
    asked = asked_by(Step(kind, binding))
    right = player.answer(asked)
    known = {one.told.operation for one in history if one.told}
    if right.operation and told.operation and not {right.operation, told.operation} & known:
        right = told  # ids that were never seen are as good as each other
    assert check_one("i", [*history, Request(asked, right, 200.0, 201.0)]) is None
    # A poll may be told of a deletion in two ways, and nobody looks for credentials elsewhere.
    assume(told != right and (kind, told) != ("last_operation", GONE))
    assume(not told.credentials or asked.binding)
    assert check_one("i", [*history, Request(asked, told, 200.0, 201.0)]) is not None


@quick
@given(steps(least=3, most=6), strategies.randoms(use_true_random=False))
def test_the_search_finds_what_trying_everything_finds(
    what: list[Step], chance: random.Random
) -> None:
    history = list(Player().play(what))
    told = [one.told for one in history if one.told is not None]
    chance.shuffle(told)
    mixed = [
        Request(
            one.asked,
            told.pop() if one.told and chance.random() < 0.5 else one.told,
            one.sent,
            one.answered,
        )
        for one in history
    ]
    for some in (history, mixed):
        assert (check_one("i", some) is None) is try_everything(START, some)


def try_everything(state: State, left: Sequence[Request]) -> bool:
    """Tell by brute force whether some order explains all answers."""
    if all(one.told is None for one in left):
        return True
    for one in left:
        others = [other for other in left if other is not one]
        # Nothing takes effect after what was sent later than it was answered.
        if any(other.answered < one.sent for other in others):
            continue
        after = answered(state, one) if one.told else (state, *unanswered(state, one))
        if any(try_everything(later, others) for later in after):
            return True
    return False
