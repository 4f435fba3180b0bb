"""The steps of provision: intend, check, buy, wait until it runs, configure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from alibroker.brokers.alibabacloud.account import GONE
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import tags
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import NOTHING, Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.digests import digest
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.extras import Extras
from alibroker.brokers.rds.facts import facts_of
from alibroker.brokers.rds.marks import bought_for, description
from alibroker.brokers.rds.networks import Networks, PlacementError, open_places
from alibroker.brokers.rds.order import Order, order_fault, order_of
from alibroker.brokers.rds.status import CREATING, DELETING_STATUSES, RUNNING
from alibroker.brokers.rds.switches import Switching, to_turn

_PLACE: Final = ("vpc_id", "vswitch_id", "zone_id", "network_type")
_FIRST_LOOK: Final = 13
"""Poll intervals until a new instance is looked at: 195 s of 15 s each; it takes 150 to 280 s."""
_NEXT_LOOK: Final = 3
"""Poll intervals until the next look, so that the third one finds it running."""
_TOKEN_SECONDS: Final = 300.0  # the cloud remembers client tokens for a time it does not publish
_TOKEN_USED: Final = frozenset({"IdempotentParameterMismatch", "InvalidRequestId"})
_PERHAPS_THE_ZONE: Final = frozenset(
    {
        *("BasicCategoryNotSupport", "InvalidDBInstanceClass.Malformed"),
        *("InvalidDBInstanceClass.NotFound", "InvalidDBInstanceClass.Offline"),
        *("InvalidEngineVersion.Malformed", "InvalidInstanceLevel.DiskType"),
        "UnsupportedClassCode",
    }
)
"""Refusals that can mean that there is no such thing, or none in this zone (CreateDBInstance)."""


class Provision:
    """Buys an instance exactly once, whatever crashes and whatever answer is lost."""

    def __init__(
        self,
        calls: RdsCalls,
        networks: Networks,
        extras: Extras,
        switching: Switching,
        settings: CloudSettings,
        *,
        dry_run: bool,
    ) -> None:
        """With `dry_run` each order is checked by the cloud before it is placed."""
        self._calls = calls
        self._networks = networks
        self._extras = extras
        self._switching = switching
        self._settings = settings
        self._dry_run = dry_run

    def step(self, work: Work) -> Step:
        """Do the next step."""
        match work.state.get("phase"):
            case "check":
                return self._check(work)
            case "create":
                return self._create(work)
            case "elsewhere":
                return self._elsewhere(work)
            case "tag":
                return self._tag(work)
            case "wait":
                return self._wait(work)
            case "configure":
                return self._configure(work)
            case "tls" | "tde" as name:
                return self._turn(work, to_turn(order_of(work, self._settings)), name)
            case _:
                return self._intend(work, attempt=1)

    def _intend(self, work: Work, *, attempt: int, refusals: Mapping[str, str] = NOTHING) -> Step:
        """Choose a place, and make durable that an instance is about to be bought there."""
        try:
            places = self._networks.places(order_of(work, self._settings))
        except PlacementError as error:
            return Failed(reason=str(error))
        left = open_places(places, refusals)
        if not left:
            return Failed(reason=_nowhere(refusals))
        selling = [one for one in left if not refusals or self._networks.sells(one) is not False]
        # If none is said to sell it, the list is not believed.
        order = (selling or left)[0]
        fault = order_fault(order)
        if fault is not None:
            return Failed(reason=fault)
        token = digest(work.operation_id, work.instance_id, str(attempt), length=52)
        place = {name: getattr(order, name) for name in _PLACE}
        return InProgress(
            description="The database is being ordered",
            state={"phase": "check" if self._dry_run else "create", "refusals": dict(refusals)},
            resource={
                "client_token": token,
                "attempt": attempt,
                "requested_at": work.now,
                "region": self._settings.region,
                "place": place,
            },
        )

    def _create(self, work: Work) -> Step:
        is_old = work.now - work.resource["requested_at"] > _TOKEN_SECONDS
        if is_old or work.unanswered_at > work.resource["requested_at"]:
            # Nobody knows how long a token is good for: was it bought already?
            found = self._found(work)
            if found is not None or is_old:
                return found or InProgress(
                    description="The database is being ordered",
                    state=work.state,
                    resource={"requested_at": work.now},
                )
        try:
            answer = self._order(work, client_token=work.resource["client_token"])
        except CloudError as error:
            if error.code in _TOKEN_USED:
                return self._token_used(work)
            return self._refused(work, error)
        except PlacementError as error:
            return Failed(reason=str(error))
        return self._bought(work, answer, is_tagged=_has_tags(answer))

    def _check(self, work: Work) -> Step:
        """Have the cloud check the order; it buys nothing."""
        try:
            answer = self._order(work)
        except CloudError as error:
            return self._refused(work, error)
        except PlacementError as error:
            return Failed(reason=str(error))
        if answer.get("DBInstanceId"):
            # It was no dry run to the cloud.
            return self._bought(work, answer, is_tagged=_has_tags(answer))
        if not answer.get("DryRunResult", True):
            return Failed(reason="Alibaba Cloud would refuse this order")
        return InProgress(
            description="The database is being ordered", state={**work.state, "phase": "create"}
        )

    def _refused(self, work: Work, error: CloudError) -> Step:
        """Order it elsewhere if the place is what was refused, and nothing can have been bought."""
        place = self._placed(work)
        refusals = dict(work.state.get("refusals") or {})
        refusals[_refusing(place, error)] = str(error)
        if error.kind is not Kind.PLACE and not (
            error.code in _PERHAPS_THE_ZONE and self._sold_elsewhere(work, place, refusals)
        ):
            raise error
        self._networks.refused(place, _refusing(place, error))
        if not work.unanswered_at:
            return self._intend(work, attempt=work.resource["attempt"] + 1, refusals=refusals)
        return InProgress(
            description="Making sure that nothing was bought where it was refused",
            state={"phase": "elsewhere", "refusals": refusals},
        )

    def _elsewhere(self, work: Work) -> Step:
        """Order it in another place, once all requests have settled whose answers nobody saw.

        One of them may have bought, or still buy, in the place that has refused after it.
        """
        rest = self._settings.settle - (work.now - work.unanswered_at)
        if rest > 0:
            return InProgress(
                description="Making sure that nothing was bought where it was refused",
                state=work.state,
                poll_after=min(rest, self._settings.poll_interval),
            )
        return self._found(work) or self._intend(
            work, attempt=work.resource["attempt"] + 1, refusals=work.state["refusals"]
        )

    def _sold_elsewhere(self, work: Work, place: Order, refusals: Mapping[str, str]) -> bool:
        """Tell whether a zone does not sell what another zone sells."""
        if self._networks.sells(place) is not False:
            return False
        places = self._networks.places(order_of(work, self._settings))
        return any(self._networks.sells(one) for one in open_places(places, refusals))

    def _placed(self, work: Work) -> Order:
        """Return the order with its place; the same one as long as the client token is."""
        return replace(order_of(work, self._settings), **work.resource.get("place", {}))

    def _order(self, work: Work, client_token: str = "") -> Item:
        """Order the instance; without a token only to have the order checked."""
        order = self._placed(work)
        try:
            allow_list = self._networks.allow_list(order)
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                raise PlacementError(
                    f"there is no VPC {order.vpc_id} in {self._settings.region}"
                ) from error
            raise
        return self._calls.create_instance(
            order,
            client_token=client_token,
            description=description(work.instance_id),
            allow_list=allow_list,
            tags=tags(work, self._settings.name),
            dry_run=not client_token,
        )

    def _token_used(self, work: Work) -> Step:
        """Find what an earlier request with the same token bought."""
        found = self._found(work)
        if found is not None:
            return found
        first = work.state.get("token_used_at", work.now)
        if work.now - first > self._settings.settle:
            refusals = work.state.get("refusals") or NOTHING
            return self._intend(work, attempt=work.resource["attempt"] + 1, refusals=refusals)
        return InProgress(
            description="Looking for the instance that was ordered",
            state={**work.state, "phase": "create", "token_used_at": first},
            poll_after=self._settings.poll_interval,
        )

    def _found(self, work: Work) -> Step | None:
        for item, is_tagged in bought_for(self._calls, work.instance_id):
            if item.get("DBInstanceStatus") not in DELETING_STATUSES:
                return self._bought(work, item, is_tagged=is_tagged)
        return None

    def _bought(self, work: Work, item: Item, *, is_tagged: bool) -> InProgress:
        facts = {
            "instance_id": item["DBInstanceId"],
            "region": self._settings.region,
            "created_at": work.now,
        }
        if not is_tagged:
            # By its tags it is found whatever happens, so they come before anything else.
            return InProgress(
                description="The database is being marked",
                state={"phase": "tag"},
                resource=facts,
            )
        return self._created(work, facts)

    def _tag(self, work: Work) -> Step:
        self._calls.tag(work.resource["instance_id"], tags(work, self._settings.name))
        return self._created(work)

    def _created(self, work: Work, facts: Json = NOTHING) -> InProgress:
        return InProgress(
            description="The database is being created",
            state={"phase": "wait", "leaves": CREATING, "since": work.now},
            resource=facts,
            poll_after=self._settings.poll_interval * _FIRST_LOOK,
        )

    def _wait(self, work: Work) -> Step:
        item = self._calls.instance(work.resource["instance_id"])
        missing_since = work.state.get("missing_since", work.now)
        if item is None and work.now - missing_since > self._settings.settle:
            return Failed(reason=f"the instance {work.resource['instance_id']} has disappeared")
        status = str(item["DBInstanceStatus"]) if item is not None else CREATING
        if status in DELETING_STATUSES:
            return Failed(reason=f"the instance {work.resource['instance_id']} is being deleted")
        if item is not None and status == RUNNING:
            facts = facts_of(item) | {GONE: False}
            if not order_of(work, self._settings).has_settings:
                return Succeeded(resource=facts)
            return InProgress(
                description="The database is being configured",
                state={"phase": "configure"},
                resource=facts,
            )
        return InProgress(
            description=f"The database is being created ({status})",
            state={"phase": "wait", "leaves": status, "since": work.now}
            | ({"missing_since": missing_since} if item is None else {}),
            poll_after=self._settings.poll_interval * _NEXT_LOOK,
        )

    def _configure(self, work: Work) -> Step:
        """Set what an instance can be told only once it runs."""
        order = order_of(work, self._settings)
        self._extras.apply(work.resource["instance_id"], order)
        names = to_turn(order)
        return self._turn(work, names, names[0]) if names else Succeeded()

    def _turn(self, work: Work, names: list[str], name: str) -> Step:
        """Turn one switch after the other."""
        step = self._switching.step(work, name, on=True)
        left = names[names.index(name) + 1 :]
        if not isinstance(step, Succeeded) or not left:
            return step
        return InProgress(
            description="The database is being configured",
            state={"phase": left[0]},
            resource=step.resource,
        )


def _refusing(place: Order, error: CloudError) -> str:
    """Return what of a place refused: the vSwitch, if only that is used up, or the whole zone."""
    if error.code == "VswitchIpExhausted" or not place.zone_id:
        return place.vswitch_id
    return place.zone_id


def _nowhere(refusals: Mapping[str, str]) -> str:
    """Say that no place is left: why the last one refused, and which others did before."""
    *others, last = refusals
    before = f"; refused before by {', '.join(others)}" if others else ""
    return f"{refusals[last]}{before}"


def _has_tags(answer: Item) -> bool:
    """Tell whether the cloud says that it put the tags on (CreateDBInstance, TagResult)."""
    return str(answer.get("TagResult", True)).lower() == "true"
