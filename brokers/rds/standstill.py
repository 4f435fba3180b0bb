"""Instances that stand still: 'busy' for as long as nobody starts them again."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError
from alibroker.brokers.api import Failed, Work
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.status import STOPPED

REASON: Final = "the database is stopped: start it in the console, then try again"
_BUSY: Final = frozenset(
    {
        "IncorrectDBInstanceState",
        "InvalidDBInstanceStatus.NotSupport",
        "OperationDenied.DBInstanceStatus",
    }
)
"""What every action says of an instance in another state than it wants (RDS, error codes)."""


class Standstill:
    """Tells what passes by itself from what waits for somebody."""

    def __init__(self, calls: RdsCalls) -> None:
        self._calls = calls

    def end(self, work: Work, error: CloudError) -> Failed | None:
        """Return the end of an operation that is refused because its instance is stopped."""
        instance_id = work.resource.get("instance_id") or work.binding_resource.get("instance_id")
        if error.code not in _BUSY or not instance_id:
            return None
        try:
            item = self._calls.instance(str(instance_id))
        except CloudError:
            return None  # what is tried again finds out
        stopped = item is not None and item.get("DBInstanceStatus") == STOPPED
        return Failed(reason=REASON) if stopped else None
