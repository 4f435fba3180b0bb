"""The broker for ApsaraDB RDS for MySQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.connection import connect
from alibroker.brokers.alibabacloud.errors import CloudError, Kind, ends_operation, failed
from alibroker.brokers.alibabacloud.naming import OWNER_TAG
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, Json, ServiceOffering, Step, Work
from alibroker.brokers.offerings import load_offerings
from alibroker.brokers.rds.bind import Bind
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.deprovision import Deprovision
from alibroker.brokers.rds.listing import Listings
from alibroker.brokers.rds.networks import Networks
from alibroker.brokers.rds.provision import Provision
from alibroker.brokers.rds.unbind import Unbind

_CATALOG: Final = Path(__file__).with_name("catalog.yaml")


def create_broker(settings: Mapping[str, str]) -> RdsBroker:
    """Create the broker from the process environment.

    `ALIBROKER_RDS_CATALOG` names a file to use in place of the catalog that comes along; for the
    rest see `read_settings` and `find_credentials`.

    Raises:
        SettingsError, CredentialsError, CatalogError: Each names what to change.
    """
    offerings = load_offerings(Path(settings.get("ALIBROKER_RDS_CATALOG") or _CATALOG))
    return RdsBroker(offerings, *connect(settings))


class RdsBroker:
    """Instances are RDS instances; bindings are accounts that share the instance's database."""

    name = "rds"

    def __init__(
        self,
        offerings: Sequence[ServiceOffering],
        settings: CloudSettings,
        cloud: CloudClient,
    ) -> None:
        self._offerings = offerings
        self._cloud = cloud
        calls = RdsCalls(cloud)
        self._listings = Listings(
            calls, (OWNER_TAG, settings.name), fresh_seconds=settings.poll_interval / 2
        )
        self._provision = Provision(calls, Networks(calls), settings)
        self._deprovision = Deprovision(calls, settings)
        self._bind = Bind(calls, settings)
        self._unbind = Unbind(calls, settings)

    def offerings(self) -> Sequence[ServiceOffering]:
        """Return what the catalog file says."""
        return self._offerings

    @ends_operation
    def provision(self, work: Work) -> Step:
        """Do the next step towards a running instance."""
        return self._provision.step(work)

    def update(self, work: Work) -> Step:  # noqa: ARG002 - the contract's signature
        """Refuse: no plan is offered as updateable."""
        return Failed(reason="instances of this plan cannot be changed; create a new one")

    @ends_operation
    def deprovision(self, work: Work) -> Step:
        """Do the next step towards there being no instance."""
        return self._deprovision.step(work)

    @ends_operation
    def bind(self, work: Work) -> Step:
        """Do the next step towards an account."""
        return self._bind.step(work)

    @ends_operation
    def unbind(self, work: Work) -> Step:
        """Do the next step towards there being no account."""
        return self._unbind.step(work)

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
            try:
                listing = self._listings.of(status)
            except CloudError as error:
                if error.kind is Kind.DENIED:  # their steps will meet it and say so
                    seen.update({work.operation_id: {} for work in group})
                    continue
                failed(error)
                raise
            for work in group:
                if listing.taken_at < work.state.get("since", 0.0):
                    continue  # an older listing does not know the instance yet
                if work.resource.get("instance_id") not in listing.instance_ids:
                    seen[work.operation_id] = {"left": status}
        return seen

    def close(self) -> None:
        """Close the connections."""
        self._cloud.close()
