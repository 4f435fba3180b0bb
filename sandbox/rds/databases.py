"""Databases and grants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds import accounts, catalog, rules
from alibroker.sandbox.rds.documents import Database, Grant, Instance
from alibroker.sandbox.rds.lookup import (
    demand_running,
    demand_settled,
    find,
    find_account,
    find_database,
    find_listed,
)

if TYPE_CHECKING:
    from alibroker.sandbox.rpc import Answer, Call

CREATING_SECONDS = (2.0, 8.0)
DELETING_SECONDS = (4.0, 8.0)
GRANT_SECONDS = (1.0, 5.0)
_PRIVILEGES = {
    "MySQL": ("ReadWrite", "ReadOnly", "DDLOnly", "DMLOnly"),
    "MariaDB": ("ReadWrite", "ReadOnly", "DDLOnly", "DMLOnly"),
    "PostgreSQL": ("DBOwner",),
    "SQLServer": ("ReadWrite", "ReadOnly", "DBOwner"),
}


def create_database(call: Call) -> Answer:
    """Create a database; it is Running after a while."""
    instance = find(call)
    name = call.parameters.text("DBName")
    charset = call.parameters.text("CharacterSetName")
    rules.check_database_name(name)
    known = catalog.CHARSETS.get(instance.engine)
    postgres = instance.engine == "PostgreSQL"
    if (known and charset not in known) or (postgres and not charset.split(",")[0]):
        raise ApiError(
            400, "InvalidCharacterSetName.Format", "Specified character set name is not valid."
        )
    demand_settled(instance, call.now)
    if name in instance.databases:
        raise ApiError(400, "InvalidDBName.Duplicate", "Specified DB name already exists.")
    if len(instance.databases) >= call.cloud.settings.databases_per_instance:
        raise ApiError(403, "DatabaseLimitExceeded", "The database quota is used up.")
    database = Database(
        name=name,
        charset=charset,
        ready_at=call.cloud.later(call.now, *CREATING_SECONDS),
        description=call.parameters.get("DBDescription"),
        listed_at=call.cloud.later(call.now, *accounts.LIST_LAG_SECONDS),
    )
    _save(call, instance, database)
    return {}


def describe_databases(call: Call) -> Answer:
    """List an instance's databases and who may use them."""
    instance = find_listed(call)
    size = call.parameters.integer("PageSize", 30, 30, 100, "InvalidPageSize.Malformed")
    number = call.parameters.integer("PageNumber", 1, 1, 1_000_000, "InvalidPageNumber.Malformed")
    name = call.parameters.get("DBName")
    status = call.parameters.get("DBStatus")
    demand_running(instance, call.now)
    found = [
        database
        for database in instance.databases.values()
        if database.listed_at <= call.now
        and (not name or database.name == name)
        and (not status or database.status(call.now) == status)
    ]
    page = found[(number - 1) * size : number * size]
    return {"Databases": {"Database": [_describe(call, instance, d) for d in page]}}


def delete_database(call: Call) -> Answer:
    """Delete a database with its grants; it is gone after a while."""
    instance = find(call)
    database = find_database(instance, call.parameters.text("DBName"))
    demand_settled(instance, call.now)
    if database.status(call.now) != "Running":
        raise ApiError(
            403, "OperationDenied.DBStatus", "The database state does not support this operation."
        )
    holders = {
        name: msgspec.structs.replace(
            account,
            grants={other: g for other, g in account.grants.items() if other != database.name},
        )
        for name, account in instance.accounts.items()
    }
    instance = msgspec.structs.replace(instance, accounts=holders)
    gone = call.cloud.later(call.now, *DELETING_SECONDS)
    _save(call, instance, msgspec.structs.replace(database, gone_at=gone))
    return {}


def grant_account_privilege(call: Call) -> Answer:
    """Grant privileges on one or more databases; reads show them after a while."""
    instance = find(call)
    names = call.parameters.text("DBName").split(",")
    privileges = call.parameters.text("AccountPrivilege").split(",")
    account = find_account(call, instance)
    if len(names) != len(privileges):
        raise ApiError(
            400,
            "InvalidDBNameOrAccountPrivilege",
            "DBName and AccountPrivilege must have the same number of entries.",
        )
    if not set(privileges) <= set(_PRIVILEGES[instance.engine]):
        raise ApiError(
            400,
            "InvalidAccountPrivilege.Malformed",
            f"AccountPrivilege must be one of {', '.join(_PRIVILEGES[instance.engine])}.",
        )
    for name in names:
        database = find_database(instance, name, "InvalidDB.NotFound")
        if database.status(call.now) != "Running":
            raise ApiError(
                403,
                "OperationDenied.DBStatus",
                "The database state does not support this operation.",
            )
    demand_settled(instance, call.now)
    if account.type != "Normal":
        raise ApiError(
            403,
            "IncorrectAccountPrivilegeType",
            "The privileges of this type of account cannot be changed.",
        )
    accounts.demand_available(account, call.now)
    visible = call.cloud.later(call.now, *GRANT_SECONDS)
    grants = dict(account.grants)
    for name, privilege in zip(names, privileges, strict=True):
        grants[name] = Grant(privilege, visible)
    accounts.save(call, instance, msgspec.structs.replace(account, grants=grants))
    return {}


def revoke_account_privilege(call: Call) -> Answer:
    """Revoke an account's privilege on a database."""
    instance = find(call)
    account = find_account(call, instance)
    database = find_database(instance, call.parameters.text("DBName"), "InvalidDB.NotFound")
    if instance.engine == "PostgreSQL":
        raise ApiError(
            400,
            "EngineNotSupported",
            "Privileges cannot be revoked on this engine through the API.",
        )
    demand_settled(instance, call.now)
    accounts.demand_available(account, call.now)
    if database.name not in account.grants:
        raise ApiError(
            400, "InvalidAccountPrivilege.NotFound", "The account has no such privilege."
        )
    grants = {name: grant for name, grant in account.grants.items() if name != database.name}
    accounts.save(call, instance, msgspec.structs.replace(account, grants=grants))
    return {}


def _save(call: Call, instance: Instance, database: Database) -> None:
    databases = {**instance.databases, database.name: database}
    call.cloud.instances.put(instance.id, msgspec.structs.replace(instance, databases=databases))


def _describe(call: Call, instance: Instance, database: Database) -> Answer:
    privileges = [
        {
            "Account": account.name,
            "AccountPrivilege": accounts.shown_privilege(instance.engine, grant.privilege),
            "AccountPrivilegeDetail": grant.privilege,
        }
        for account in instance.accounts.values()
        if (grant := account.grants.get(database.name)) and grant.visible_at <= call.now
    ]
    return {
        "DBInstanceId": instance.id,
        "DBName": database.name,
        "DBStatus": database.status(call.now),
        "Engine": instance.engine,
        "CharacterSetName": database.charset,
        "DBDescription": database.description,
        "Accounts": {"AccountPrivilegeInfo": privileges},
    }
