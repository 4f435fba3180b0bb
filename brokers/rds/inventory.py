"""What exists in RDS that carries our mark: instances by tag, accounts by their description."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import (
    KEPT,
    KEPT_TAG,
    OWNER_TAG,
    PLAN_TAG,
    marked,
    tag_text,
)
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import NOTHING, Found, Json, TryAgainError
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.account_calls import AccountCalls, privileges_of, users_of
from alibroker.brokers.rds.calls import TAGGED_AT_ONCE, Item, RdsCalls
from alibroker.brokers.rds.engines import ENGINES
from alibroker.brokers.rds.facts import facts_of
from alibroker.brokers.rds.marks import seconds
from alibroker.brokers.rds.order import category_of, read_order
from alibroker.brokers.rds.retired import Retirement
from alibroker.brokers.rds.status import CREATING, DELETING_STATUSES, RUNNING

INSTANCE: Final = "RDS instance"
ACCOUNT: Final = "RDS account"
RETIRED_ACCOUNT: Final = "retired RDS account"
_ATTEMPTS: Final = 3
_PASSING: Final = frozenset({Kind.RETRY, Kind.THROTTLED, Kind.UNKNOWN})
_LONGEST_PAUSE: Final = 15.0  # seconds
_T = TypeVar("_T")


class RdsInventory:
    """Lists what is ours, and marks what is to stay."""

    def __init__(
        self,
        calls: RdsCalls,
        account_calls: AccountCalls,
        retirement: Retirement,
        settings: CloudSettings,
        plans: Mapping[str, Json],
    ) -> None:
        """Take the settings of all plans by plan id, to tell parameters from what the plan says."""
        self._calls = calls
        self._account_calls = account_calls
        self._retirement = retirement
        self._settings = settings
        self._plans = plans

    def found(self) -> list[Found]:
        """Return our instances and their accounts, but for what is being deleted.

        A call for 100 instances (DescribeDBInstances), one or more for the tags of 50
        (ListTagResources), and for each instance one for its attributes and one for each 200 of its
        accounts (DescribeDBInstanceAttribute, DescribeAccounts): the lists hold neither storage nor
        accounts. A call that fails for now is tried again twice.

        Raises:
            TryAgainError: A call failed, whatever the reason; but an instance may be so busy that
                only its accounts cannot be listed.
        """
        owner = self._settings.name
        try:
            listed = self._ask(lambda: self._calls.all_instances((OWNER_TAG, owner)))
            items = [one for one in listed if one.get("DBInstanceStatus") not in DELETING_STATUSES]
            found: list[Found] = []
            for start in range(0, len(items), TAGGED_AT_ONCE):
                part = {str(one["DBInstanceId"]): one for one in items[start:][:TAGGED_AT_ONCE]}
                tags = self._ask(lambda part=part: self._calls.tags_of(list(part)))  # type: ignore[misc]
                for name, item in part.items():
                    if tags[name].get(OWNER_TAG) == owner:
                        found += self._look(item, tags[name])
        except CloudError as error:
            raise TryAgainError(str(error), after=error.after) from error
        return found

    def check_region(self, resource: Json) -> None:
        """Let nothing be asked about an instance of another region.

        Raises:
            TryAgainError: It is one; here it would seem to be missing.
        """
        region = str(resource.get("region") or self._settings.region)
        if region != self._settings.region:
            name = resource["instance_id"]
            raise TryAgainError(f"{name} is in {region}, not in {self._settings.region}")

    def exists(self, resource: Json, *, of_binding: bool) -> bool:
        """Tell whether there is an instance, or an account of it, that is not being deleted.

        Raises:
            TryAgainError: The call failed, whatever the reason.
        """
        name = str(resource["instance_id"])
        try:
            item = self._ask(lambda: self._calls.instance(name))
            if item is None:
                return self._ask(lambda: self._calls.is_listed(name))
            if item["DBInstanceStatus"] in DELETING_STATUSES:
                return False
            account = str(resource["username"]) if of_binding else ""
            return not account or bool(
                self._ask(lambda: self._account_calls.account(name, account))
            )
        except CloudError as error:
            raise TryAgainError(str(error), after=error.after) from error

    def keep(self, found: Found) -> None:
        """Mark an instance as kept; an account is kept together with its instance.

        Raises:
            TryAgainError: The call failed, whatever the reason.
        """
        instance_id = str(found.resource["instance_id"])
        try:
            self._ask(lambda: self._calls.tag(instance_id, {KEPT_TAG: KEPT}))
        except CloudError as error:
            raise TryAgainError(str(error), after=error.after) from error

    def _look(self, listed: Item, tags: Mapping[str, str]) -> list[Found]:
        """Return an instance and its accounts; nothing if it has been deleted meanwhile."""
        name = str(listed["DBInstanceId"])
        item = self._ask(lambda: self._calls.instance(name))
        if item is None:
            if self._ask(lambda: self._calls.is_listed(name)):
                raise TryAgainError(f"{name} is listed, but its attributes cannot be read")
            return []
        if item["DBInstanceStatus"] in DELETING_STATUSES:
            return []
        instance = _instance(item, listed, tags, self._parameters(item, tags))
        if item["DBInstanceStatus"] == CREATING:
            return [instance]  # it can have no account yet
        try:
            listed_accounts = self._ask(lambda: self._account_calls.accounts(name))
            granted = self._granted(item, listed_accounts)
        except CloudError:
            if item["DBInstanceStatus"] == RUNNING:
                raise
            # Busy or stopped; one that stays so must not keep all others from being looked at.
            return [replace(instance, contents_unknown=True)]
        if item["DBInstanceStatus"] == RUNNING:
            engine = ENGINES.get(str(item.get("Engine")))
            locks = engine is not None and engine.has_locks
            self._retirement.try_again(name, listed_accounts, locks=locks)
        found = [instance]
        for account in listed_accounts:
            description = str(account.get("AccountDescription") or "")
            if accounts.is_retired(description):
                found.append(_retired(account, instance))
            elif accounts.is_marked(description):
                found.append(_account(account, item, instance, granted))
        return found

    def _granted(self, item: Item, listed: list[Item]) -> Mapping[str, Mapping[str, str]]:
        """Return the privileges by account and database, from where the engine shows them."""
        engine = ENGINES.get(str(item.get("Engine")))
        marked_ones = [
            one for one in listed if accounts.is_marked(str(one.get("AccountDescription") or ""))
        ]
        if engine is None or not engine.has_locks or not marked_ones:
            return {str(one["AccountName"]): privileges_of(one) for one in marked_ones}
        found: dict[str, dict[str, str]] = {}
        name = str(item["DBInstanceId"])
        for database in self._ask(lambda: self._account_calls.all_databases(name)):
            for account, privilege in users_of(database).items():
                found.setdefault(account, {})[str(database["DBName"])] = privilege
        return found

    def _parameters(self, item: Item, tags: Mapping[str, str]) -> Json:
        """Return the parameters with which the plan makes such an instance."""
        plan = self._plans.get(tag_text(tags.get(PLAN_TAG, "")))
        if plan is None:
            return NOTHING
        wanted: dict[str, str | int | bool] = {
            name: str(item[key])
            for name, key in (("VpcID", "VpcId"), ("VSwitchID", "VSwitchId"), ("ZoneId", "ZoneId"))
            if item.get(key)
        }
        if item.get("DeletionProtection"):
            wanted["DeletionProtection"] = True
        facts = facts_of(item)
        # In this order, for a version can mean another class, and a class another kind of disk.
        for parameter, fact in (
            ("EngineVersion", "engine_version"),
            ("Class", "instance_class"),
            ("StorageType", "storage_type"),
            ("Storage", "storage"),
        ):
            usual = getattr(read_order(plan, wanted, self._settings), fact)
            if fact in facts and facts[fact] != usual:
                wanted[parameter] = facts[fact]
        order = read_order(plan, wanted, self._settings)
        if order.category != category_of(order.instance_class):
            wanted["Category"] = category_of(order.instance_class)
        return wanted

    def _ask(self, call: Callable[[], _T]) -> _T:
        """Call, and again if what is wrong may have passed."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return call()
            except CloudError as error:
                if error.kind not in _PASSING:
                    raise
                time.sleep(min(error.after or self._settings.poll_interval, _LONGEST_PAUSE))
        return call()


