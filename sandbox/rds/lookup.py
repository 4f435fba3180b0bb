"""Finding instances as they are at a moment, and the states that actions demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.rds.documents import Account, Database, Instance
    from alibroker.sandbox.rpc import Call


def live(cloud: Cloud, now: float) -> list[Instance]:
    """Return the instances that exist, in order of creation, and forget those that are gone."""
    gone = [key for key, found in cloud.instances.items() if found.gone_at and found.gone_at <= now]
    for key in gone:
        cloud.instances.remove(key)
    return [settled(found, now) for found in cloud.instances.values()]


def settled(instance: Instance, now: float) -> Instance:
    """Return the instance with everything applied whose time has come."""
    change = instance.change
    if change and change.done_at <= now:
        instance = msgspec.structs.replace(
            instance,
            class_code=change.class_code,
            storage=change.storage,
            storage_type=change.storage_type,
            tls=change.tls,
            tde=change.tde,
            change=None,
        )
    accounts, databases = instance.accounts, instance.databases
    if accounts and any(0 < account.gone_at <= now for account in accounts.values()):
        instance = msgspec.structs.replace(
            instance,
            accounts={
                name: account
                for name, account in accounts.items()
                if not account.gone_at or account.gone_at > now
            },
        )
    if databases and any(0 < found.gone_at <= now for found in databases.values()):
        instance = msgspec.structs.replace(
            instance,
            databases={
                name: found
                for name, found in databases.items()
                if not found.gone_at or found.gone_at > now
            },
        )
    return instance


def find(call: Call) -> Instance:
    """Return the instance that DBInstanceId names.

    Raises:
        ApiError: MissingParameter, InvalidDBInstanceId.NotFound or InvalidDBInstanceName.NotFound.
    """
    name = call.parameters.text("DBInstanceId")
    instance = call.cloud.instances.get(name)
    if instance is None or (instance.gone_at and instance.gone_at <= call.now):
        raise not_found(call.cloud)
    return settled(instance, call.now)


def find_listed(call: Call) -> Instance:
    """Return the instance if reads know it already.

    Raises:
        ApiError: As find().
    """
    instance = find(call)
    if call.now < instance.listed_at:
        raise not_found(call.cloud)
    return instance


def not_found(cloud: Cloud) -> ApiError:
    """Build the error for an unknown instance, in the form that the settings choose."""
    if cloud.settings.not_found_form == "name":
        return ApiError(
            404,
            "InvalidDBInstanceName.NotFound",
            "The database instance does not exist.",
        )
    return ApiError(404, "InvalidDBInstanceId.NotFound", "The specified instance is not found.")


def demand_running(instance: Instance, now: float) -> None:
    """Refuse what only a running instance can do.

    Raises:
        ApiError: IncorrectDBInstanceState.
    """
    if instance.status(now) != "Running":
        raise ApiError(
            403,
            "IncorrectDBInstanceState",
            "The current instance state does not support this operation.",
        )


def demand_settled(instance: Instance, now: float) -> None:
    """Refuse account, database and grant actions until an instance has settled.

    The real service refuses them for a while after the status has become Running.

    Raises:
        ApiError: IncorrectDBInstanceState.
    """
    demand_running(instance, now)
    if now < instance.settled_at:
        raise ApiError(
            403,
            "IncorrectDBInstanceState",
            "The current instance state does not support this operation.",
        )


def find_account(call: Call, instance: Instance) -> Account:
    """Return the account that AccountName names.

    Raises:
        ApiError: MissingParameter, InvalidAccountName.NotFound.
    """
    account = instance.accounts.get(call.parameters.text("AccountName"))
    if account is None:
        raise ApiError(
            404, "InvalidAccountName.NotFound", "The specified account name does not exist."
        )
    return account


def find_database(instance: Instance, name: str, code: str = "InvalidDBName.NotFound") -> Database:
    """Return a database of an instance.

    Raises:
        ApiError: InvalidDBName.NotFound, or `code`.
    """
    database = instance.databases.get(name)
    if database is None:
        raise ApiError(404, code, "The specified database does not exist.")
    return database
