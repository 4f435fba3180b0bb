"""Deleting all that a bucket holds, in pages; each is a step, and counts what has really gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.api import Failed, InProgress, Json, Step
from alibroker.brokers.oss.buckets import STEPS
from alibroker.brokers.oss.storage import BucketCalls, Upload, Version

_T = TypeVar("_T", Version, Upload)

EMPTY: Final = "empty"
"""The phase of an operation that empties a bucket."""
_AT_ONCE: Final = 50
"""Calls that delete one thing each in a step."""
_NOT_EMPTY: Final = "BucketNotEmpty"
_VAIN: Final = 6
"""How often a bucket may say that it is not empty while nothing is in its lists."""
_SHOWN: Final = 3
_LONGEST: Final = 100  # letters of a key that is shown

# What XML 1.0 can carry, and what a reader gives back as it was: no control character, for a
# carriage return becomes a line feed, and no space at the ends, for some take it away.
_CARRIED: Final = re.compile(
    r"(?!\s)[^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+(?<!\s)", re.DOTALL
)
_UNLISTED: Final = (
    "the bucket still holds what no list of objects, versions or unfinished uploads shows, such as "
    "LiveChannels or data of OSS-HDFS: delete that, then try again"
)


def begin() -> InProgress:
    """Return the step that begins to empty a bucket."""
    return _going_on({})


def empty(state: Json, bucket: BucketCalls, poll_interval: float) -> Step | None:
    """Delete a page of what is in the bucket, or the bucket itself when nothing is in it.

    Lists are asked for anew each time, so a repetition goes on where it was. Returns None once the
    bucket is deleted. When nothing of a page can be deleted, that is the end.

    Raises:
        CloudError: A call did not end well; of kind NOT_FOUND if there is no bucket.
    """
    if versions := bucket.versions():
        return _delete(state, bucket, versions)
    if uploads := bucket.uploads(_AT_ONCE):
        left, why = _each(uploads, bucket.abort)
        gone = len(uploads) - len(set(uploads).intersection(bucket.uploads(_AT_ONCE)))
        if not gone:
            return _stuck("unfinished uploads", [one.key for one in left or uploads], why)
        return _going_on(state, aborted=gone)
    try:
        bucket.delete()
    except CloudError as error:
        if error.code != _NOT_EMPTY:
            raise
        # Somebody still writes to it, or it holds something else.
        vain = state.get("vain", 0) + 1
        if vain >= _VAIN:
            return Failed(reason=_UNLISTED)
        return _going_on(state, vain=vain, poll_after=poll_interval)
    return None


def _delete(state: Json, bucket: BucketCalls, versions: list[Version]) -> Step:
    """Delete a page of versions: all in one call, but one by one what such a call cannot name.

    One by one also what the call before has left behind, whatever it answered.
    """
    singly = [one for one in versions if state.get("singly") or not _CARRIED.fullmatch(one.key)]
    several = set(versions).difference(singly)
    if several:
        bucket.delete_versions([one for one in versions if one in several])
    left, why = _each(singly[:_AT_ONCE], bucket.delete_version)
    gone = len(versions) - len(set(versions).intersection(bucket.versions()))
    if gone:
        return _going_on(state, deleted=gone)
    if several:
        return _going_on(state, singly=True)
    return _stuck("objects", [one.key for one in left or versions], why)


def _each(things: Iterable[_T], delete: Callable[[_T], None]) -> tuple[list[_T], str]:
    """Delete one by one; return those that cannot be, and why the first of them cannot."""
    left: list[_T] = []
    why = ""
    for one in things:
        try:
            delete(one)
        except CloudError as error:
            # If a proxy takes the step that a key is, the signature is that of something else.
            strayed = one.key in STEPS and error.code == "SignatureDoesNotMatch"
            if not strayed and error.kind not in {Kind.FAILED, Kind.DENIED}:
                raise
            left.append(one)
            why = why or str(error)
    return left, why


def _going_on(
    state: Json,
    *,
    deleted: int = 0,
    aborted: int = 0,
    poll_after: float = 0.0,
    **more: Any,
) -> InProgress:
    deleted += state.get("deleted", 0)
    aborted += state.get("aborted", 0)
    return InProgress(
        description=(
            f"The bucket is being emptied: {deleted:,} objects and versions and {aborted:,} "
            "unfinished uploads deleted so far"
        ),
        state={"phase": EMPTY, "deleted": deleted, "aborted": aborted, **more},
        poll_after=poll_after,
    )


def _stuck(what: str, keys: Iterable[str], why: str) -> Failed:
    named = ", ".join(repr(key[:_LONGEST]) for key in sorted(set(keys))[:_SHOWN])
    return Failed(
        reason=f"the bucket still holds {what} that cannot be deleted, such as {named}"
        f"{f' ({why})' if why else ''}: delete them, or see what keeps them, then try again"
    )
