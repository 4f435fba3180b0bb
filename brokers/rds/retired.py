"""Accounts that the cloud refuses to delete yet: retired, and tried again at later occasions.

PostgreSQL keeps an account on which objects of a database depend, and the API has nothing that
gives them to another ("Some objects depend on account"; RDS, Lock or delete an account). Every
engine may wait for a lock that does not come free (Account.DelError). Such an account is made
useless and marked in its description. That mark, and no record, says that it is retired: what an
unbind tells is kept with the binding and goes with it, and what is read from the cloud itself is
there after every crash and after the loss of the store. Once nothing is in the way of its deletion
any more it can be deleted; at the latest it goes with its instance.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable
from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.account_calls import AccountCalls
from alibroker.brokers.rds.calls import Item

_AT_ONCE: Final = 3
"""The most that are tried at one occasion, so that they delay nothing else for long."""
_NO_USE: Final = frozenset({Kind.DENIED, Kind.FAILED, Kind.NOT_FOUND})


def is_kept(error: CloudError) -> bool:
    """Tell whether the cloud refuses to delete an account (DeleteAccount)."""
    return error.code == "AccountActionForbidden"


def is_kept_for_objects(error: CloudError) -> bool:
    """Tell whether it says that this is for what the account owns, so that waiting is no use."""
    return is_kept(error) and "depend" in error.message.lower()


class Retirement:
    """Retires accounts, and deletes those that were. Thread-safe."""

    def __init__(self, calls: AccountCalls) -> None:
        self._calls = calls

    def retire(self, instance_id: str, name: str, binding_id: str, *, locks: bool) -> None:
        """Make an account useless for good, and mark it; may be done twice.

        Sessions that it has open go on: the API cannot end them.

        Raises:
            CloudError: The cloud cannot be asked now, or refuses a new password.
        """
        self._calls.reset_password(instance_id, name, accounts.new_password())
        try:
            self._calls.describe_account(instance_id, name, accounts.retired_marker(binding_id))
        except CloudError as error:
            # Without the mark a survey will call it left over, which it is.
            if error.kind not in _NO_USE:
                raise
        if locks:
            self._lock(instance_id, name)

    def try_again(self, instance_id: str, listed: Iterable[Item], *, locks: bool) -> None:
        """Delete those of an instance's accounts that are retired, as far as the cloud lets us.

        Nothing depends on it, so nothing is raised: there will be another occasion.
        """
        waiting = [
            one for one in listed if accounts.is_retired(str(one.get("AccountDescription") or ""))
        ]
        for account in random.sample(waiting, min(len(waiting), _AT_ONCE)):
            try:
                self._delete(instance_id, account, locks=locks)
            except CloudError as error:
                if not is_kept(error):
                    return

    def sweep(self, instance_id: str, *, locks: bool) -> None:
        """Do as `try_again` with all accounts of an instance, if they can be listed."""
        with contextlib.suppress(CloudError):
            self.try_again(instance_id, self._calls.accounts(instance_id), locks=locks)

    def _delete(self, instance_id: str, account: Item, *, locks: bool) -> None:
        name = str(account["AccountName"])
        if account.get("AccountStatus") == accounts.LOCKED:
            # Nobody knows its password.
            self._calls.unlock_account(instance_id, name)
        try:
            self._calls.delete_account(instance_id, name)
        except CloudError as error:
            if is_kept(error) and locks:
                self._lock(instance_id, name)
            raise

    def _lock(self, instance_id: str, name: str) -> None:
        """Lock an account whose password nobody knows; more than that is not needed."""
        with contextlib.suppress(CloudError):
            self._calls.lock_account(instance_id, name)
