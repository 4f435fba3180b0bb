"""Calls to whichever etcd server answers: deadlines, retries, errors sorted by their meaning."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from etcd3.etcdrpc import (
    AuthStub,
    KVStub,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseStub,
    MaintenanceStub,
    WatchStub,
)

from alibroker.etcd.endpoint import Endpoint, Tls
from alibroker.etcd.errors import EtcdError, EtcdUnavailableError, EtcdUnknownError
from alibroker.etcd.faults import Fault, reason, sort
from alibroker.etcd.login import Login
from alibroker.etcd.race import Race

# A member that has lost its leader answers at once, instead of letting the call hang.
_METADATA: Final = (("hasleader", "true"),)

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.1

# How the attempts of a call follow each other when nobody answers (`Race`): by the part of it that
# they are apart a stall of etcd is prolonged at most. With one endpoint there is no better place to
# ask, only the hope of a better connection.
_WITH_OTHERS: Final = 0.25
_ALONE: Final = 1.0


class Stubs:
    """The generated stubs over one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.auth = AuthStub(channel)
        self.kv = KVStub(channel)
        self.lease = LeaseStub(channel)
        self.maintenance = MaintenanceStub(channel)
        self.watch = WatchStub(channel)
        # A stream of one request and one reply is, on the wire, a plain call: it has a deadline,
        # and needs none of the threads that the generated stub starts for a stream.
        self.renew = channel.unary_unary(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=LeaseKeepAliveResponse.FromString,
        )


