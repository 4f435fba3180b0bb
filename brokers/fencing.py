"""Whether this process may still act: what others have taken over must be left to them.

A step that makes several calls may be overtaken in the middle: its process stood still or was cut
off for so long that another one goes on with the operation. The call that was under way is what a
crash leaves behind, and harmless; but each further one would act beside the other process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from alibroker.brokers.api import TryAgainError

_fence: ContextVar[Callable[[], bool] | None] = ContextVar("fence", default=None)


@contextmanager
def fenced(may_act: Callable[[], bool]) -> Iterator[None]:
    """Have `check` ask `may_act` in this thread until the block ends."""
    token = _fence.set(may_act)
    try:
        yield
    finally:
        _fence.reset(token)


def check() -> None:
    """Pass while this process may act; a broker asks before each call that it makes to the cloud.

    Raises:
        TryAgainError: It may not any more; whatever the step says now is of no use.
    """
    may_act = _fence.get()
    if may_act is not None and not may_act():
        raise TryAgainError("This process of the broker was taken for dead; another one goes on.")
