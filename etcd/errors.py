"""What can go wrong between the broker and etcd, sorted by what the caller may conclude."""

from pathlib import Path


class EtcdError(Exception):
    """Base of every error that a call to etcd can end with."""


class EtcdUnavailableError(EtcdError):
    """etcd could not be reached or has no leader; nothing was applied."""


class EtcdDiskFullError(EtcdUnavailableError):
    """The disk that an embedded etcd writes to is full."""

    def __init__(self, directory: Path, free: int, needed: int) -> None:
        super().__init__(
            f"the disk is full: {free >> 20} MiB are free at {directory}, and etcd needs "
            f"{needed >> 20} to run safely. Make room there, or move the data directory "
            "(docs/etcd.md)"
        )


class EtcdUnknownError(EtcdError):
    """The answer to a change was lost; it may have been applied, now or a moment later."""


class EtcdRejectedError(EtcdError):
    """etcd answered no; nothing was applied, and asking again would not help."""


class EtcdCompactedError(EtcdRejectedError):
    """The revision that was asked for is no longer kept."""


class ReplyTooLargeError(EtcdRejectedError):
    """The answer to a read exceeds what one message may hold; ask for less at a time."""


class EtcdFullError(EtcdError):
    """The store has reached its space quota: it serves reads and deletes, but no other change."""

    def __init__(self, details: str) -> None:
        super().__init__(
            f"etcd has reached its space quota ({details}). Compact and defragment it, raise "
            "--quota-backend-bytes if need be, then disarm the NOSPACE alarm (docs/etcd.md)"
        )
