"""The steps of unbind: revoke, delete the account, wait until it is gone."""

from __future__ import annotations

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.alibabacloud.settling import unsettled
from alibroker.brokers.api import InProgress, Step, Succeeded, Work
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.bind import BOUND, POLL_SECONDS
from alibroker.brokers.rds.calls import RdsCalls
from alibroker.brokers.rds.plans import engine_of


class Unbind:
    """Takes a binding's account away, whatever state bind reached."""

    def __init__(self, calls: RdsCalls, settings: CloudSettings) -> None:
        self._calls = calls
        self._settle = settings.settle
        self._poll = min(POLL_SECONDS, settings.poll_interval)

    def step(self, work: Work) -> Step:
        """Do the next step."""
        name = work.binding_resource.get("username")
        # The instance itself may be unknown, if the account was found in the cloud.
        instance_id = work.resource.get("instance_id") or work.binding_resource.get("instance_id")
        if not name or not instance_id:
            return Succeeded()  # bind never asked the cloud for anything
        try:
            return self._delete(work, instance_id, name)
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND and error.code.startswith("InvalidDBInstance"):
                return Succeeded()  # the whole instance is gone
            raise

    def _delete(self, work: Work, instance_id: str, name: str) -> Step:
        account = self._calls.account(instance_id, name)
        if account is None:
            return self._absent(work)
        if account.get("AccountDescription") != accounts.marker(work.binding_id):
            return Succeeded()  # bind failed because this account was there before
        if not work.state.get("revoked") and engine_of(work).revokes:
            database = str(work.binding_resource.get("database") or accounts.DATABASE)
            self._calls.revoke(instance_id, name, database)
        self._calls.delete_account(instance_id, name)
        return InProgress(
            description="The account is being deleted",
            state={**work.state, "revoked": True},
            poll_after=self._poll,
        )

    def _absent(self, work: Work) -> Step:
        """Believe that there is no account, but not while a lost request may still create it."""
        since = work.state.get("absent_since", work.now)
        # It was there: what created it was answered, or took effect.
        complete = bool(work.binding_resource.get(BOUND) or work.state.get("revoked"))
        rest = unsettled(work, self._settle, since=since, complete=complete)
        if not rest:
            return Succeeded()
        return InProgress(
            description="Making sure that no account is left",
            state={**work.state, "absent_since": since},
            poll_after=min(self._poll, rest),
        )
