"""Database accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds import rules
from alibroker.sandbox.rds.documents import Account, Instance
from alibroker.sandbox.rds.lookup import (
    demand_running,
    demand_settled,
    find,
    find_account,
    find_listed,
)

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call

AVAILABLE_SECONDS = (2.0, 10.0)
DELETING_SECONDS = (1.0, 5.0)
LIST_LAG_SECONDS = (0.5, 2.0)
_TYPES = {
    "MySQL": ("Normal", "Super"),
    "MariaDB": ("Normal", "Super"),
    "PostgreSQL": ("Normal", "Super"),
    "SQLServer": ("Normal", "Super", "Sysadmin", "GlobalRO"),
}
# The read-back text of a grant differs from the text that was asked for.
_SHOWN_PRIVILEGES = {("PostgreSQL", "DBOwner"): "ALL", ("SQLServer", "DBOwner"): "DbOwner"}


def create_account(call: Call) -> Answer:
    """Create an account; it becomes Available after a while."""
    instance = find(call)
    parameters = call.parameters
    name = parameters.text("AccountName")
    password = parameters.text("AccountPassword")
    kind = parameters.get("AccountType", "Normal")
    rules.check_account_name(instance.engine, instance.version, name)
    rules.check_password(password)
    if kind not in _TYPES[instance.engine]:
        raise ApiError(400, "InvalidAccountType.Format", "Specified account type is not valid.")
    description = parameters.get("AccountDescription")
    rules.check_account_description(description)
    demand_settled(instance, call.now)
    _check_against_others(call, instance, name, kind)
    account = Account(
        name=name,
        type=kind,
        sealed_password=call.cloud.vault.seal(password),
        ready_at=call.cloud.later(call.now, *AVAILABLE_SECONDS),
        description=description,
        listed_at=call.cloud.later(call.now, *LIST_LAG_SECONDS),
    )
    save(call, instance, account)
    return {}


def _check_against_others(call: Call, instance: Instance, name: str, kind: str) -> None:
    names = {other.lower() for other in instance.accounts}
    if name in instance.accounts or (instance.engine == "MySQL" and name.lower() in names):
        raise ApiError(
            400, "InvalidAccountName.Duplicate", "Specified account name already exists."
        )
    engines = call.cloud.settings.first_account_super
    wanted = engines if isinstance(engines, bool) else instance.engine in engines
    if wanted and not instance.accounts and kind in ("Normal", "GlobalRO"):
        raise ApiError(400, "InvalidAccountType.Format", "The first account can't be normal type.")
    if len(instance.accounts) >= call.cloud.settings.accounts_per_instance:
        raise ApiError(
            403, "AccountLimitExceeded", "AccountQuotaExceeded: the account quota is used up."
        )
    one_super = instance.engine != "PostgreSQL" and kind == "Super"
    if one_super and any(other.type == "Super" for other in instance.accounts.values()):
        raise ApiError(403, "IncorrectAccountType", "The instance has a Super account already.")


def describe_accounts(call: Call) -> Answer:
    """List an instance's accounts and their grants; passwords are never shown."""
    instance = find_listed(call)
    size = call.parameters.integer("PageSize", 30, 30, 200, "InvalidPageSize.Malformed")
    number = call.parameters.integer("PageNumber", 1, 1, 1_000_000, "InvalidPageNumber.Malformed")
    name = call.parameters.get("AccountName")
    demand_running(instance, call.now)
    found = [
        account
        for account in instance.accounts.values()
        if account.listed_at <= call.now and (not name or account.name == name)
    ]
    page = found[(number - 1) * size : number * size]
    return {
        "Accounts": {"DBInstanceAccount": [_describe(call, instance, a) for a in page]},
        "PageNumber": number,
        "TotalRecordCount": len(found),
    }


def reset_account_password(call: Call) -> Answer:
    """Replace an account's password."""
    instance = find(call)
    password = call.parameters.text("AccountPassword")
    account = find_account(call, instance)
    rules.check_password(password)
    demand_settled(instance, call.now)
    demand_available(account, call.now)
    sealed = call.cloud.vault.seal(password)
    save(call, instance, msgspec.structs.replace(account, sealed_password=sealed))
    return {}


def delete_account(call: Call) -> Answer:
    """Delete an account; it is gone after a while."""
    instance = find(call)
    account = find_account(call, instance)
    demand_settled(instance, call.now)
    demand_available(account, call.now)
    if _has_dependents(call, instance, account):
        raise ApiError(401, "AccountActionForbidden", "Some objects depend on account.")
    gone = call.cloud.later(call.now, *DELETING_SECONDS)
    save(call, instance, msgspec.structs.replace(account, gone_at=gone))
    return {}


def modify_account_description(call: Call) -> Answer:
    """Change an account's description."""
    instance = find(call)
    account = find_account(call, instance)
    description = call.parameters.text("AccountDescription")
    rules.check_account_description(description)
    demand_running(instance, call.now)
    save(call, instance, msgspec.structs.replace(account, description=description))
    return {}


def lock_account(call: Call) -> Answer:
    """Let nobody log in with an account; sessions that are open go on."""
    return _lock(call, locked=True)


def unlock_account(call: Call) -> Answer:
    """Let an account log in again."""
    return _lock(call, locked=False)


def _lock(call: Call, *, locked: bool) -> Answer:
    instance = find(call)
    account = find_account(call, instance)
    if instance.engine != "PostgreSQL" or instance.storage_type == "local_ssd":
        raise ApiError(400, "EngineNotSupported", "The engine does not support this operation.")
    demand_settled(instance, call.now)
    if account.status(call.now) == "Unavailable":
        demand_available(account, call.now)
    save(call, instance, msgspec.structs.replace(account, locked=locked))
    return {}


def _has_dependents(call: Call, instance: Instance, account: Account) -> bool:
    """Tell whether objects of a database depend on an account: PostgreSQL keeps it for them."""
    if instance.engine != "PostgreSQL":
        return False
    if call.cloud.settings.grants_keep_accounts and account.grants:
        return True
    return call.cloud.servers.depend(instance.id, account.name)


def demand_available(account: Account, now: float) -> None:
    """Refuse actions on an account that is being created or deleted.

    Raises:
        ApiError: IncorrectAccountStatus.
    """
    if account.status(now) != "Available":
        raise ApiError(
            400,
            "IncorrectAccountStatus",
            "The current account state does not support this operation.",
        )


def save(call: Call, instance: Instance, account: Account) -> None:
    """Store an account in its instance."""
    accounts = {**instance.accounts, account.name: account}
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, accounts=accounts))


def shown_privilege(engine: str, privilege: str) -> str:
    """Return a privilege as the read actions write it."""
    return _SHOWN_PRIVILEGES.get((engine, privilege), privilege)


def _describe(call: Call, instance: Instance, account: Account) -> Answer:
    privileges = [
        {
            "DBName": database,
            "AccountPrivilege": shown_privilege(instance.engine, grant.privilege),
            "AccountPrivilegeDetail": grant.privilege,
        }
        for database, grant in account.grants.items()
        if grant.visible_at <= call.now
    ]
    return {
        "DBInstanceId": instance.id,
        "AccountName": account.name,
        "AccountStatus": account.status(call.now),
        "AccountType": account.type,
        "AccountDescription": account.description,
        "PrivExceeded": "0",
        "DatabasePrivileges": {"DatabasePrivilege": privileges},
    }
