"""Whether a history could have come from a broker that does one thing at a time.

Walks through the history in the order of time and keeps all *configurations* that explain what has
been answered so far: a state, which of the requests under way have taken effect in it, and how many
of those that will never be answered. A request has to have taken effect when its answer arrives;
only then is tried what else may have taken effect before. (Wing and Gong's search, just in time as
in Lowe's "Testing for linearizability".) Two configurations that differ in nothing that matters any
more are one, so the cost grows with how many requests are under way at once, not with the length.

Each instance with its bindings is checked on its own: what is linearizable object by object is so
as a whole (Herlihy and Wing, locality).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from history import History, Request
from sequential_broker import START, State, answered, unanswered

BEFORE = 12
"""Requests that are shown with one whose answer is wrong."""


@dataclass(frozen=True)
class Violation:
    """An answer that nothing explains."""

    instance: str
    request: Request
    earlier: list[Request]
    """The latest that were sent before it was answered, in that order."""
    states: list[State]
    """How things may have been just before the answer arrived."""

    def __str__(self) -> str:
        """Return it for people."""
        lines = [f"{self.instance}: nothing explains this answer:", f"  {self.request}"]
        lines += ["after", *(f"  {one}" for one in self.earlier), "when things were, perhaps,"]
        lines += [f"  {one}" for one in self.states[:4]]
        return "\n".join(lines)


class _Configuration(NamedTuple):
    state: State
    done: frozenset[int]
    """Requests under way that have taken effect."""
    spent: tuple[int, ...]
    """How many of each kind of unanswered requests have taken effect."""


def check(history: History) -> Iterator[Violation]:
    """Yield what is wrong with a history, at most one answer for each instance."""
    for instance, some in sorted(history.of_instance.items()):
        found = check_one(instance, list(some))
        if found is not None:
            yield found


def check_one(instance: str, requests: Sequence[Request]) -> Violation | None:
    """Hold the requests about one instance and its bindings against the specification."""
    search = _Search(requests)
    # What is sent at the instant at which something else is answered overlaps it.
    order = sorted(
        [(one.sent, 0, number) for number, one in enumerate(requests)]
        + [(one.answered, 1, number) for number, one in enumerate(requests) if one.told]
    )
    for _, is_answer, number in order:
        if not is_answer:
            search.sent(number)
        elif not search.answered(number):
            answer = requests[number]
            known = [one for one in requests if one.sent <= answer.answered and one is not answer]
            known.sort(key=lambda one: one.sent)
            states = list(dict.fromkeys(one.state for one in search.configurations))
            return Violation(instance, answer, known[-BEFORE:], states)
    return None


class _Search:
    """All explanations of a history so far."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = requests
        # Unanswered requests for the same thing are as good as each other: the first that was sent
        # can do whatever a later one can. So it is enough to count them.
        kinds = dict.fromkeys(one.asked for one in requests if one.told is None)
        self._kinds = {asked: index for index, asked in enumerate(kinds)}
        self._examples: list[Request] = [
            Request(asked, None, -math.inf, math.inf) for asked in kinds
        ]
        self._sent = [0] * len(kinds)
        self._under_way: set[int] = set()
        self.configurations = {_Configuration(START, frozenset(), (0,) * len(kinds))}

    def sent(self, number: int) -> None:
        """Let a request begin."""
        request = self._requests[number]
        if request.told is not None:
            self._under_way.add(number)
            self.configurations = {self._ahead(one) for one in self.configurations}
        else:
            self._sent[self._kinds[request.asked]] += 1

    def answered(self, number: int) -> bool:
        """Let an answer arrive; False if nothing explains it. Then nothing has changed."""
        left: set[_Configuration] = set()
        seen = set(self.configurations)
        stack = list(seen)
        while stack:
            one = stack.pop()
            if number in one.done:
                left.add(one._replace(done=one.done - {number}))
                continue
            more = set(self._next(one)) - seen
            seen |= more
            stack.extend(more)
        if not left:
            return False
        self._under_way.discard(number)
        self.configurations = set(_best({self._ahead(one) for one in left}))
        return True

    def _next(self, one: _Configuration) -> Iterator[_Configuration]:
        """Yield what one more request that takes effect leads to."""
        for number in self._under_way - one.done:
            done = one.done | {number}
            for state in answered(one.state, self._requests[number]):
                yield self._ahead(_Configuration(state, done, one.spent))
        for index, example in enumerate(self._examples):
            if one.spent[index] < self._sent[index]:
                spent = (*one.spent[:index], one.spent[index] + 1, *one.spent[index + 1 :])
                for state in unanswered(one.state, example):
                    yield self._ahead(_Configuration(state, one.done, spent))

    def _ahead(self, one: _Configuration) -> _Configuration:
        """Let take effect what changes nothing now: later it could do no better."""
        waiting = self._under_way - one.done
        done = [
            number for number in waiting if one.state in answered(one.state, self._requests[number])
        ]
        return one._replace(done=one.done.union(done)) if done else one


def _best(configurations: Iterable[_Configuration]) -> Iterator[_Configuration]:
    """Leave out those that have only spent more than another."""
    rivals: dict[tuple[State, frozenset[int]], list[tuple[int, ...]]] = {}
    for one in configurations:
        rivals.setdefault((one.state, one.done), []).append(one.spent)
    for (state, done), some in rivals.items():
        kept: list[tuple[int, ...]] = []
        for spent in sorted(some, key=sum):
            if not any(all(a <= b for a, b in zip(less, spent, strict=True)) for less in kept):
                kept.append(spent)
                yield _Configuration(state, done, spent)
