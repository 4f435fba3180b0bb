"""Every way in which a call to the cloud can end badly, as one typed error.

The cloud's HTTP statuses differ between actions and change over time, so only the error code
counts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, TypeVar

from alibroker.brokers.alibabacloud.families import COMMON, DISTURBANCE, Kind
from alibroker.brokers.alibabacloud.product import Product
from alibroker.brokers.api import Failed, Step, TryAgainError, Work
from alibroker.brokers.texts import plain

__all__ = ("CloudError", "Kind", "cloud_error", "ends_operation", "failed", "lost")

_B = TypeVar("_B")


class CloudError(Exception):
    """A call to the cloud that did not end well.

    Its text may be shown to users: it has no URL, no parameter and no secret in it.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        action: str,
        code: str,
        message: str,
        request_id: str = "",
        after: float | None = None,
    ) -> None:
        """Record what happened; `after` is the seconds that the cloud asked to wait."""
        code, message, request_id = plain(code), plain(message), plain(request_id)
        request = f", request {request_id}" if request_id else ""
        super().__init__(f"{action}: {message} ({code}{request})")
        self.kind = kind
        self.action = action
        self.code = code
        self.message = message
        self.request_id = request_id
        self.after = after


_UNSAFE: Final = re.compile(r"string to sign|://|\?\w+=|&\w+=", re.IGNORECASE)
_MAX_MESSAGE: Final = 200


def cloud_error(
    *,
    product: Product,
    action: str,
    code: str,
    message: str,
    status: int | None = None,
    request_id: str = "",
    after: float | None = None,
) -> CloudError:
    """Make the typed error for an error answer, by its code.

    `message` is the cloud's text; it is repeated only if it cannot hold what we sent.
    """
    kind, text = _classify(product, action, code, status)
    if kind is Kind.DENIED:
        text = f"the broker may not do this: allow {product.prefix}:{action} to its RAM identity"
    elif not text:
        text = plain(message[:_MAX_MESSAGE])
        if not text or _UNSAFE.search(text):
            text = "Alibaba Cloud refuses"
    return CloudError(
        kind, action=action, code=code, message=text, request_id=request_id, after=after
    )


def _classify(product: Product, action: str, code: str, status: int | None) -> tuple[Kind, str]:
    for rule in (*product.rules, *COMMON):
        if rule.fits(action, code):
            return rule.kind, rule.message
    if not code or (status is not None and status >= 500):  # noqa: PLR2004 - HTTP server errors
        return Kind.UNKNOWN, DISTURBANCE
    return Kind.FAILED, ""


def lost(action: str, error: BaseException) -> CloudError:
    """Make the typed error for a call without an answer that can be understood."""
    return CloudError(
        Kind.UNKNOWN,
        action=action,
        code=type(error).__name__,
        message="no answer from Alibaba Cloud",
    )


def failed(error: CloudError) -> Failed:
    """Return the end of an operation that `error` is.

    Raises:
        TryAgainError: Trying later helps, so it is no end.
    """
    if error.kind in {Kind.RETRY, Kind.THROTTLED, Kind.UNKNOWN}:
        raise TryAgainError(
            str(error), after=error.after, unanswered=error.kind is Kind.UNKNOWN
        ) from error
    return Failed(reason=str(error))


def ends_operation(step: Callable[[_B, Work], Step]) -> Callable[[_B, Work], Step]:
    """Let a `CloudError` that a step does not handle end the operation, or have it tried again."""

    @functools.wraps(step)
    def guarded(broker: _B, work: Work) -> Step:
        try:
            return step(broker, work)
        except CloudError as error:
            return failed(error)

    return guarded
