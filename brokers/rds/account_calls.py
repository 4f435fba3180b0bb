"""The calls to RDS about what is in an instance: databases, accounts and privileges."""

from __future__ import annotations

from typing import Final

from aliyunsdkrds.request.v20140815.CreateAccountRequest import CreateAccountRequest
from aliyunsdkrds.request.v20140815.CreateDatabaseRequest import CreateDatabaseRequest
from aliyunsdkrds.request.v20140815.DeleteAccountRequest import DeleteAccountRequest
from aliyunsdkrds.request.v20140815.DeleteDatabaseRequest import DeleteDatabaseRequest
from aliyunsdkrds.request.v20140815.DescribeAccountsRequest import DescribeAccountsRequest
from aliyunsdkrds.request.v20140815.DescribeDatabasesRequest import DescribeDatabasesRequest
from aliyunsdkrds.request.v20140815.GrantAccountPrivilegeRequest import (
    GrantAccountPrivilegeRequest,
)
from aliyunsdkrds.request.v20140815.LockAccountRequest import LockAccountRequest
from aliyunsdkrds.request.v20140815.ModifyAccountDescriptionRequest import (
    ModifyAccountDescriptionRequest,
)
from aliyunsdkrds.request.v20140815.ResetAccountPasswordRequest import ResetAccountPasswordRequest
from aliyunsdkrds.request.v20140815.RevokeAccountPrivilegeRequest import (
    RevokeAccountPrivilegeRequest,
)
from aliyunsdkrds.request.v20140815.UnlockAccountRequest import UnlockAccountRequest

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.rds.calls import MAX_PAGES, Item, items_of
from alibroker.brokers.rds.product import RDS

_ACCOUNTS: Final = 200  # the most that DescribeAccounts returns at once
_DATABASES: Final = 100  # the most that DescribeDatabases returns at once


