"""The steps of bind: choose a password, create the account, grant it its database."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.engines import Engine, Login, database_fault
from alibroker.brokers.rds.plans import engine_of
from alibroker.brokers.rds.switches import CA_URL, TLS

BOUND: Final = "bound"
"""Name of the fact that a bind has ended well."""
POLL_SECONDS: Final = 6.0
"""An account is usable after 2 to 10 seconds, a grant shown after 1 to 5: two looks, then one."""
_PATIENCE: Final = 5  # so many polls until something that was asked for is asked for again


class Bind:
    """Gives each binding an account of its own with the access asked for to one database."""

    def __init__(self, calls: RdsCalls, settings: CloudSettings) -> None:
        self._calls = calls
        self._poll = min(POLL_SECONDS, settings.poll_interval)

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
        charset = str(work.parameters.get("CharacterSet") or engine_of(work).charset)
        self._calls.create_database(instance_id, _database(work), charset)
        try:
            self._calls.create_account(
                instance_id, name, password, accounts.marker(work.binding_id)
            )
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
            if account.get("AccountDescription") != accounts.marker(work.binding_id):
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
        engine, database = engine_of(work), _database(work)
        privilege = engine.privileges[accounts.access(work)]
        if _has(account, engine, database, privilege):
            return self._succeeded(work, engine)
        if self._recent(work, "granted_at"):
            return self._wait(work, "The account gets its privileges", {})
        try:
            self._calls.grant(instance_id, name, database, privilege)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND or "Instance" in error.code:
                raise
            # The database was created a moment ago and is not there for everybody yet.
            return self._wait(work, "The database is being created", {})
        return self._wait(work, "The account gets its privileges", {"granted_at": work.now})

    def _wait(self, work: Work, text: str, more: Json) -> InProgress:
        state = {**work.state, "phase": "grant", **more}
        return InProgress(description=text, state=state, poll_after=self._poll)

    def _recent(self, work: Work, event: str) -> bool:
        return work.now - float(work.state.get(event, 0.0)) < self._poll * _PATIENCE

    def _succeeded(self, work: Work, engine: Engine) -> Succeeded:
        facts = work.resource
        if not (facts.get("host") and facts.get("port")):
            item = self._calls.instance(facts["instance_id"]) or {}
            facts = {**facts, "host": item.get("ConnectionString"), "port": item.get("Port")}
        host, port = str(facts["host"] or ""), str(facts["port"] or "")
        login = Login(
            host=host,
            port=port,
            username=work.binding_resource["username"],
            password=work.state["password"],
            database=_database(work),
            tls=bool(facts.get(TLS)),
        )
        return Succeeded(
            resource={BOUND: True},
            credentials=accounts.credentials(engine, login, str(facts.get(CA_URL) or "")),
            endpoints=({"host": host, "ports": [port], "protocol": "tcp"},),
        )


def _intend(work: Work) -> Step:
    """Choose name and password, and make them durable before the cloud hears of them."""
    if not work.resource.get("instance_id"):
        return Failed(reason="the service instance has no database")
    engine = engine_of(work)
    # An adopted binding has an account already.
    known = work.binding_resource
    name = str(known.get("username") or accounts.account_name(work))
    database = str(known.get("database") or accounts.database_name(work))
    chosen = work.binding_parameters.get("Password")
    wrong = (
        engine.account_fault(name)
        or database_fault(database)
        or (accounts.password_fault(str(chosen)) if chosen else None)
    )
    if accounts.access(work) not in engine.privileges:
        choices = ", ".join(engine.privileges)
        wrong = f"parameters/Access: with {engine.name} this can be {choices}"
    if wrong is not None:
        return Failed(reason=wrong)
    return InProgress(
        description="The account is being prepared",
        state={"phase": "create", "password": str(chosen or accounts.new_password())},
        resource={
            "instance_id": work.resource["instance_id"],
            "username": name,
            "database": database,
        },
    )


def _database(work: Work) -> str:
    return str(work.binding_resource.get("database") or accounts.DATABASE)


def _has(account: Item, engine: Engine, database: str, privilege: str) -> bool:
    known = {privilege, engine.shown.get(privilege, privilege)}
    privileges = (account.get("DatabasePrivileges") or {}).get("DatabasePrivilege") or []
    return any(
        item.get("DBName") == database and item.get("AccountPrivilege") in known
        for item in privileges
    )
