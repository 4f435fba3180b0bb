"""What differs between the database engines: names, privileges, character sets, URIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

READ_WRITE: Final = "read-write"
READ_ONLY: Final = "read-only"
DDL: Final = "ddl"

_RESERVED_ACCOUNTS: Final = frozenset(
    {
        *("admin", "aliyun_root", "aurora", "eagleye", "guest", "information_schema", "mysql"),
        *("performance_schema", "postgres", "public", "replicator", "root", "sa", "sys", "test"),
        "xtrabak",
    }
)
_RESERVED_DATABASES: Final = frozenset(
    {
        *("information_schema", "master", "model", "msdb", "mysql", "performance_schema"),
        *("postgres", "sys", "tempdb", "template0", "template1", "test"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Login:
    """How a database is reached by one account."""

    host: str
    port: str
    username: str
    password: str = field(repr=False)
    database: str
    tls: bool
    """Whether the connection has to be encrypted."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One database engine of RDS."""

    name: str
    """As CreateDBInstance writes it."""
    scheme: str
    """Of the URI in credentials."""
    privileges: Mapping[str, str]
    """From the access that a user asks for to the privilege (GrantAccountPrivilege)."""
    charset: str
    """Of a new database, unless a parameter says otherwise (CreateDatabase)."""
    account_length: int
    """Characters that the name of an account may have in every version."""
    revokes: bool = True
    """Whether RevokeAccountPrivilege is there."""
    has_locks: bool = False
    """Whether accounts can be locked (LockAccount). Such an engine refuses to delete an account on
    which objects of a database depend, and shows privileges with the database and not with the
    account (DescribeDatabases)."""
    may_want_a_privileged_account: bool = False
    """Whether the cloud may refuse all accounts until there is a privileged one (CreateAccount)."""
    has_security_groups: bool = True
    """Whether security groups of ECS can be let in (ModifySecurityGroupConfiguration)."""
    has_tls: bool = True
    """Whether RDS offers TLS (ModifyDBInstanceSSL)."""
    tls_of_uri: str = ""
    """What makes clients insist on TLS, in `uri`; they need no certificate for it."""
    tls_of_jdbc: str = ""
    """The same, in `jdbcUrl`."""
    shown: Mapping[str, str]
    """Privileges that DescribeAccounts writes in another way."""

    def account_fault(self, name: str) -> str | None:
        """Say what to change in the name that a user chose for an account; None if it may stay."""
        longest = self.account_length
        if len(name) > longest or not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name):
            return (
                f"parameters/Username: use 2 to {longest} of a-z, 0-9 and _, the first a letter, "
                "the last no _"
            )
        if name in _RESERVED_ACCOUNTS or (self.name == "PostgreSQL" and name.startswith("pg")):
            return "parameters/Username: this name is reserved; choose another one"
        return None

    def access_of(self, privilege: str) -> str:
        """Return the access that a privilege, as DescribeAccounts writes it, was granted for."""
        for access, granted in self.privileges.items():
            if privilege in {granted, self.shown.get(granted)}:
                return access
        return ""

    def uri(self, login: Login) -> str:
        """Return the URI with user and password in it."""
        user, secret = quote(login.username, safe=""), quote(login.password, safe="")
        place = f"{login.host}:{login.port}/{login.database}"
        query = f"?{self.tls_of_uri}" if login.tls else ""
        return f"{self.scheme}://{user}:{secret}@{place}{query}"

    def jdbc_url(self, login: Login) -> str:
        """Return the URL for JDBC with user and password in it."""
        if self.name == "SQLServer":
            return (
                f"jdbc:sqlserver://{login.host}:{login.port};databaseName={login.database};"
                f"user={login.username};password={login.password}"
                f"{f';{self.tls_of_jdbc}' if login.tls else ''}"
            )
        query = urlencode({"user": login.username, "password": login.password})
        if login.tls:
            query += f"&{self.tls_of_jdbc}"
        scheme = "mariadb" if self.name == "MariaDB" else self.scheme
        return f"jdbc:{scheme}://{login.host}:{login.port}/{login.database}?{query}"


def database_fault(name: str) -> str | None:
    """Say what to change in the name that a user chose for a database; None if it may stay."""
    if name in _RESERVED_DATABASES:
        return "parameters/Database: this name is reserved; choose another one"
    return None


_OF_MYSQL: Final = {READ_WRITE: "ReadWrite", READ_ONLY: "ReadOnly", DDL: "DDLOnly"}
_ALL: Final = (
    Engine(
        name="MySQL",
        scheme="mysql",
        privileges=_OF_MYSQL,
        charset="utf8mb4",
        account_length=16,
        tls_of_uri="ssl-mode=REQUIRED",
        tls_of_jdbc="sslMode=REQUIRED",
        shown={},
    ),
    Engine(
        name="MariaDB",
        scheme="mysql",
        privileges=_OF_MYSQL,
        charset="utf8mb4",
        account_length=16,
        has_security_groups=False,
        has_tls=False,
        shown={},
    ),
    Engine(
        name="PostgreSQL",
        scheme="postgresql",
        privileges={READ_WRITE: "DBOwner"},
        charset="UTF8,C,en_US.utf8",
        account_length=16,
        revokes=False,
        has_locks=True,
        tls_of_uri="sslmode=require",
        tls_of_jdbc="sslmode=require",
        shown={"DBOwner": "ALL"},
    ),
    Engine(
        name="SQLServer",
        scheme="sqlserver",
        may_want_a_privileged_account=True,
        privileges={READ_WRITE: "ReadWrite", READ_ONLY: "ReadOnly", DDL: "DBOwner"},
        charset="SQL_Latin1_General_CP1_CI_AS",
        account_length=16,
        tls_of_uri="encrypt=true",
        tls_of_jdbc="encrypt=true;trustServerCertificate=true",
        shown={"DBOwner": "DbOwner"},
    ),
)
ENGINES: Final[Mapping[str, Engine]] = {engine.name: engine for engine in _ALL}
