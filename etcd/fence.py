"""Keeps an attempt to create keys from being applied after the call that made it has ended.

A call that is not answered is made again elsewhere, and the first attempt may still lie in the
queue of a server that stands still or is cut off. When that goes on the attempt is carried out,
unless a compare says no. What replaces or removes a key compares the key's last change, which never
comes again. What creates one compares that there is none, and so there is none once the key has
been removed: what was removed long ago would be back.

So a batch that creates keys also compares the last change of a *fence*, a key that is of no other
use, and every attempt but the first puts the fence, too. Whichever of these is applied first leaves
all others of the call behind the fence; and as long as none was necessary, the fence costs a
compare. It goes with the lease of the session whose guard the entries have: when it vanishes,
nothing that was behind it is let through by the guard.
"""

from collections.abc import Sequence
from typing import Any

from etcd3.etcdrpc import PutRequest, RangeRequest, RequestOp, TxnRequest

from alibroker.etcd import transaction
from alibroker.etcd.transaction import Entry, unchanged


class Fence:
    """A fence, as it is known to stand. For any number of threads."""

    def __init__(self, key: str, lease: int) -> None:
        self._key = key.encode()
        self._lease = lease
        self._revision = 0

    def requests(self, entries: Sequence[Entry], clock: str) -> tuple[Any, Any]:
        """Build a transaction of the entries for the first attempt, and one for all others."""
        plain = transaction.request(entries, clock)
        compare = [unchanged(self._key, self._revision)]
        read = [RequestOp(request_range=RangeRequest(key=self._key))]
        moving = list(plain.success)
        if self._lease:
            put = PutRequest(key=self._key, lease=self._lease)
            moving.append(RequestOp(request_put=put))
        # Without a clock it is the put that etcd counts when it checks its quota.
        first = plain.success if clock else moving
        return (
            TxnRequest(compare=compare, success=first, failure=read),
            TxnRequest(compare=compare, success=moving, failure=read),
        )

    def end(self) -> None:
        """Take note that its lease has ended: it cannot be moved, and need not be any more."""
        self._lease = 0

    def held(self, reply: Any, operations: int) -> bool:
        """Take in where the fence stands now; tell whether the batch was let through.

        Args:
            reply: the reply to one of the `requests`.
            operations: how many the batch has without the fence.
        """
        if not reply.succeeded:
            found = reply.responses[0].response_range.kvs
            self._revision = found[0].mod_revision if found else 0
        elif len(reply.responses) > operations:
            self._revision = reply.header.revision
        return bool(reply.succeeded)
