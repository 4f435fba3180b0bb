"""Attempts that are overdue go on beside the next one, and the first good answer counts."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from alibroker.etcd.race import OverdueError, Race


class Failure(grpc.RpcError):  # type: ignore[misc]  # grpc publishes no types
    """An error as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class Attempt(Failure):
    """A call under way, as gRPC's future is: an error, too, once it has failed."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.UNKNOWN)
        self.cancelled = False
        self._reply: Any = None
        self._tell: Callable[[Any], None] = lambda _: None

    def add_done_callback(self, tell: Callable[[Any], None]) -> None:
        self._tell = tell
        if self._code is not grpc.StatusCode.UNKNOWN:
            tell(self)

    def end(self, code: grpc.StatusCode, reply: Any = None) -> None:
        self._code, self._reply = code, reply
        self._tell(self)

    def result(self) -> Any:
        return self._reply

    def cancel(self) -> None:
        self.cancelled = True


class Method:
    """A call that is made in place once, and answers `first`; then beside the earlier ones."""

    def __init__(self, first: Any = grpc.StatusCode.DEADLINE_EXCEEDED) -> None:
        self.first = first
        self.attempts: list[Attempt] = []
        self.then: Callable[[Method], None] = lambda _: None

    def __call__(self, *_: Any, **__: Any) -> Any:
        if isinstance(self.first, grpc.StatusCode):
            raise Failure(self.first)
        return self.first

    def future(self, *_: Any, **__: Any) -> Attempt:
        self.attempts.append(Attempt())
        self.then(self)
        return self.attempts[-1]


def run(race: Race, method: Method) -> Any:
    return race.run(method, None, metadata=(), timeout=10)


def code(race: Race, method: Method) -> grpc.StatusCode:
    """Make an attempt that fails or is overdue."""
    with pytest.raises(grpc.RpcError) as raised:
        run(race, method)
    return raised.value.code()


def test_a_call_that_is_answered_needs_one_attempt_in_place() -> None:
    method = Method("reply")
    with Race(1.0, 0.25) as race:
        assert run(race, method) == "reply"
    assert method.attempts == []


def test_an_overdue_attempt_may_still_win_and_the_others_are_cancelled() -> None:
    method = Method()
    with Race(0.02, 0.25) as race:
        assert code(race, method) is grpc.StatusCode.DEADLINE_EXCEEDED
        for _ in range(2):
            with pytest.raises(OverdueError):
                run(race, method)
        method.then = lambda one: one.attempts[0].end(grpc.StatusCode.OK, "late")
        assert run(race, method) == "late"
    assert all(attempt.cancelled for attempt in method.attempts[1:])


def test_the_newest_attempt_tells_of_its_failure_at_once() -> None:
    method = Method(grpc.StatusCode.UNAVAILABLE)
    method.then = lambda one: one.attempts[-1].end(grpc.StatusCode.UNAVAILABLE)
    with Race(60.0, 0.25) as race:
        for _ in range(3):
            assert code(race, method) is grpc.StatusCode.UNAVAILABLE


def test_the_failure_of_an_older_attempt_is_no_news_of_the_newest() -> None:
    method = Method()
    with Race(0.02, 0.25) as race:
        code(race, method)
        code(race, method)
        method.then = lambda one: one.attempts[0].end(grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(OverdueError):
            run(race, method)
        method.then = lambda one: one.attempts[-1].end(grpc.StatusCode.OK, "reply")
        assert run(race, method) == "reply"


def test_attempts_follow_in_growing_distances() -> None:
    method = Method()
    distances = []
    with Race(0.02, 1.0) as race:
        code(race, method)
        for _ in range(4):
            started = time.monotonic()
            code(race, method)
            distances.append(time.monotonic() - started)
    assert all(
        distance >= least
        for distance, least in zip(distances, (0.02, 0.04, 0.08, 0.16), strict=True)
    )
