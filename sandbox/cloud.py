"""The state of one account in one region of the simulated cloud."""

from __future__ import annotations

import random
import secrets
import string
import time
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.oss.documents import Bucket, Domain, Object, Upload
from alibroker.sandbox.ram.documents import AccessKey, Group, Policy, Role, Session, User
from alibroker.sandbox.rds.documents import Instance, Token
from alibroker.sandbox.rds.servers import Servers
from alibroker.sandbox.settings import Settings
from alibroker.sandbox.store import SortedTable, Store, Table
from alibroker.sandbox.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

NODE_ROLE = "SandboxNodeRole"
FOREIGN_BUCKETS = ("backup", "images", "test")
_ZONE_LETTERS = "hij"
_ALPHABET = string.ascii_lowercase + string.digits


class Owner(msgspec.Struct, frozen=True):
    """The account that pays, and `foreign_id`, the other one, which owns a few bucket names."""

    id: str
    region: str
    foreign_id: str
    key_id: str
    sealed_secret: str
    vpc: str
    vswitches: dict[str, str]
    created: float


class Cloud:
    """Everything that the sandbox holds, and the clock it goes by."""

    def __init__(self, directory: Path, region: str) -> None:
        self.region = region
        self.directory = directory
        self.files = directory / "objects"
        self.files.mkdir(exist_ok=True)
        self.servers = Servers()
        self.vault = Vault(directory / "seal.key")
        self.store = Store(directory / "sandbox.db")
        self._settings = Table(self.store, "settings", Settings)
        self._owners = Table(self.store, "owner", Owner)
        self.instances = Table(self.store, "instance", Instance)
        self.tokens = Table(self.store, "token", Token)
        self.users = Table(self.store, "user", User)
        self.keys = Table(self.store, "key", AccessKey)
        self.groups = Table(self.store, "group", Group)
        self.policies = Table(self.store, "policy", Policy)
        self.roles = Table(self.store, "role", Role)
        self.sessions = Table(self.store, "session", Session)
        self.buckets = Table(self.store, "bucket", Bucket)
        self.domains = Table(self.store, "domain", Domain)
        self.objects = SortedTable(self.store, "object", Object)
        # Versions and delete markers that are not the current object of their key.
        self.history = SortedTable(self.store, "history", Object)
        self.uploads = SortedTable(self.store, "upload", Upload)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings.get("settings") or Settings()

    def change_settings(self, settings: Settings) -> None:
        """Replace the settings, within the current transaction."""
        self._settings.put("settings", settings)

    @property
    def owner(self) -> Owner:
        """The account."""
        return self._owners["owner"]

    def zones(self) -> list[str]:
        """Return the zones of the region."""
        return [f"{self.region}-{letter}" for letter in _ZONE_LETTERS]

    def later(self, now: float, low: float, high: float | None = None) -> float:
        """Return when something ends that takes low to high real seconds."""
        seconds = low if high is None else random.uniform(low, high)  # noqa: S311 - a delay
        return now + seconds * self.settings.time_scale

    def open_account(
        self, key_id: str | None, secret: str | None, *, beside: Owner | None = None
    ) -> None:
        """Create the account at the first start; replace its AccessKey when one is given.

        `beside` is whose other account it is to be.

        Raises:
            ValueError: The directory belongs to another region.
        """
        owner = self._owners.get("owner")
        now = time.time()
        if owner is None:
            owner = Owner(
                id=beside.foreign_id if beside else digits(16),
                region=self.region,
                foreign_id=beside.id if beside else digits(16),
                key_id=new_key_id(),
                sealed_secret=self.vault.seal(new_secret()),
                vpc=f"vpc-bp1{letters(17)}",
                vswitches={zone: f"vsw-bp1{letters(17)}" for zone in self.zones()},
                created=now,
            )
            for name in FOREIGN_BUCKETS if beside is None else ():
                self.buckets.put(name, Bucket(name=name, owner=owner.foreign_id, created=now))
            trust = (
                '{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",'
                '"Principal":{"Service":["ecs.aliyuncs.com"]}}]}'
            )
            self.roles.put(
                NODE_ROLE,
                Role(
                    name=NODE_ROLE,
                    id=digits(18),
                    created=now,
                    trust=trust,
                    description="Role of the machine behind the metadata service",
                    policies={"System/AdministratorAccess": now},
                ),
            )
        if owner.region != self.region:
            msg = f"the data directory holds the region {owner.region}, not {self.region}"
            raise ValueError(msg)
        if key_id and secret:
            owner = msgspec.structs.replace(
                owner, key_id=key_id, sealed_secret=self.vault.seal(secret)
            )
        self._owners.put("owner", owner)
        self.store.commit()


def digits(count: int) -> str:
    """Return a random number as text, first digit not 0."""
    return str(secrets.randbelow(9 * 10 ** (count - 1)) + 10 ** (count - 1))


def letters(count: int) -> str:
    """Return random lower-case letters and digits."""
    return "".join(random.choices(_ALPHABET, k=count))  # noqa: S311 - an id, not a secret


def new_key_id() -> str:
    """Return an AccessKey id in the cloud's form."""
    return (
        f"LTAI5t{''.join(secrets.choice(string.ascii_letters + string.digits) for _ in range(18))}"
    )


def new_secret() -> str:
    """Return an AccessKey secret in the cloud's form."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(30))


def timestamp(moment: float) -> str:
    """Write a time as the RPC APIs do: UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) if moment else ""
