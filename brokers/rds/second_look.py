"""A second look at an instance, where an action refuses for its state or does not find it."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.api import Failed, TryAgainError, Work
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.status import STOPPED

STANDS_STILL: Final = "the database is stopped: start it in the console, then try again"
BUSY: Final = frozenset(
    {
        "IncorrectDBInstanceState",
        "InvalidDBInstanceStatus.NotSupport",
        "OperationDenied.DBInstanceStatus",
    }
)
"""What every action says of an instance in another state than it wants (RDS, error codes)."""


class SecondLook:
    """Tells what passes by itself from what does not."""

    def __init__(self, calls: RdsCalls) -> None:
        self._calls = calls

    def end(self, work: Work, error: CloudError) -> Failed | None:
        """Return the end of an operation that waits for a person; None if the error says enough.

        Raises:
            CloudError: The instance cannot be looked at now.
            TryAgainError: An action has not found an instance that is there. Single actions have
                done so minutes after its creation.
        """
        name = str(
            work.resource.get("instance_id") or work.binding_resource.get("instance_id") or ""
        )
        if not name:
            return None
        if error.code in BUSY:
            item = self._calls.instance(name)
            stopped = item is not None and item.get("DBInstanceStatus") == STOPPED
            return Failed(reason=STANDS_STILL) if stopped else None
        if _not_found(error) and self._calls.is_listed(name):
            raise TryAgainError("the database cannot be seen just now") from error
        return None


def _not_found(error: CloudError) -> bool:
    return error.kind is Kind.NOT_FOUND and "Instance" in error.code
