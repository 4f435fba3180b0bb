"""The steps of deprovision: find, delete, wait until it is gone."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.account import GONE
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import InProgress, Step, Succeeded, Work
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.marks import bought_for, seconds
from alibroker.brokers.rds.second_look import SecondLook
from alibroker.brokers.rds.status import CREATING, DELETING, RELEASED

_SKEW: Final = 900.0  # seconds, as far as the clocks of broker and cloud can be apart


class Deprovision:
    """Leaves nothing behind, whatever state provision reached."""

    def __init__(self, calls: RdsCalls, second_look: SecondLook, settings: CloudSettings) -> None:
        self._calls = calls
        self._second_look = second_look
        self._settings = settings

    def step(self, work: Work) -> Step:
        """Do the next step."""
        known = work.resource
        if known.get(GONE) or not ("requested_at" in known or known.get("instance_id")):
            return Succeeded(resource={GONE: True})  # nothing was ever ordered, or all is done
        if not work.resource.get("instance_id"):
            return self._search(work)
        if work.state.get("phase") == "gone":
            return self._wait(work)
        return self._delete(work)

    def _search(self, work: Work) -> Step:
        """Look for what a request may have bought whose answer was lost.

        Until such a request has settled, finding nothing proves nothing.
        """
        for item, _ in bought_for(self._calls, work.instance_id):
            status = item.get("DBInstanceStatus")
            if status != RELEASED and not self._is_later(work, item):
                return InProgress(
                    description="The database is being deleted",
                    resource={"instance_id": item["DBInstanceId"], "created_at": work.now},
                    state={"searched": True} | ({"phase": "gone"} if status == DELETING else {}),
                )
        searching_since = work.state.get("searching_since", work.now)
        quiet = work.now - searching_since
        if work.state.get("searched") or quiet >= self._settings.settle:
            return Succeeded(resource={GONE: True})
        return InProgress(
            description="Making sure that no database was created",
            state={"searching_since": searching_since},
            poll_after=min(self._settings.poll_interval, self._settings.settle - quiet),
        )

    def _is_later(self, work: Work, item: Item) -> bool:
        """Tell whether something was made after all orders of the provision, e.g. by cloning."""
        ordered = float(work.resource.get("created_at") or work.now)
        return seconds(item.get("CreateTime")) > ordered + self._settings.settle + _SKEW

    def _delete(self, work: Work) -> Step:
        try:
            self._calls.delete_instance(work.resource["instance_id"])
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return self._not_found(work)
            if error.kind is Kind.RETRY:
                end = self._second_look.end(work, error)
                return end or self._in_progress(
                    work,
                    "The database will be deleted when it is no longer busy",
                    {"leaves": CREATING},
                )
            raise
        return self._in_progress(
            work, "The database is being deleted", {"phase": "gone", "leaves": DELETING}
        )

    def _not_found(self, work: Work) -> Step:
        """Believe that there was nothing to delete, unless the list knows better.

        Single actions have said so of instances that had been there for minutes.
        """
        if self._calls.is_listed(work.resource["instance_id"]):
            return self._in_progress(work, "The database is being deleted", {})
        return self._gone(work)

    def _wait(self, work: Work) -> Step:
        item = self._calls.instance(work.resource["instance_id"])
        if item is None or item["DBInstanceStatus"] == RELEASED:
            return self._gone(work)
        if item["DBInstanceStatus"] == DELETING:
            return self._in_progress(
                work, "The database is being deleted", {"phase": "gone", "leaves": DELETING}
            )
        return self._in_progress(work, "The database is being deleted", {})

    def _gone(self, work: Work) -> Step:
        if work.now - work.resource.get("created_at", 0.0) < self._settings.settle and (
            work.state.get("phase") != "gone"
        ):
            # A new instance is not found for a moment either.
            return self._in_progress(work, "The database is being deleted", {})
        # Where it was ordered more than once, an order that counted as refused or lost may have
        # bought one as well.
        if work.state.get("searched") or int(work.resource.get("attempt") or 1) > 1:
            return InProgress(
                description="Making sure that no database is left",
                resource={"instance_id": ""},
                state={"searched": True},
            )
        return Succeeded(resource={GONE: True})

    def _in_progress(self, work: Work, text: str, state: dict[str, object]) -> InProgress:
        kept = {"searched": True} if work.state.get("searched") else {}
        return InProgress(
            description=text,
            state={"since": work.now, **kept, **state},
            poll_after=self._settings.poll_interval,
        )