class AccountCalls:
    """RDS 2014-08-15. Every method raises `CloudError`; no action has a client token."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def create_database(self, instance_id: str, name: str, charset: str) -> bool:
        """Create a database, unless it is there; tell whether it was not (CreateDatabase)."""
        request = CreateDatabaseRequest()
        request.set_DBInstanceId(instance_id)
        request.set_DBName(name)
        request.set_CharacterSetName(charset)
        try:
            self._cloud.call(RDS, request)
        except CloudError as error:
            if error.kind is not Kind.EXISTS:
                raise
            return False
        return True

    def create_account(
        self,
        instance_id: str,
        name: str,
        password: str,
        description: str,
        *,
        privileged: bool = False,
    ) -> None:
        """Create an account that may do nothing yet, or a privileged one (CreateAccount)."""
        request = CreateAccountRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        request.set_AccountType("Super" if privileged else "Normal")
        request.set_AccountDescription(description)
        self._cloud.call(RDS, request, secrets={"AccountPassword": password})

    def account(self, instance_id: str, name: str) -> Item | None:
        """Return an account, or None if it is not there (DescribeAccounts)."""
        request = DescribeAccountsRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        try:
            answer = self._cloud.call(RDS, request)
        except CloudError as error:
            if error.code == "InvalidAccountName.NotFound":
                return None
            raise
        for item in items_of(answer, "Accounts", "DBInstanceAccount"):
            if item.get("AccountName") == name:
                return item
        return None

    def accounts(self, instance_id: str) -> list[Item]:
        """Return all accounts of an instance, 200 a call (DescribeAccounts)."""
        found: list[Item] = []
        for page in range(1, MAX_PAGES):
            request = DescribeAccountsRequest()
            request.set_DBInstanceId(instance_id)
            request.set_PageSize(_ACCOUNTS)
            request.set_PageNumber(page)
            items = items_of(self._cloud.call(RDS, request), "Accounts", "DBInstanceAccount")
            found += items
            if len(items) < _ACCOUNTS:
                break
        return found

    def all_databases(self, instance_id: str) -> list[Item]:
        """Return all databases of an instance, 100 a call (DescribeDatabases)."""
        found: list[Item] = []
        for page in range(1, MAX_PAGES):
            request = DescribeDatabasesRequest()
            request.set_DBInstanceId(instance_id)
            request.set_PageSize(_DATABASES)
            request.set_PageNumber(page)
            items = items_of(self._cloud.call(RDS, request), "Databases", "Database")
            found += items
            if len(items) < _DATABASES:
                break
        return found

    def databases(self, instance_id: str, name: str) -> list[Item]:
        """Return the database of a name, with who may use it, or nothing (DescribeDatabases)."""
        request = DescribeDatabasesRequest()
        request.set_DBInstanceId(instance_id)
        request.set_DBName(name)
        try:
            answer = self._cloud.call(RDS, request)
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND and "Instance" not in error.code:
                return []
            raise
        found = items_of(answer, "Databases", "Database")
        return [item for item in found if item.get("DBName") == name]

    def delete_database(self, instance_id: str, name: str) -> None:
        """Delete a database and all that is in it, if it is there (DeleteDatabase)."""
        request = DeleteDatabaseRequest()
        request.set_DBInstanceId(instance_id)
        request.set_DBName(name)
        try:
            self._cloud.call(RDS, request)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise

    def describe_account(self, instance_id: str, name: str, description: str) -> None:
        """Give an account another description (ModifyAccountDescription)."""
        request = ModifyAccountDescriptionRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        request.set_AccountDescription(description)
        self._cloud.call(RDS, request)

    def lock_account(self, instance_id: str, name: str) -> None:
        """Let nobody log in with an account any more (LockAccount)."""
        request = LockAccountRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        self._cloud.call(RDS, request)

    def unlock_account(self, instance_id: str, name: str) -> None:
        """Take a lock back, without which an account cannot be deleted (UnlockAccount)."""
        request = UnlockAccountRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        self._cloud.call(RDS, request)

    def reset_password(self, instance_id: str, name: str, password: str) -> None:
        """Give an account a new password (ResetAccountPassword)."""
        request = ResetAccountPasswordRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        self._cloud.call(RDS, request, secrets={"AccountPassword": password})

    def grant(self, instance_id: str, name: str, database: str, privilege: str) -> None:
        """Give an account a privilege on a database (GrantAccountPrivilege)."""
        request = GrantAccountPrivilegeRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        request.set_DBName(database)
        request.set_AccountPrivilege(privilege)
        self._cloud.call(RDS, request)

    def revoke(self, instance_id: str, name: str, database: str) -> None:
        """Take an account's privilege away, if it has it (RevokeAccountPrivilege).

        A refusal does not matter, for the privilege ends with the account.
        """
        request = RevokeAccountPrivilegeRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        request.set_DBName(database)
        try:
            self._cloud.call(RDS, request)
        except CloudError as error:
            if error.kind in {Kind.RETRY, Kind.THROTTLED, Kind.UNKNOWN}:
                raise

    def delete_account(self, instance_id: str, name: str) -> None:
        """Delete an account, if it is there (DeleteAccount)."""
        request = DeleteAccountRequest()
        request.set_DBInstanceId(instance_id)
        request.set_AccountName(name)
        try:
            self._cloud.call(RDS, request)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise


def users_of(database: Item) -> dict[str, str]:
    """Return the privileges on a database by account (DescribeDatabases)."""
    privileges = (database.get("Accounts") or {}).get("AccountPrivilegeInfo") or []
    return {str(one["Account"]): str(one.get("AccountPrivilege") or "") for one in privileges}


def privileges_of(account: Item) -> dict[str, str]:
    """Return the privileges of an account by database (DescribeAccounts)."""
    privileges = (account.get("DatabasePrivileges") or {}).get("DatabasePrivilege") or []
    return {str(one["DBName"]): str(one.get("AccountPrivilege") or "") for one in privileges}