Method = Callable[[Stubs], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, and whether an earlier attempt of the same call may have been applied too."""

    reply: Any
    in_doubt: bool


class Stream(Iterator[Any]):
    """Replies that go on coming from one server. Read by one thread, ended by any."""

    def __init__(self, call: Any, login: Login, targets: str, move_on: Callable[[], None]) -> None:
        self._call = call
        self._login = login
        self._targets = targets
        self._move_on = move_on

    def __next__(self) -> Any:
        """Wait for the next reply, for as long as it takes.

        Raises:
            EtcdUnavailableError: the stream has ended, by `end` or since the server is lost; the
                next one is opened elsewhere, if there is another endpoint.
            EtcdRejectedError: etcd refused the request, or the reply is larger than can be taken.
        """
        try:
            return next(self._call)
        except StopIteration:
            text = "etcd ended the stream"
        except grpc.RpcError as error:
            if not self._login.is_over(error):
                fault = sort(error, changes=False)
                if isinstance(fault, EtcdError):
                    raise fault from error
            text = reason(error)
        self._move_on()
        raise EtcdUnavailableError(f"etcd ({self._targets}): {text}")

    def end(self) -> None:
        """End the stream. Idempotent."""
        self._call.cancel()


class Connection:
    """One channel per endpoint, used stickily, from any number of threads.

    Channels are made at the first call: an object made before a fork is harmless until used.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], tls: Tls | None, login: Login, attempt_timeout: float
    ) -> None:
        self._login = login
        self._endpoints = tuple(endpoints)
        self._tls = tls
        self._attempt_timeout = attempt_timeout
        self._lock = threading.Lock()
        self._members: tuple[Stubs, ...] = ()
        self._turn = 0
        self._pid = 0
        self._closed = threading.Event()

    def call(
        self,
        method: Method,
        request: Any,
        *,
        timeout: float,
        changes: bool,
        again: Any | None = None,
    ) -> Answer:
        """Repeat a call until it is answered or `timeout` (seconds) is over.

        A change may reach etcd more than once, also after the answer; its request must make each
        time but the first harmless. `again` is sent in its place from the second time on.

        Raises:
            EtcdUnavailableError: no server answered, and nothing was applied.
            EtcdUnknownError: a change may have been applied, but no answer came.
            EtcdRejectedError: etcd refused the request.
            EtcdFullError: etcd has no space left for the change.
            RuntimeError: the client was used before the process forked.
        """
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        in_doubt = False
        cause: grpc.RpcError | None = None
        part = _WITH_OTHERS if len(self._endpoints) > 1 else _ALONE
        with Race(self._attempt_timeout, part) as race:
            while (remaining := deadline - time.monotonic()) > 0 and not self._closed.is_set():
                turn, stubs = self._member()
                sent = False
                try:
                    token = self._login.token(stubs.auth, min(self._attempt_timeout, remaining))
                    sent = changes
                    reply = race.run(
                        method(stubs),
                        request if race.is_first or again is None else again,
                        metadata=(*_METADATA, *token),
                        timeout=remaining,
                    )
                except grpc.RpcError as error:
                    cause = error
                    if self._login.is_over(error):
                        fault: Fault | EtcdError = Fault.UNREACHED
                    else:
                        fault = sort(error, changes=sent)
                    if isinstance(fault, EtcdError):
                        if in_doubt:
                            break
                        raise fault from error
                    in_doubt = in_doubt or (sent and fault is Fault.AMBIGUOUS)
                    self._move_on(turn)
                except ValueError:
                    # gRPC's answer to a call on a channel that another thread has just closed.
                    if not self._closed.is_set():
                        raise
                else:
                    return Answer(reply, in_doubt)
                pause = min(pause * 2, _LONGEST_PAUSE)
                # The jitter keeps the writers of many brokers apart; it is no secret.
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - see above
                self._closed.wait(min(wait, max(0.0, deadline - time.monotonic())))
        raise self._surrender(cause, in_doubt=in_doubt, timeout=timeout) from cause

    def stream(self, method: Method, request: Any, *, timeout: float) -> Stream:
        """Open a stream of replies to one request, on the server in use.

        Args:
            method: a call with a stream in both directions, of which one request is sent.
            request: what is sent.
            timeout: seconds that a login may take; the stream itself has no end.

        Raises:
            EtcdUnavailableError: the client is closed, or nobody answers.
            EtcdRejectedError: etcd refuses the user.
            RuntimeError: the client was used before the process forked.
        """
        if self._closed.is_set():
            raise self._surrender(None, in_doubt=False, timeout=timeout)
        turn, stubs = self._member()
        try:
            token = self._login.token(stubs.auth, timeout)
            call = method(stubs)(iter((request,)), metadata=(*_METADATA, *token))
        except grpc.RpcError as error:
            fault = sort(error, changes=False)
            if isinstance(fault, EtcdError):
                raise fault from error
            self._move_on(turn)
            raise self._surrender(error, in_doubt=False, timeout=timeout) from error
        except ValueError as error:
            # As above: the channel has just been closed.
            raise self._surrender(None, in_doubt=False, timeout=timeout) from error
        return Stream(call, self._login, self._targets, lambda: self._move_on(turn))

    @property
    def is_closed(self) -> bool:
        """Whether it refuses all calls, for ever."""
        return self._closed.is_set()

    def close(self) -> None:
        """End calls in flight and refuse further ones. Idempotent."""
        self._closed.set()
        with self._lock:
            members, self._members = self._members, ()
        for member in members:
            member.channel.close()

    def _member(self) -> tuple[int, Stubs]:
        members = self._members
        if not members:
            with self._lock:
                if not self._members:
                    self._members = self._connect()
                    self._pid = os.getpid()
                members = self._members
        if self._pid != os.getpid():
            raise RuntimeError(
                "this etcd client was used before the process forked; gRPC does not survive that"
            )
        turn = self._turn
        return turn, members[turn % len(members)]

    def _connect(self) -> tuple[Stubs, ...]:
        try:
            return tuple(Stubs(endpoint.connect(self._tls)) for endpoint in self._endpoints)
        except OSError as error:
            raise EtcdUnavailableError(f"a certificate for etcd cannot be read: {error}") from error

    def _move_on(self, turn: int) -> None:
        with self._lock:
            # Of many threads that fail on one server only the first moves them all.
            if self._turn == turn:
                self._turn += 1

    @property
    def _targets(self) -> str:
        return ", ".join(endpoint.target for endpoint in self._endpoints)

    def _surrender(
        self, cause: grpc.RpcError | None, *, in_doubt: bool, timeout: float
    ) -> EtcdError:
        targets = self._targets
        if self._closed.is_set():
            text = "the client is closed"
        elif cause is None:
            text = "no time was left to ask"
        else:
            text = reason(cause)
        if in_doubt:
            return EtcdUnknownError(
                f"no certain answer from etcd ({targets}) within {timeout:g} s, "
                f"the change may have been applied: {text}"
            )
        return EtcdUnavailableError(f"no answer from etcd ({targets}) within {timeout:g} s: {text}")
