"""What a broker may answer that does one thing at a time, as far as a client can tell.

The specification that histories are held against: an instance with its bindings is one object; a
request takes effect at one instant; an accepted operation ends by itself at some instant after
that. From the OSB API (Blocking Operations, Provisioning, Updating, Binding, Polling Last
Operation, Orphan Mitigation), not from the broker's code.

Held against it are: which status an answer has; which operation was begun or joined; the states of
operations; plan and parameters that a fetch shows; credentials, which never change. Left open is
what a client cannot know: whether an operation succeeds or fails, whether a failed creation has
left something behind, whether an instance is still usable after a failure. Not modelled are
requests that wait for the end of their operation, rotations of bindings, and that results are
forgotten.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from history import READS, Asked, Parameters, Request, Told

IN_PROGRESS, SUCCEEDED, FAILED = "in progress", "succeeded", "failed"
DELETIONS = ("deprovision", "unbind")
CONCURRENCY = "ConcurrencyError"


class Thing(NamedTuple):
    """An instance or a binding, with its last operation."""

    identity: str
    plan: str
    parameters: Parameters
    kind: str
    """Of its last operation."""
    state: str = IN_PROGRESS
    operation: str = ""
    """The id of the operation; empty if nobody has been told."""
    created: bool = False
    """Whether it was ever there."""
    doubtful: bool = False
    """Whether something has failed since, so that it may be unusable."""
    wanted: tuple[str, Parameters] | None = None
    """Plan and parameters that an update in progress is to bring about."""
    credentials: str = ""
    """As they were first told."""

    @property
    def running(self) -> bool:
        """Whether its operation has not ended."""
        return self.state == IN_PROGRESS

    @property
    def gone(self) -> bool:
        """Whether it was deleted."""
        return self.kind in DELETIONS and self.state == SUCCEEDED

    @property
    def creating(self) -> bool:
        """Whether it is on its way."""
        return self.running and self.kind in ("provision", "bind")


class State(NamedTuple):
    """An instance with its bindings, as they are at one instant.

    Of an operation in progress it is not said whether it has ended meanwhile: the next answer that
    depends on that tells.
    """

    instance: Thing | None = None
    bindings: tuple[tuple[str, Thing], ...] = ()
    past: frozenset[str] = frozenset()
    """Ids of operations that others have followed."""

    def knows(self, operation: str) -> bool:
        """Whether an operation with this id has begun."""
        things = [self.instance, *(thing for _, thing in self.bindings)]
        return operation in self.past or any(one and operation == one.operation for one in things)

    def binding(self, name: str) -> Thing | None:
        """Return a binding, if there was one."""
        return dict(self.bindings).get(name)

    def with_binding(self, name: str, binding: Thing | None) -> State:
        """Return the state with another binding under a name."""
        if binding is None:
            return self
        return self._replace(bindings=tuple(sorted({**dict(self.bindings), name: binding}.items())))


START = State()


def answered(state: State, request: Request) -> tuple[State, ...]:
    """Return how things may be after this very answer; nothing if it cannot be given."""
    assert request.told is not None
    return _answered(state, request.asked, request.told)


def unanswered(state: State, request: Request) -> tuple[State, ...]:
    """Return what an unanswered request may have changed things to."""
    return () if request.asked.kind in READS else _unanswered(state, request.asked)


@lru_cache(maxsize=100_000)
def _answered(state: State, asked: Asked, told: Told) -> tuple[State, ...]:
    if asked.kind in READS:
        thing = state.binding(asked.binding) if asked.binding else state.instance
        found = (shown for one in _later(thing) for shown in _shown(one, asked, told))
        return tuple(dict.fromkeys(_put(state, asked.binding, one) for one in found))
    return tuple(
        dict.fromkeys(
            after
            for before in _settled(state, asked)
            for status, error, after in _outcomes(before, asked, told)
            if (status, error) == (told.status, told.error)
        )
    )


@lru_cache(maxsize=100_000)
def _unanswered(state: State, asked: Asked) -> tuple[State, ...]:
    return tuple(
        dict.fromkeys(
            after
            for before in _settled(state, asked)
            for status, _, after in _outcomes(before, asked, None)
            if status == 202 and after != before
        )
    )


def _put(state: State, binding: str, thing: Thing | None) -> State:
    return state.with_binding(binding, thing) if binding else state._replace(instance=thing)


# -- time ---------------------------------------------------------------------------------------


def _later(thing: Thing | None) -> Iterator[Thing | None]:
    """Yield a thing as it is, and as it is if its operation has ended."""
    yield thing
    if thing is None or not thing.running:
        return
    yield thing._replace(state=FAILED, wanted=None, doubtful=True)
    done = thing._replace(state=SUCCEEDED, wanted=None)
    if thing.wanted is not None:
        plan, parameters = thing.wanted
        done = done._replace(plan=plan, parameters=parameters)
    yield done if thing.kind in DELETIONS else done._replace(created=True)


def _settled(state: State, asked: Asked) -> Iterator[State]:
    """Yield the states that what a change depends on may have come to by itself."""
    names = [name for name, _ in state.bindings]
    if asked.kind == "deprovision":
        concerned = names
    else:
        concerned = [name for name in names if name == asked.binding]
    instances = [state.instance] if asked.kind == "unbind" else _later(state.instance)
    things = [list(_later(state.binding(name))) for name in concerned]
    for instance in instances:
        for some in itertools.product(*things):
            after = state._replace(instance=instance)
            for name, thing in zip(concerned, some, strict=True):
                after = after.with_binding(name, thing)
            yield after


# -- questions ----------------------------------------------------------------------------------


def _shown(thing: Thing | None, asked: Asked, told: Told) -> Iterator[Thing | None]:
    """Yield the thing with what was told of it, if that can have been told."""
    if asked.kind == "last_operation":
        if _polled(thing, told):
            yield thing
    elif thing is None or thing.gone or not thing.created:
        if told.status == 404:
            yield thing
    elif told.status == 200 and asked.binding:
        yield from _with_credentials(thing, told)
    elif (told.status, told.plan, told.parameters) == (200, thing.plan, thing.parameters):
        yield thing


def _polled(thing: Thing | None, told: Told) -> bool:
    if thing is None:
        return told.status == 404
    if thing.gone and told.status == 410:
        return True
    return (told.status, told.state) == (200, thing.state)


def _with_credentials(thing: Thing, told: Told) -> Iterator[Thing]:
    if thing.credentials in ("", told.credentials):
        yield thing._replace(credentials=told.credentials)


# -- changes ------------------------------------------------------------------------------------

Outcomes = Iterator[tuple[int, str, State]]
"""Status, error and what becomes of the state."""


def _outcomes(state: State, asked: Asked, told: Told | None) -> Outcomes:
    """Yield what may come of a change; what was told, if that is known, tells ids apart."""
    match asked.kind:
        case "provision":
            return _provision(state, asked, told)
        case "update":
            return _update(state, asked, told)
        case "deprovision":
            return _deprovision(state, asked, told)
        case "bind":
            return _bind(state, asked, told)
        case "unbind":
            return _unbind(state, asked, told)
    raise ValueError(asked.kind)


def _provision(state: State, asked: Asked, told: Told | None) -> Outcomes:
    instance = state.instance
    if instance is None or instance.gone:
        yield from _begun(state, "", instance, _new(asked), told)
        return
    same = (instance.identity, instance.plan, instance.parameters) == (
        asked.identity,
        asked.plan,
        asked.parameters,
    )
    yield from _repeated(state, instance, asked, told, same=same)
    if same and instance.state == FAILED and not instance.created:
        yield from _begun(state, "", instance, _new(asked), told)


def _update(state: State, asked: Asked, told: Told | None) -> Outcomes:
    instance = state.instance
    if instance is None or instance.gone:
        yield 404, "NotFound", state
        return
    given = dict(asked.parameters)
    merged = {**dict(instance.parameters), **given}
    parameters = tuple(sorted((name, one) for name, one in merged.items() if one != "null"))
    wanted = (asked.plan or instance.plan, parameters)
    if instance.running:
        if instance.wanted == wanted:
            yield from _joined(state, "", instance, told)
        else:
            yield 422, CONCURRENCY, state
    elif not instance.created:
        yield 422, "NotSupported", state
    elif wanted == (instance.plan, instance.parameters):
        yield 200, "", state
    else:
        begun = instance._replace(kind="update", state=IN_PROGRESS, wanted=wanted)
        yield from _begun(state, "", instance, begun, told)


def _deprovision(state: State, asked: Asked, told: Told | None) -> Outcomes:
    instance = state.instance
    if instance is None or instance.gone:
        yield 410, "Gone", state
        return
    left = [thing for _, thing in state.bindings if not thing.gone]
    if any(thing.running for thing in left) or (instance.running and instance.kind == "update"):
        yield 422, CONCURRENCY, state
    elif any(thing.created for thing in left):
        yield 422, "BindingsExist", state
    else:
        if left:  # of creations that have failed something may be there, or not
            yield 422, "BindingsExist", state
        yield from _deleted(state, instance, asked, told)


def _bind(state: State, asked: Asked, told: Told | None) -> Outcomes:
    instance, binding = state.instance, state.binding(asked.binding)
    if instance is None or instance.gone:
        yield 404, "NotFound", state
        return
    if binding is not None and not binding.gone:
        same = (binding.identity, binding.parameters) == (asked.identity, asked.parameters)
        same &= asked.plan in (instance.plan, binding.plan)
        yield from _repeated(state, binding, asked, told, same=same)
        if instance.running:
            # Who has just changed the instance may not have heard of the binding yet.
            yield 422, CONCURRENCY, state
        if not same or binding.state != FAILED or binding.created:
            return
    elif asked.plan != instance.plan:
        yield 400, "BadRequest", state
        return
    if instance.running:
        yield 422, CONCURRENCY, state
        return
    if instance.doubtful or not instance.created:
        yield 400, "InstanceUnusable", state
    if instance.created:
        new = _new(asked)._replace(plan=instance.plan)
        yield from _begun(state, asked.binding, binding, new, told)


def _unbind(state: State, asked: Asked, told: Told | None) -> Outcomes:
    binding = state.binding(asked.binding)
    if binding is None or binding.gone:
        yield 410, "Gone", state
    else:
        yield from _deleted(state, binding, asked, told)


def _new(asked: Asked) -> Thing:
    given = tuple((name, one) for name, one in asked.parameters if one != "null")
    return Thing(asked.identity, asked.plan, given, asked.kind)


def _repeated(
    state: State, thing: Thing, asked: Asked, told: Told | None, *, same: bool
) -> Outcomes:
    """Yield what comes of a request to create what is there."""
    if thing.creating and same:
        yield from _joined(state, asked.binding, thing, told)
    elif thing.running and not thing.creating:
        yield 422, CONCURRENCY, state
    elif thing.created and same:
        known = _with_credentials(thing, told) if told is not None and asked.binding else [thing]
        for one in known:
            yield 200, "", _put(state, asked.binding, one)
    else:
        yield 409, "Conflict", state


def _deleted(state: State, thing: Thing, asked: Asked, told: Told | None) -> Outcomes:
    """Yield what comes of a request to delete what is there; it stops a creation."""
    if thing.running and thing.kind in DELETIONS:
        yield from _joined(state, asked.binding, thing, told)
    else:
        begun = thing._replace(kind=asked.kind, state=IN_PROGRESS, wanted=None)
        yield from _begun(state, asked.binding, thing, begun, told)


def _begun(
    state: State, name: str, before: Thing | None, begun: Thing, told: Told | None
) -> Outcomes:
    """Yield that an operation has begun, under an id that none had before."""
    operation = told.operation if told is not None else ""
    if operation and state.knows(operation):
        return
    past = {before.operation} - {""} if before is not None else ()
    after = _put(state, name, begun._replace(operation=operation))
    yield 202, "", after._replace(past=state.past.union(past))


def _joined(state: State, name: str, thing: Thing, told: Told | None) -> Outcomes:
    """Yield that an operation in progress was found, if it is the one that was named."""
    operation = told.operation if told is not None else thing.operation
    if operation == thing.operation:
        yield 202, "", state
    elif not thing.operation and not state.knows(operation):
        yield 202, "", _put(state, name, thing._replace(operation=operation))
