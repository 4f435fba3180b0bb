"""The steps of bind: choose a password, create the account, grant it its database."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import NOTHING, Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.rds import accounts
from alibroker.brokers.rds.account_calls import AccountCalls, privileges_of, users_of
from alibroker.brokers.rds.calls import Item, RdsCalls
from alibroker.brokers.rds.engines import Engine, Login, database_fault
from alibroker.brokers.rds.plans import engine_of
from alibroker.brokers.rds.retired import Retirement
from alibroker.brokers.rds.switches import CA_URL, TLS

BOUND: Final = "bound"
"""Name of the fact that a bind has ended well."""
CREATED: Final = "created_database"
"""Name of the fact that this bind, which has not ended well yet, has created its database."""
POLL_SECONDS: Final = 6.0
"""An account is usable after 2 to 10 seconds, a grant shown after 1 to 5: two looks, then one."""
_FIRST_IS_PRIVILEGED: Final = "InvalidAccountType.Format"  # "The first account can't be normal"
_ONE_IS_THERE: Final = "IncorrectAccountType"  # of which an instance can have one
_PERHAPS_FOR_GOOD: Final = "Account.AddError"  # a lock is waited for, or a policy forbids it
_TRIES_OF_IT: Final = 20  # polls, two minutes
_PATIENCE: Final = 5  # so many polls until something that was asked for is asked for again
_ROUNDS: Final = 3  # so often it is asked for, until it counts as refused
_GRANTS: Final = 3  # so often a privilege is asked for that is not shown then


class Bind:
    """Gives each binding an account of its own with the access asked for to one database."""

    def __init__(
        self,
        calls: RdsCalls,
        account_calls: AccountCalls,
        retirement: Retirement,
        settings: CloudSettings,
    ) -> None:
        self._instances = calls
        self._calls = account_calls
        self._retirement = retirement
        self._poll = min(POLL_SECONDS, settings.poll_interval)

    def step(self, work: Work) -> Step:
        """Do the next step."""
        match work.state.get("phase"):
            case "create":
                return self._create(work)
            case "database":
                return self._create_database(work)
            case "grant":
                return self._grant(work)
            case _:
                return _intend(work)

    def _create(self, work: Work) -> Step:
        """Create the account; first of all, for it is what the cloud refuses most often."""
        instance_id, name = work.resource["instance_id"], work.binding_resource["username"]
        password = work.state["password"]
        try:
            self._calls.create_account(
                instance_id, name, password, accounts.marker(work.binding_id)
            )
        except CloudError as error:
            privileged = engine_of(work).may_want_a_privileged_account
            if privileged and error.code == _FIRST_IS_PRIVILEGED:
                return self._create_first(work, instance_id, error)
            if error.code == _PERHAPS_FOR_GOOD:
                return self._refused(work, error)
            if error.kind is not Kind.EXISTS:
                raise
            return self._exists(work, instance_id, name)
        return self._database_next(work)

    def _refused(self, work: Work, error: CloudError) -> Step:
        """Try again what may pass, but not for long, for it may not."""
        since = float(work.state.get("refused_since", work.now))
        if work.now - since > self._poll * _TRIES_OF_IT:
            return Failed(reason=f"{error}. If a Password was chosen, choose a stronger one")
        return InProgress(
            description="The account is being created",
            state={**work.state, "refused_since": since},
            poll_after=self._poll,
        )

    def _create_first(self, work: Work, instance_id: str, refusal: CloudError) -> Step:
        """Create the privileged account that the cloud wants to be the first one.

        Nobody is told its password, and it is kept nowhere: who needs the account resets it.
        """
        since = float(work.state.get("first_at", work.now))
        if work.now - since > self._poll * _PATIENCE:
            raise refusal  # for another reason
        try:
            self._calls.create_account(
                instance_id,
                accounts.FIRST,
                accounts.new_password(),
                accounts.FIRST_DESCRIPTION,
                privileged=True,
            )
        except CloudError as error:
            if error.kind is not Kind.EXISTS and error.code != _ONE_IS_THERE:
                raise
        return InProgress(
            description="The first account of the database is being created",
            state={**work.state, "first_at": since},
            poll_after=self._poll,
        )

    def _exists(self, work: Work, instance_id: str, name: str) -> Step:
        """Take an account that is there already, if it is this binding's own."""
        account = self._calls.account(instance_id, name)
        if account is None:
            # Created a moment ago and not listed yet, or just being deleted.
            return InProgress(
                description="The account is being created",
                state=work.state,
                poll_after=self._poll,
            )
        description = str(account.get("AccountDescription") or "")
        if description == accounts.retired_marker(work.binding_id):
            # Of a binding that had the same id.
            self._calls.describe_account(instance_id, name, accounts.marker(work.binding_id))
        elif description != accounts.marker(work.binding_id):
            return self._taken(work, instance_id, account)
        if account.get("AccountStatus") == accounts.LOCKED:
            self._calls.unlock_account(instance_id, name)
        # Ours, from an answer that was lost; whose password it has is not known.
        self._calls.reset_password(instance_id, name, work.state["password"])
        return self._database_next(work)

    def _taken(self, work: Work, instance_id: str, account: Item) -> Step:
        retired = accounts.is_retired(str(account.get("AccountDescription") or ""))
        if retired and not work.state.get("made_room"):
            locks = engine_of(work).has_locks
            self._retirement.try_again(instance_id, [account], locks=locks)
            return InProgress(
                description="An account of this name is being deleted",
                state={**work.state, "made_room": True},
                poll_after=self._poll,
            )
        what = (
            "an account of this name from an earlier binding, which cannot be deleted yet"
            if retired
            else "another account of this name"
        )
        return Failed(
            reason=f"parameters/Username: the database has {what}; choose a different one"
        )

    def _database_next(self, work: Work) -> InProgress:
        return InProgress(
            description="The database is being created",
            state={
                "phase": "database",
                "password": work.state["password"],
                "created_at": work.now,
                "rounds": work.state.get("rounds", 0) + 1,
            },
        )

    def _create_database(self, work: Work) -> Step:
        charset = str(work.parameters.get("CharacterSet") or engine_of(work).charset)
        created = self._calls.create_database(
            work.resource["instance_id"], _database(work), charset
        )
        # If this answer is lost, the database counts as found: one too many stays, none too many
        # goes.
        facts = {CREATED: True} if created else {}
        return self._wait(work, "The account is being created", {}, facts)

    def _grant(self, work: Work) -> Step:
        instance_id, name = work.resource["instance_id"], work.binding_resource["username"]
        engine = engine_of(work)
        account = self._look(work, instance_id, name, engine)
        if account is None:
            if self._recent(work, "created_at"):
                return self._wait(work, "The account is being created", {})
            return InProgress(
                description="The account is being created once more",
                state={"phase": "create", "password": work.state["password"]},
            )
        if account.get("AccountStatus") == accounts.LOCKED:
            self._calls.unlock_account(instance_id, name)
        if account.get("AccountStatus") != accounts.AVAILABLE:
            return self._wait(work, "The account is being created", {})
        database = _database(work)
        privilege = engine.privileges[accounts.access(work)]
        if self._has(instance_id, account, engine, database, privilege):
            return self._succeeded(work, engine)
        if self._recent(work, "granted_at"):
            return self._wait(work, "The account gets its privileges", {})
        grants = int(work.state.get("grants", 0))
        if grants >= _GRANTS:
            return Failed(
                reason=f"Alibaba Cloud does not show the privilege {privilege} on {database}, "
                f"although it took the request {grants} times"
            )
        try:
            self._calls.grant(instance_id, name, database, privilege)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND or "Instance" in error.code:
                raise
            # What was created a moment ago is not there for everybody yet.
            if self._recent(work, "created_at"):
                return self._wait(work, "The database is being created", {})
            if work.state.get("rounds", 0) >= _ROUNDS:
                raise
            return self._database_next(work)
        return self._wait(
            work,
            "The account gets its privileges",
            {"granted_at": work.now, "grants": grants + 1},
        )

    def _look(self, work: Work, instance_id: str, name: str, engine: Engine) -> Item | None:
        """Return the account; the first look is an occasion to delete retired ones as well."""
        if not engine.has_locks or work.state.get("looked"):
            return self._calls.account(instance_id, name)
        listed = self._calls.accounts(instance_id)
        self._retirement.try_again(instance_id, listed, locks=engine.has_locks)
        return next((one for one in listed if one.get("AccountName") == name), None)

    def _has(
        self, instance_id: str, account: Item, engine: Engine, database: str, privilege: str
    ) -> bool:
        """Tell whether the account is shown to have the privilege."""
        if engine.has_locks:
            # There is one privilege only, whatever it is called here.
            return any(
                account["AccountName"] in users_of(item)
                for item in self._calls.databases(instance_id, database)
            )
        known = {privilege, engine.shown.get(privilege, privilege)}
        return privileges_of(account).get(database) in known

    def _wait(self, work: Work, text: str, more: Json, facts: Json = NOTHING) -> InProgress:
        state = {**work.state, "phase": "grant", **more}
        if work.state.get("phase") == "grant":
            state["looked"] = True
        return InProgress(description=text, state=state, resource=facts, poll_after=self._poll)

    def _recent(self, work: Work, event: str) -> bool:
        return work.now - float(work.state.get(event, 0.0)) < self._poll * _PATIENCE

    def _succeeded(self, work: Work, engine: Engine) -> Succeeded:
        facts = work.resource
        if not (facts.get("host") and facts.get("port")):
            item = self._instances.instance(facts["instance_id"]) or {}
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
            resource={BOUND: True, CREATED: False},
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
