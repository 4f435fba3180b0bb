"""The steps of bind: choose a password, create the account, grant it its database."""

from __future__ import annotations

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.calls import Item, RdsCalls

BOUND = "bound"
"""Name of the fact that a bind has ended well."""
_POLL_SECONDS = 3.0
_PATIENCE = 10  # so many polls until something that was asked for is asked for again


class Bind:
    """Gives each binding an account of its own that reads and writes the instance's database."""

    def __init__(self, calls: RdsCalls, settings: CloudSettings) -> None:
        self._calls = calls
        self._poll = min(_POLL_SECONDS, settings.poll_interval)

    def step(self, work: Work) -> Step:
        """Do the next step."""
        match work.state.get("phase"):
            case "create":
                return self._create(work)
            case "grant":
                return self._grant(work)
            case _:
                return _intend(work)

    def _create(self, work: Work) -> Step:
        instance_id, name = work.resource["instance_id"], work.binding_resource["username"]
        password = work.state["password"]
        self._calls.create_database(instance_id, accounts.DATABASE)
        try:
            self._calls.create_account(instance_id, name, password, accounts.marker(work))
        except CloudError as error:
            if error.kind is not Kind.EXISTS:
                raise
            account = self._calls.account(instance_id, name)
            if account is None:
                # Created a moment ago and not listed yet, or just being deleted.
                return InProgress(
                    description="The account is being created",
                    state=work.state,
                    poll_after=self._poll,
                )
            if account.get("AccountDescription") != accounts.marker(work):
                return Failed(
                    reason="parameters/Username: the database has another account of this name; "
                    "choose a different one"
                )
            # Ours, from an answer that was lost; whose password it has is not known.
            self._calls.reset_password(instance_id, name, password)
        return self._wait(work, "The account is being created", {"created_at": work.now})

    def _grant(self, work: Work) -> Step:
        instance_id, name = work.resource["instance_id"], work.binding_resource["username"]
        account = self._calls.account(instance_id, name)
        if account is None:
            if self._recent(work, "created_at"):
                return self._wait(work, "The account is being created", {})
            return InProgress(
                description="The account is being created once more",
                state={"phase": "create", "password": work.state["password"]},
            )
        if account.get("AccountStatus") != "Available":
            return self._wait(work, "The account is being created", {})
        if _may_write(account):
            return Succeeded(resource={BOUND: True}, credentials=self._credentials(work))
        if self._recent(work, "granted_at"):
            return self._wait(work, "The account gets its privileges", {})
        try:
            self._calls.grant(instance_id, name, accounts.DATABASE)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            # The database was created a moment ago and is not there for everybody yet.
            return self._wait(work, "The database is being created", {})
        return self._wait(work, "The account gets its privileges", {"granted_at": work.now})

    def _wait(self, work: Work, text: str, more: Json) -> InProgress:
        state = {**work.state, "phase": "grant", **more}
        return InProgress(description=text, state=state, poll_after=self._poll)

    def _recent(self, work: Work, event: str) -> bool:
        return work.now - float(work.state.get(event, 0.0)) < self._poll * _PATIENCE

    def _credentials(self, work: Work) -> Json:
        facts = work.resource
        if not (facts.get("host") and facts.get("port")):
            item = self._calls.instance(facts["instance_id"]) or {}
            facts = {"host": item.get("ConnectionString", ""), "port": item.get("Port", "")}
        return accounts.credentials(
            host=facts["host"],
            port=str(facts["port"]),
            username=work.binding_resource["username"],
            password=work.state["password"],
            database=accounts.DATABASE,
        )


def _intend(work: Work) -> Step:
    """Choose name and password, and make them durable before the cloud hears of them."""
    if not work.resource.get("instance_id"):
        return Failed(reason="the service instance has no database")
    chosen = work.binding_parameters.get("Password")
    fault = accounts.password_fault(str(chosen)) if chosen else None
    if fault is not None:
        return Failed(reason=fault)
    return InProgress(
        description="The account is being prepared",
        state={"phase": "create", "password": str(chosen or accounts.new_password())},
        resource={"username": accounts.account_name(work), "database": accounts.DATABASE},
    )


def _may_write(account: Item) -> bool:
    privileges = (account.get("DatabasePrivileges") or {}).get("DatabasePrivilege") or []
    return any(
        item.get("DBName") == accounts.DATABASE and item.get("AccountPrivilege") == "ReadWrite"
        for item in privileges
    )
