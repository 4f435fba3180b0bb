"""The states of an instance (DBInstanceStatus) that the steps tell apart; any other is 'busy'."""

from __future__ import annotations

from typing import Final

CREATING: Final = "Creating"
RUNNING: Final = "Running"
CHANGING: Final = "DBInstanceClassChanging"
SECURING: Final = "SSL_MODIFYING"
ENCRYPTING: Final = "TDE_MODIFYING"
STOPPED: Final = "Stopped"
DELETING: Final = "Deleting"
RELEASED: Final = "Released"
DELETING_STATUSES: Final = frozenset({DELETING, RELEASED})
