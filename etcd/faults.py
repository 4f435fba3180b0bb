"""What an error of gRPC says about a call to etcd: it was refused, or may be tried again."""

from enum import Enum, auto
from typing import Final

import grpc

from alibroker.etcd.errors import (
    EtcdCompactedError,
    EtcdError,
    EtcdFullError,
    EtcdRejectedError,
    ReplyTooLargeError,
)

_REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.DATA_LOSS,
    }
)


class Fault(Enum):
    """Why a call was not answered, as far as that decides what its request has done."""

    UNREACHED = auto()
    """It has done nothing."""
    AMBIGUOUS = auto()
    """It may have been applied, or may be a moment later."""


def sort(error: grpc.RpcError, *, changes: bool) -> Fault | EtcdError:
    """Tell what an error means: a typed refusal, or a fault after which to try again."""
    code, text = error.code(), (error.details() or "")
    if code is grpc.StatusCode.UNAVAILABLE:
        # The only two texts that prove that the request was not taken in.
        if "failed to connect" in text or "no leader" in text:
            return Fault.UNREACHED
        return Fault.AMBIGUOUS
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        if "space exceeded" in text:
            return EtcdFullError(text)
        if "too many requests" in text:
            return Fault.UNREACHED
        if changes:
            return Fault.AMBIGUOUS
        return ReplyTooLargeError(f"etcd: {text}")
    if "compacted" in text and code is grpc.StatusCode.OUT_OF_RANGE:
        return EtcdCompactedError(f"etcd: {text}")
    if code in _REFUSALS:
        return EtcdRejectedError(f"etcd refused the request: {reason(error)}")
    return Fault.AMBIGUOUS


def reason(error: grpc.RpcError) -> str:
    """Put an error into words."""
    return f"{error.code().name}: {error.details() or 'no details'}"
