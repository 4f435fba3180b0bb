"""Attempts of one call, of which the first good answer counts.

A follower hands a change on to the leader. If that has just died the change is lost, and the
follower says nothing until the call's time is over; a slow disk looks the same from outside. So an
attempt that is overdue is not given up: it is left running beside the next one. Thereby the next
may come soon, which is what a lost leader asks for, and a slow answer is not cut short.
"""

from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc


class OverdueError(grpc.RpcError):  # type: ignore[misc]  # grpc publishes no types
    """The newest attempt has not been answered in its time, and goes on."""

    def code(self) -> grpc.StatusCode:
        """Return what gRPC calls it."""
        return grpc.StatusCode.DEADLINE_EXCEEDED

    def details(self) -> str:
        """Return it in words."""
        return "no answer in time"


class Race:
    """A context for the attempts of one call; whatever still runs at its end is cancelled.

    The first attempt is overdue after `patience` seconds. A later one is after half of that, as the
    servers asked by then may be the ones that cannot answer; or, if that is longer, after `part` of
    what the call has spent on overdue ones so far, so that a store that is slow is not flooded.
    """

    def __init__(self, patience: float, part: float) -> None:
        self._patience = patience
        self._least = patience / 2
        self._part = part
        self._waited = 0.0
        self.is_first = True
        """Whether no attempt has been made yet."""
        self._running: list[Any] = []
        self._ended: SimpleQueue[Any] = SimpleQueue()

    def run(self, method: Any, request: Any, *, metadata: Any, timeout: float) -> Any:
        """Make one more attempt, and return the first reply to any of them.

        Args:
            method: a unary call of a stub.
            request: what is sent.
            metadata: what is sent with it.
            timeout: seconds for which this attempt may go on, also while later ones are made.

        Raises:
            grpc.RpcError: this attempt has failed, or is overdue.
        """
        patience = min(timeout, max(self._patience, self._part * self._waited))
        self._patience = self._least
        try:
            if self.is_first:
                # Nearly every call needs one attempt only, and costs less if it waits in place.
                self.is_first = False
                return method(request, timeout=patience, metadata=metadata)
            return self._run_beside(method, request, metadata, timeout, patience)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._waited += patience
            raise

    def _run_beside(
        self, method: Any, request: Any, metadata: Any, timeout: float, patience: float
    ) -> Any:
        newest = method.future(request, timeout=timeout, metadata=metadata)
        self._running.append(newest)
        newest.add_done_callback(self._ended.put)
        end = monotonic() + patience
        while True:
            try:
                ended = self._ended.get(timeout=max(0.0, end - monotonic()))
            except Empty:
                raise OverdueError from None
            if ended.code() is grpc.StatusCode.OK:
                return ended.result()
            if ended is newest:
                raise ended

    def __enter__(self) -> Self:
        """Return the race itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancel what still runs."""
        for attempt in self._running:
            attempt.cancel()
