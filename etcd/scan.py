"""All keys under some prefixes, page by page, as they stood at one revision."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from etcd3.etcdrpc import RangeRequest

from alibroker.etcd.errors import EtcdCompactedError, ReplyTooLargeError
from alibroker.etcd.transaction import KeyValue, key_value, successor

_PAGE_KEYS: Final = 4000

# etcd 3.4 counts the rest of the range for every page, so paging through one long range takes
# quadratic time. Ids are mostly UUIDs: cut at hexadecimal digits, the ranges are of equal size.
_HEX: Final = "0123456789abcdef"
_ONE_DIGIT_KEYS: Final = 200_000

Range = Callable[[Any], Any]


class Scan(Iterator[KeyValue]):
    """An iterator over a snapshot. Its `revision` is known before the first key is taken.

    When etcd compacts the snapshot away while it is being read, the scan calls `restarted`, whose
    part it is to forget all keys handed out so far, and begins again at the present revision.
    """

    def __init__(
        self,
        fetch: Range,
        prefixes: Sequence[str],
        *,
        revision: int,
        restarted: Callable[[], None] | None,
    ) -> None:
        self._fetch = fetch
        self._prefixes = prefixes
        self._pinned = revision
        self._restarted = restarted
        self._limit = _PAGE_KEYS
        self._revision = revision
        self._started = False
        self._first: Any = None
        self._pairs: Iterator[KeyValue] = iter(())
        self._begin()

    @property
    def revision(self) -> int:
        """The store's revision that the keys belong to; a watch goes on at the next one."""
        return self._revision

    def __next__(self) -> KeyValue:
        """Return the next key.

        Raises:
            EtcdCompactedError: the snapshot is gone, and there is no `restarted` to begin again.
            EtcdError: etcd does not answer.
        """
        while True:
            try:
                pair = next(self._pairs)
            except EtcdCompactedError:
                if self._pinned or (self._started and self._restarted is None):
                    raise
                if self._restarted is not None:
                    self._restarted()
                self._begin()
            else:
                self._started = True
                return pair

    def _begin(self) -> None:
        self._started = False
        self._revision = self._pinned
        self._first = None
        if self._prefixes:
            prefix = self._prefixes[0]
            self._first = self._page(prefix.encode(), successor(prefix))
        self._pairs = self._all()

    def _all(self) -> Iterator[KeyValue]:
        for prefix in self._prefixes:
            end = successor(prefix)
            page, self._first = self._first or self._page(prefix.encode(), end), None
            yield from map(key_value, page.kvs)
            if not page.more:
                continue
            start = page.kvs[-1].key + b"\0"
            for lower, upper in pairwise([start, *_cuts(prefix, page.count, start), end]):
                yield from self._range(lower, upper)

    def _range(self, start: bytes, end: bytes) -> Iterator[KeyValue]:
        more = True
        while more:
            page = self._page(start, end)
            yield from map(key_value, page.kvs)
            more = page.more
            if more:
                start = page.kvs[-1].key + b"\0"

    def _page(self, start: bytes, end: bytes) -> Any:
        while True:
            try:
                page = self._fetch(
                    RangeRequest(
                        key=start, range_end=end, limit=self._limit, revision=self._revision
                    )
                )
            except ReplyTooLargeError:
                if self._limit == 1:
                    raise
                self._limit = max(1, self._limit // 8)
            else:
                # Without this pin a scan under writes is torn: later pages show later states.
                self._revision = self._revision or page.header.revision
                return page


def _cuts(prefix: str, count: int, start: bytes) -> list[bytes]:
    digits = _HEX if count <= _ONE_DIGIT_KEYS else [a + b for a in _HEX for b in _HEX]
    return [cut for digit in digits if (cut := (prefix + digit).encode()) > start]