def _instance(item: Item, listed: Item, tags: Mapping[str, str], parameters: Json) -> Found:
    return replace(
        marked(INSTANCE, str(item["DBInstanceId"]), tags),
        created_at=seconds(item.get("CreationTime") or listed.get("CreateTime")),
        resource=facts_of(item),
        parameters=parameters,
    )


def _account(
    account: Item, item: Item, instance: Found, privileges: Mapping[str, Mapping[str, str]]
) -> Found:
    name = str(account["AccountName"])
    binding_id = accounts.marked_binding(str(account["AccountDescription"]))
    granted = privileges.get(name, {})
    resource = {"instance_id": instance.name, "username": name}
    parameters = {"Username": name}
    if granted:
        database = accounts.DATABASE if accounts.DATABASE in granted else min(granted)
        parameters["Database"] = database
        if len(granted) == 1:  # with more, somebody has added some, and a record may name any
            resource["database"] = database
        engine = ENGINES.get(str(item.get("Engine")))
        access = engine.access_of(granted[database]) if engine else ""
        if access:
            parameters["Access"] = access
    return Found(
        kind=ACCOUNT,
        name=f"{instance.name}/{name}",
        # Without a binding it would look like what the instance itself is.
        main=bool(binding_id),
        instance_id=instance.instance_id,
        binding_id=binding_id,
        service_id=instance.service_id,
        plan_id=instance.plan_id,
        organization_guid=instance.organization_guid,
        space_guid=instance.space_guid,
        kept=instance.kept,
        resource=resource,
        parameters=parameters,
    )


def _retired(account: Item, instance: Found) -> Found:
    """Return an account whose binding is gone, as the part of its instance that it is now."""
    return Found(
        kind=RETIRED_ACCOUNT,
        name=f"{instance.name}/{account['AccountName']}",
        main=False,
        instance_id=instance.instance_id,
        service_id=instance.service_id,
        plan_id=instance.plan_id,
        organization_guid=instance.organization_guid,
        space_guid=instance.space_guid,
        kept=instance.kept,
    )
