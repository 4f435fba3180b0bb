"""What RDS remembers. States follow from the times, so a restart changes nothing.

Times are seconds since the epoch; 0 means "never".
"""

from __future__ import annotations

import msgspec


class Grant(msgspec.Struct, frozen=True):
    """An account's privilege on a database, shown from `visible_at` on."""

    privilege: str
    visible_at: float


class Account(msgspec.Struct, frozen=True):
    """A database account. Grants are kept by database name; lists know it from `listed_at` on."""

    name: str
    type: str
    sealed_password: str
    ready_at: float
    description: str = ""
    gone_at: float = 0.0
    grants: dict[str, Grant] = {}
    listed_at: float = 0.0
    locked: bool = False

    def status(self, now: float) -> str:
        """Return the AccountStatus."""
        if now < self.ready_at or self.gone_at:
            return "Unavailable"
        return "Lock" if self.locked else "Available"


class Database(msgspec.Struct, frozen=True):
    """A database of an instance; lists know it from `listed_at` on."""

    name: str
    charset: str
    ready_at: float
    description: str = ""
    gone_at: float = 0.0
    listed_at: float = 0.0

    def status(self, now: float) -> str:
        """Return the DBStatus."""
        if self.gone_at:
            return "Deleting"
        return "Creating" if now < self.ready_at else "Running"


class IpArray(msgspec.Struct, frozen=True):
    """A named group of the instance's allow list."""

    name: str
    ips: tuple[str, ...]
    attribute: str = ""


class BackupPolicy(msgspec.Struct, frozen=True):
    """When backups are made: days to keep them, an hour, and days of the week."""

    retention: int = 7
    time: str = "18:00Z-19:00Z"
    weekdays: tuple[str, ...] = ("Monday", "Wednesday", "Friday", "Sunday")


class Change(msgspec.Struct, frozen=True):
    """A change that takes effect at a time: of class or storage, of TLS or of TDE.

    Attributes:
        status: The instance's DBInstanceStatus until then.
    """

    class_code: str
    storage: int
    storage_type: str
    begun: float
    done_at: float
    tls: bool = False
    tde: bool = False
    status: str = "DBInstanceClassChanging"


class Instance(msgspec.Struct, frozen=True):
    """An RDS instance.

    Attributes:
        listed_at: From here on reads find it; the lists lag behind the creation.
        ready_at: End of Creating.
        settled_at: Until here account actions are refused although the status is Running.
        deleted_at: When its deletion was asked for.
        gone_at: From here on it does not exist.
        server: What is known of its database server: starting, up, failed, off (not started this
            time), or empty if it never has one and is simulated.
    """

    id: str
    region: str
    zone: str
    slave_zone: str
    vpc: str
    vswitch: str
    engine: str
    version: str
    category: str
    class_code: str
    storage: int
    storage_type: str
    pay_type: str
    connection_string: str
    port: int
    created: float
    listed_at: float
    ready_at: float
    settled_at: float
    order: str
    description: str = ""
    client_token: str = ""
    deletion_protection: bool = False
    tags: dict[str, str] = {}
    change: Change | None = None
    deleted_at: float = 0.0
    gone_at: float = 0.0
    accounts: dict[str, Account] = {}
    databases: dict[str, Database] = {}
    ip_arrays: dict[str, IpArray] = {}
    server: str = ""
    backup: BackupPolicy = BackupPolicy()
    security_groups: tuple[str, ...] = ()
    tls: bool = False
    tde: bool = False
    time_zone: str = ""
    stopped: bool = False

    def status(self, now: float) -> str:
        """Return the DBInstanceStatus."""
        if self.deleted_at:
            return "Deleting"
        if self.stopped:
            return "Stopped"
        if now < self.ready_at or self.server == "starting":
            return "Creating"
        return self.change.status if self.change else "Running"


class Token(msgspec.Struct, frozen=True):
    """A remembered ClientToken: what was asked and what was answered."""

    fingerprint: str
    answer: dict[str, str | bool]
    expires: float
