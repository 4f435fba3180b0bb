"""The broker for ApsaraDB RDS: MySQL, PostgreSQL, MariaDB and SQL Server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from alibroker.brokers.alibabacloud.account import ACCOUNT_ID, Account
from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.alibabacloud.errors import CloudError, Kind, ends_operation, failed
from alibroker.brokers.alibabacloud.naming import OWNER_TAG
from alibroker.brokers.alibabacloud.settings import CloudSettings, read_flag
from alibroker.brokers.api import Check, Failed, Found, Json, Price, ServiceOffering, Step, Work
from alibroker.brokers.offerings import load_offerings
from alibroker.brokers.overlay import read_overlay
from alibroker.brokers.rds.account_calls import AccountCalls
from alibroker.brokers.rds.bind import Bind
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.deprovision import Deprovision
from alibroker.brokers.rds.extras import Extras
from alibroker.brokers.rds.inventory import RdsInventory
from alibroker.brokers.rds.listing import Listings
from alibroker.brokers.rds.networks import Networks
from alibroker.brokers.rds.plans import plan_faults
from alibroker.brokers.rds.preflight import RdsPreflight
from alibroker.brokers.rds.provision import Provision
from alibroker.brokers.rds.retired import Retirement
from alibroker.brokers.rds.second_look import SecondLook
from alibroker.brokers.rds.setting_calls import SettingCalls
from alibroker.brokers.rds.switches import Switching
from alibroker.brokers.rds.unbind import Unbind
from alibroker.brokers.rds.update import Update

_CATALOGS: Final = tuple(
    Path(__file__).with_name(name)
    for name in ("catalog.yaml", "postgresql.yaml", "mariadb.yaml", "sqlserver.yaml")
)


def create_broker(settings: Mapping[str, str]) -> RdsBroker:
    """Create the broker from the process environment.

    `ALIBROKER_RDS_CATALOG` names files, with commas in between, to use in place of the catalogs
    that come along. With `ALIBROKER_RDS_DRY_RUN` (true or false) the cloud checks each order
    before it is placed. For the rest see `read_settings` and `find_credentials`.

    Raises:
        SettingsError, CredentialsError, CatalogError: Each names what to change.
    """
    own = [Path(name.strip()) for name in settings.get("ALIBROKER_RDS_CATALOG", "").split(",")]
    offerings: list[ServiceOffering] = []
    overlay = read_overlay(settings)
    for path in own if any(path.name for path in own) else _CATALOGS:
        offerings += load_offerings(path, plan_faults, overlay)
    dry_run = read_flag(settings, "ALIBROKER_RDS_DRY_RUN")
    return RdsBroker(offerings, *connect(settings), dry_run=dry_run)


class RdsBroker:
    """Instances are RDS instances; each binding is an account of its own."""

    name = "rds"
    instance_fact = "instance_id"
    binding_fact = "username"
    account_fact = ACCOUNT_ID

    def __init__(
        self,
        offerings: Sequence[ServiceOffering],
        settings: CloudSettings,
        cloud: CloudClient,
        *,
        dry_run: bool = False,
    ) -> None:
        """With `dry_run` the cloud checks each order before it is placed."""
        self._offerings = offerings
        self._region = settings.region
        self._cloud = cloud
        self._account = Account(
            cloud, instance_fact=self.instance_fact, binding_fact=self.binding_fact
        )
        calls = RdsCalls(cloud)
        self._listings = Listings(
            calls, (OWNER_TAG, settings.name), fresh_seconds=settings.poll_interval / 2
        )
        networks = Networks(calls)
        plans = {plan.id: plan.settings for offering in offerings for plan in offering.plans}
        setting_calls = SettingCalls(cloud)
        extras = Extras(setting_calls)
        switching = Switching(calls, setting_calls, settings)
        self._preflight = RdsPreflight(cloud, calls, networks, settings, offerings)
        self._provision = Provision(calls, networks, extras, switching, settings, dry_run=dry_run)
        account_calls = AccountCalls(cloud)
        retirement = Retirement(account_calls)
        self._update = Update(calls, networks, extras, switching, settings, retirement, plans)
        self._second_look = SecondLook(calls)
        self._deprovision = Deprovision(calls, self._second_look, settings)
        self._bind = Bind(calls, account_calls, retirement, settings)
        self._unbind = Unbind(calls, account_calls, retirement, settings)
        self._inventory = RdsInventory(calls, account_calls, retirement, settings, plans)

    def preflight(self) -> Iterable[Check]:
        """Look at plans, network and permissions, without changing or buying anything."""
        return self._preflight.checks()

    def price(self, plan_id: str) -> Price | None:
        """Ask what an instance of the plan costs (DescribePrice)."""
        return self._preflight.price(plan_id)

    def offerings(self) -> Sequence[ServiceOffering]:
        """Return what the catalog file says."""
        return self._offerings

    @ends_operation
    def provision(self, work: Work) -> Step:
        """Do the next step towards a running instance."""
        return self._do(work, self._provision.step)

    @ends_operation
    def update(self, work: Work) -> Step:
        """Do the next step towards the changed instance."""
        return self._do(work, self._update.step)

    @ends_operation
    def deprovision(self, work: Work) -> Step:
        """Do the next step towards there being no instance."""
        return self._do(work, self._deprovision.step)

    @ends_operation
    def bind(self, work: Work) -> Step:
        """Do the next step towards an account."""
        return self._do(work, self._bind.step)

    @ends_operation
    def unbind(self, work: Work) -> Step:
        """Do the next step towards there being no account."""
        return self._do(work, self._unbind.step)

    def _do(self, work: Work, step: Callable[[Work], Step]) -> Step:
        """Do a step, unless the instance is out of reach, and end what nobody but a person can."""

        def guarded(work: Work) -> Step:
            try:
                return step(work)
            except CloudError as error:
                end = self._second_look.end(work, error)
                if end is None:
                    raise
                return end

        return self._elsewhere(work) or self._account.guarded(work, guarded)

    def _elsewhere(self, work: Work) -> Failed | None:
        """Return the end of an operation on an instance of another region.

        Here it would not be found, and be taken to be gone while it goes on and is paid for.
        """
        region = str(work.resource.get("region") or self._region)
        if region == self._region:
            return None
        return Failed(
            reason=f"the database is in {region}, but this broker is set to {self._region}: its "
            "operator has to run one with ALIBROKER_REGION set to that of the database"
        )

    def observe(self, works: Sequence[Work]) -> Mapping[str, Json]:
        """List the instances that are in the states waited for, 100 a call.

        An operation whose instance is no longer in that state is reported, and so is one that waits
        for something of which there is no list.
        """
        waiting: dict[str, list[Work]] = {}
        seen: dict[str, Json] = {}
        for work in works:
            if work.state.get("leaves"):
                waiting.setdefault(work.state["leaves"], []).append(work)
            else:
                seen[work.operation_id] = {}
        for status, group in waiting.items():
            if len(group) == 1:
                # A look at the instance itself says more, and is no more calls than a list.
                seen[group[0].operation_id] = {}
                continue
            try:
                listing = self._listings.of(status)
            except CloudError as error:
                if error.kind in {Kind.RETRY, Kind.THROTTLED, Kind.UNKNOWN}:
                    failed(error)
                # Without a list each operation is looked at by itself.
                seen.update({work.operation_id: {} for work in group})
                continue
            for work in group:
                if listing.taken_at < work.state.get("since", 0.0):
                    continue  # an older listing does not know the instance yet
                if work.resource.get("instance_id") not in listing.instance_ids:
                    seen[work.operation_id] = {"left": status}
        return seen

    def account(self) -> str:
        """Return the id of the account of the cloud that the credentials belong to."""
        return self._account.id()

    def inventory(self) -> Iterable[Found]:
        """List our instances and their accounts; about two calls for each instance."""
        return self._account.inventory(self._inventory.found)

    def exists(self, resource: Json, *, of_binding: bool) -> bool:
        """Look at one instance, or at one account of it."""
        self._inventory.check_region(resource)
        self._account.check(resource)
        return self._inventory.exists(resource, of_binding=of_binding)

    def keep(self, found: Found) -> None:
        """Mark an instance as kept, in its tags."""
        self._account.check(found.resource)
        self._inventory.keep(found)

    def share(self, replicas: int) -> None:
        """Divide the limits of calls."""
        self._cloud.limiter.share(replicas)

    def close(self) -> None:
        """Close the connections."""
        self._cloud.close()
