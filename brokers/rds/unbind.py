"""The steps of unbind: make the account useless, delete it, wait until it is gone."""

from __future__ import annotations

import contextlib
from typing import Any, Final

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
from alibroker.brokers.rds.retired import Retirement, is_kept_for_objects
from alibroker.brokers.rds.second_look import BUSY

_PATIENCE: Final = 10  # so many polls, a minute, until what cannot be deleted is retired
_FINAL: Final = frozenset({Kind.DENIED, Kind.ACCOUNT, Kind.QUOTA, Kind.FAILED})


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
        # The instance itself may be unknown, if the account was found in the cloud.
        instance_id, name = _place(work)
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
        state = dict(work.state)
        is_locked = account.get("AccountStatus") == accounts.LOCKED
        if is_locked and self._is_over(work, state):
            return self._retire(work, instance_id, name, engine)
        try:
            if is_locked:
                # By somebody, or after a deletion that did not come about.
                state.setdefault("kept_since", work.now)
                self._calls.unlock_account(instance_id, name)
                return self._wait(state, "The account is being unlocked")
            if not state.get("revoked"):
                self._disarm(work, state, engine)
            self._calls.delete_account(instance_id, name)
        except CloudError as error:
            return self._refused(work, state, engine, error)
        state["revoked"] = True
        return self._wait(state, "The account is being deleted")

    def _disarm(self, work: Work, state: dict[str, Any], engine: Engine) -> None:
        """Let the credentials be of no use, before the account can be deleted.

        What refuses that for now may delete the account all the same, so it stops nothing.
        """
        instance_id, name = _place(work)
        try:
            if engine.has_locks:
                self._calls.reset_password(instance_id, name, accounts.new_password())
            if engine.revokes:
                database = str(work.binding_resource.get("database") or accounts.DATABASE)
                self._calls.revoke(instance_id, name, database)
        except CloudError as error:
            if not _passes(error):
                raise
            _note(work, state, error)
        else:
            state["revoked"] = True

    def _refused(
        self, work: Work, state: dict[str, Any], engine: Engine, error: CloudError
    ) -> Step:
        """Go on with an account that the cloud does not delete now, perhaps without its deletion.

        What is said of the account rarely tells whether it will pass ("parameter values are
        invalid, or the request is waiting for locks"), so it is waited for, but not for long.

        Raises:
            CloudError: It is about something else than the account; or nothing can be done about
                it, not even the credentials be made useless.
        """
        instance_id, name = _place(work)
        if is_kept_for_objects(error):
            return self._retire(work, instance_id, name, engine)
        if error.kind is Kind.NOT_FOUND and "Instance" not in error.code:
            return self._wait(state, "The account is being deleted")  # by somebody else
        if not _passes(error):
            if error.kind in _FINAL:
                # The operation ends here, and the account stays for somebody to delete.
                self._make_useless(state, instance_id, name, engine)
            raise error
        _note(work, state, error)
        state.setdefault("kept_since", work.now)
        if self._is_over(work, state):
            return self._retire(work, instance_id, name, engine)
        self._make_useless(state, instance_id, name, engine)
        return self._wait(state, "The account will be deleted when the cloud lets it go")

    def _make_useless(
        self, state: dict[str, Any], instance_id: str, name: str, engine: Engine
    ) -> None:
        """Replace the password of an account that stays for now, unless that has been done.

        A refusal is not the last word: an account is retired only with a new password.
        """
        if state.get("revoked") and (engine.has_locks or state.get("useless")):
            return
        with contextlib.suppress(CloudError):
            self._calls.reset_password(instance_id, name, accounts.new_password())
            state |= {"revoked": True, "useless": True}

    def _is_over(self, work: Work, state: Json) -> bool:
        return work.now - float(state.get("kept_since", work.now)) > self._poll * _PATIENCE

    def _look(self, work: Work, instance_id: str, name: str, engine: Engine) -> Item | None:
        """Return the account; the first look is an occasion to delete retired ones as well."""
        if not engine.has_locks or work.state:
            return self._calls.account(instance_id, name)
        listed = self._calls.accounts(instance_id)
        self._retirement.try_again(instance_id, listed, locks=engine.has_locks)
        return next((one for one in listed if one.get("AccountName") == name), None)

    def _retire(self, work: Work, instance_id: str, name: str, engine: Engine) -> Step:
        self._retirement.retire(instance_id, name, work.binding_id, locks=engine.has_locks)
        return Succeeded()

    def _absent(self, work: Work) -> Step:
        """Believe that there is no account, but not while a lost request may still create it."""
        since = work.state.get("absent_since", work.now)
        # It was there: what created it was answered, or took effect.
        complete = bool(work.binding_resource.get(BOUND) or work.state.get("revoked"))
        rest = unsettled(work, self._settle, since=since, complete=complete)
        if lost_at := work.state.get("lost_at"):
            # Of a request to change or delete it, which would do so to one of the same name.
            rest = max(rest, self._settle - (work.now - lost_at))
        if not rest:
            return Succeeded()
        return InProgress(
            description="Making sure that no account is left",
            state={**work.state, "absent_since": since},
            poll_after=min(self._poll, rest),
        )

    def _wait(self, state: Json, text: str) -> InProgress:
        return InProgress(description=text, state=state, poll_after=self._poll)


def _place(work: Work) -> tuple[str, str]:
    """Return the instance and the account; of a found one, the binding knows the instance."""
    facts = work.binding_resource
    instance_id = work.resource.get("instance_id") or facts.get("instance_id")
    return str(instance_id or ""), str(facts.get("username") or "")


def _passes(error: CloudError) -> bool:
    """Tell whether a refusal may pass and is about the account, and not about its instance."""
    return error.kind in {Kind.RETRY, Kind.UNKNOWN} and error.code not in BUSY


def _note(work: Work, state: dict[str, Any], error: CloudError) -> None:
    if error.kind is Kind.UNKNOWN:
        state["lost_at"] = work.now
