"""Whether a write whose answer was lost had been applied before others wrote the same key."""

from collections.abc import Callable

from alibroker.etcd.errors import EtcdCompactedError
from alibroker.etcd.transaction import Committed, Entry, KeyValue, Lost

# Reads a key as it stood at a revision.
ReadAt = Callable[[str, int], KeyValue | None]


def settle(entry: Entry, lost: Lost, revision: int, read_at: ReadAt) -> Committed | Lost:
    """Look for the entry's value among the versions that its key has had since the decision.

    A delete counts as applied if the key is gone at `revision`, when the compare failed.

    The search ends at a deletion, as etcd does not tell when that was: an entry that was applied
    and then deleted by somebody else stays lost.
    """
    version = lost.current
    if version is None and entry.value is None:
        return Committed(revision)
    try:
        while version is not None and version.revision > entry.expected:
            if version.value == entry.value:
                return Committed(version.revision)
            version = read_at(entry.key, version.revision - 1)
    except EtcdCompactedError:
        # etcd keeps minutes of history; a doubt that old is no longer anybody's concern.
        pass
    return lost
