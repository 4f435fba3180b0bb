"""The steps of unbind: make the account useless, delete it, wait until it is gone."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.alibabacloud.settling import unsettled
from alibroker.brokers.api import InProgress, Json, Step, Succeeded, TryAgainError, Work
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.account_calls import AccountCalls, privileges_of, users_of
from alibroker.brokers.rds.bind import BOUND, CREATED, POLL_SECONDS
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.engines import Engine
from alibroker.brokers.rds.plans import engine_of
from alibroker.brokers.rds.retired import Retirement, is_kept, is_kept_for_objects

_PATIENCE: Final = 10  # so many polls until an account that cannot be deleted is retired


class Unbind:
    """Takes a binding's account away, whatever state bind reached."""

    def __init__(
        self,
        instances: RdsCalls,
        calls: AccountCalls,
        retirement: Retirement,
        settings: CloudSettings,
    ) -> None:
        self._instances = instances
        self._calls = calls
        self._retirement = retirement
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
            if work.binding_resource.get(CREATED) and not work.state:
                return self._take_back(work, instance_id, name)
            return self._remove(work, instance_id, name, engine_of(work))
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND or "Instance" not in error.code:
                raise
            # Single actions have said so of instances that are there; the account would stay.
            if self._instances.is_listed(instance_id):
                raise TryAgainError("the database cannot be seen just now") from error
            return Succeeded()  # the whole instance is gone

    def _take_back(self, work: Work, instance_id: str, name: str) -> Step:
        """Delete the database that a bind created which then failed, unless others use it.

        Who uses it is asked twice, for the engines show privileges in different places.
        """
        database = str(work.binding_resource.get("database") or accounts.DATABASE)
        for item in self._calls.databases(instance_id, database):
            others = users_of(item).keys() - {name}
            if not others and not self._granted(instance_id, database, but=name):
                self._calls.delete_database(instance_id, database)
        return InProgress(
            description="The account is being deleted",
            state={"database": "taken back"},
            resource={CREATED: False},
        )

    def _granted(self, instance_id: str, database: str, *, but: str) -> bool:
        """Tell whether another account is shown to have a privilege on a database."""
        return any(
            database in privileges_of(account) and account["AccountName"] != but
            for account in self._calls.accounts(instance_id)
        )

    def _remove(self, work: Work, instance_id: str, name: str, engine: Engine) -> Step:
        account = self._look(work, instance_id, name, engine)
        if account is None:
            return self._absent(work)
        if account.get("AccountDescription") != accounts.marker(work.binding_id):
            # It was there before and bind failed for that, or it is retired already.
            return Succeeded()
        since = float(work.state.get("kept_since", work.now))
        over = work.now - since > self._poll * _PATIENCE
        if account.get("AccountStatus") == accounts.LOCKED:
            # By somebody, or after a deletion that did not come about.
            if over:
                return self._retire(work, instance_id, name, engine)
            self._calls.unlock_account(instance_id, name)
            return self._wait(work, "The account is being unlocked", {"kept_since": since})
        if not work.state.get("revoked"):
            self._disarm(work, instance_id, name, engine)
        try:
            self._calls.delete_account(instance_id, name)
        except CloudError as error:
            if not is_kept(error):
                raise
            if over or is_kept_for_objects(error):
                return self._retire(work, instance_id, name, engine)
            return self._wait(
                work,
                "The account will be deleted when the cloud lets it go",
                {"revoked": True, "kept_since": since},
            )
        return self._wait(work, "The account is being deleted", {"revoked": True})

    def _look(self, work: Work, instance_id: str, name: str, engine: Engine) -> Item | None:
        """Return the account; the first look is an occasion to delete retired ones as well."""
        if not engine.has_locks or work.state:
            return self._calls.account(instance_id, name)
        listed = self._calls.accounts(instance_id)
        self._retirement.try_again(instance_id, listed, locks=engine.has_locks)
        return next((one for one in listed if one.get("AccountName") == name), None)

    def _disarm(self, work: Work, instance_id: str, name: str, engine: Engine) -> None:
        """Let the credentials be of no use, before the account can be deleted."""
        if engine.has_locks:
            self._calls.reset_password(instance_id, name, accounts.new_password())
        if engine.revokes:
            database = str(work.binding_resource.get("database") or accounts.DATABASE)
            self._calls.revoke(instance_id, name, database)

    def _retire(self, work: Work, instance_id: str, name: str, engine: Engine) -> Step:
        self._retirement.retire(instance_id, name, work.binding_id, locks=engine.has_locks)
        return Succeeded()

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

    def _wait(self, work: Work, text: str, more: Json) -> InProgress:
        return InProgress(description=text, state={**work.state, **more}, poll_after=self._poll)
