"""The broker for Object Storage Service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from alibroker.brokers.alibabacloud.account import ACCOUNT_ID, Account
from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.alibabacloud.errors import ends_operation
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Check, Found, Json, Price, ServiceOffering, Step, Work
from alibroker.brokers.offerings import load_offerings
from alibroker.brokers.oss.bindings import Bindings, pause
from alibroker.brokers.oss.buckets import Buckets
from alibroker.brokers.oss.endpoints import Endpoints
from alibroker.brokers.oss.instances import Instances
from alibroker.brokers.oss.inventory import OssInventory
from alibroker.brokers.oss.names import ChosenNames
from alibroker.brokers.oss.preflight import OssPreflight
from alibroker.brokers.oss.removal import Removal
from alibroker.brokers.oss.sessions import Sessions
from alibroker.brokers.oss.users import RamCalls
from alibroker.brokers.overlay import read_overlay

_CATALOG: Final = Path(__file__).with_name("catalog.yaml")


def create_broker(settings: Mapping[str, str]) -> OssBroker:
    """Create the broker from the process environment.

    `ALIBROKER_OSS_CATALOG` names a file to use in place of the catalog that comes along,
    `ALIBROKER_OSS_ROLE` is the ARN of the role that temporary keys are sessions of; for the rest
    see `Endpoints`, `read_settings` and `find_credentials`.

    Raises:
        SettingsError, CredentialsError, CatalogError: Each names what to change.
    """
    path = Path(settings.get("ALIBROKER_OSS_CATALOG") or _CATALOG)
    offerings = load_offerings(path, overlay=read_overlay(settings))
    cloud_settings, cloud = connect(settings)
    endpoints = Endpoints.read(settings, cloud.endpoint)
    role = settings.get("ALIBROKER_OSS_ROLE", "")
    return OssBroker(offerings, cloud_settings, cloud, endpoints, role)


class OssBroker:
    """Instances are buckets; bindings are RAM users with a key for the bucket."""

    name = "oss"
    instance_fact = "bucket"
    binding_fact = "user"
    account_fact = ACCOUNT_ID

    def __init__(
        self,
        offerings: Sequence[ServiceOffering],
        settings: CloudSettings,
        cloud: CloudClient,
        endpoints: Endpoints,
        role: str,
    ) -> None:
        self._offerings = offerings
        self._cloud = cloud
        self._account = Account(
            cloud, instance_fact=self.instance_fact, binding_fact=self.binding_fact
        )
        self._buckets = Buckets(cloud, endpoints)
        ram = RamCalls(cloud)
        plans = {plan.id: plan.settings for one in offerings for plan in one.plans}
        names = ChosenNames(ram, settings.name)
        self._instances = Instances(self._buckets, names, settings, plans)
        self._inventory = OssInventory(self._buckets, ram, settings, plans)
        self._removal = Removal(self._instances, names, ram, settings)
        sessions = Sessions(cloud, self._instances, role, pause(settings))
        self._preflight = OssPreflight(cloud, self._buckets, ram, settings, role)
        self._bindings = Bindings(ram, names, sessions, self._instances, settings)

    def preflight(self) -> Iterable[Check]:
        """Look at endpoints, limits and permissions, without changing anything."""
        return self._preflight.checks()

    def price(self, plan_id: str) -> Price | None:
        """Return None: what is in a bucket is billed, and not the bucket."""
        del plan_id
        return None

    def offerings(self) -> Sequence[ServiceOffering]:
        """Return what the catalog file says."""
        return self._offerings

    @ends_operation
    def provision(self, work: Work) -> Step:
        """Do the next step towards a bucket."""
        return self._account.guarded(work, self._instances.provision)

    @ends_operation
    def update(self, work: Work) -> Step:
        """Do the next step towards a changed bucket."""
        return self._account.guarded(work, self._instances.update)

    @ends_operation
    def deprovision(self, work: Work) -> Step:
        """Do the next step towards there being no bucket."""
        return self._account.guarded(work, self._removal.deprovision)

    @ends_operation
    def bind(self, work: Work) -> Step:
        """Do the next step towards a key."""
        return self._account.guarded(work, self._bindings.bind)

    @ends_operation
    def unbind(self, work: Work) -> Step:
        """Do the next step towards there being no key."""
        return self._account.guarded(work, self._bindings.unbind)

    def observe(self, works: Sequence[Work]) -> Mapping[str, Json]:
        """Report every operation: there is no list of what these wait for."""
        return {work.operation_id: {} for work in works}

    def account(self) -> str:
        """Return the id of the account of the cloud that the credentials belong to."""
        return self._account.id()

    def inventory(self) -> Iterable[Found]:
        """Return the buckets, users and policies that are ours."""
        return self._account.inventory(self._inventory.inventory)

    def exists(self, resource: Json, *, of_binding: bool) -> bool:
        """Look at one bucket, or for one user."""
        self._account.check(resource)
        return self._inventory.exists(resource, of_binding=of_binding)

    def keep(self, found: Found) -> None:
        """Tag a bucket as one that is to stay."""
        self._account.check(found.resource)
        self._inventory.keep(found)

    def share(self, replicas: int) -> None:
        """Divide the limits of calls."""
        self._cloud.limiter.share(replicas)

    def close(self) -> None:
        """Close the connections."""
        self._buckets.close()
        self._cloud.close()
