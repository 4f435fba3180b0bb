"""How long something may still appear that was deleted: a request can take effect late."""

from __future__ import annotations

from alibroker.brokers.api import Work


def unsettled(work: Work, settle: float, *, since: float, complete: bool) -> float:
    """Return for how many seconds a request may still create what a deletion has removed.

    Args:
        work: the deletion.
        settle: seconds after which a request has taken effect or never will.
        since: Unix time in seconds at which the deletion had begun to look; all requests of the
            creation were sent before.
        complete: whether the creation ended well. Then all its requests were answered, but for
            those that `Work.unanswered_at` is about.
    """
    sent = min(since, work.unanswered_at) if complete else since
    return max(0.0, settle - (work.now - sent))
