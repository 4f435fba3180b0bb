"""MariaDB servers, which stand behind instances of the engines MySQL and MariaDB."""

from __future__ import annotations

import pwd
import shutil
from dataclasses import dataclass
from os import getuid
from typing import TYPE_CHECKING, Final

from alibroker.sandbox.rds.certificates import certificate
from alibroker.sandbox.rds.keeping import ServerError, ServerKind, Wanted, bound_to_us, run

if TYPE_CHECKING:
    from pathlib import Path

_PLACES: Final = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_SYSTEM: Final = frozenset({"mysql", "sys", "information_schema", "performance_schema"})
_HOST: Final = "127.0.0.1"
# After the vendor's table of the privileges that each permission stands for.
_PRIVILEGES: Final = {
    "ReadWrite": "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, "
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, "
    "ALTER ROUTINE, EVENT, TRIGGER",
    "ReadOnly": "SELECT, LOCK TABLES, SHOW VIEW",
    "DDLOnly": "CREATE, DROP, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, CREATE VIEW, "
    "SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE",
    "DMLOnly": "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, "
    "SHOW VIEW, EVENT, TRIGGER",
}


def find() -> dict[str, ServerKind]:
    """Return the kind of server by engine; empty if a program is missing."""
    names = ("mariadbd", "mariadb-install-db", "mariadb", "setpriv")
    found = [shutil.which(name) or shutil.which(name, path=_PLACES) for name in names]
    if not all(found):
        return {}
    kind = MariaDb(*map(str, found[:3]))
    return {"MySQL": kind, "MariaDB": kind}


@dataclass(frozen=True)
class MariaDb:
    """How MariaDB is run: as the sandbox's own user, with a socket in the data directory."""

    server: str
    install: str
    client: str

    def prepare(self, directory: Path) -> None:
        """Make the system tables, unless they are there."""
        if (directory / "prepared").exists():
            return
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        user = pwd.getpwuid(getuid()).pw_name
        command = [
            self.install,
            "--no-defaults",
            f"--datadir={directory / 'data'}",
            f"--user={user}",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={user}",
            "--innodb-log-file-size=4M",
            "--innodb-buffer-pool-size=16M",
        ]
        run(bound_to_us(command), directory)
        (directory / "prepared").touch()

    def command(self, directory: Path, port: int) -> list[str]:
        """Return the server's command line; the socket's path is relative, for it must be short."""
        paths = certificate(directory)
        return bound_to_us(
            [
                self.server,
                "--no-defaults",
                f"--user={pwd.getpwuid(getuid()).pw_name}",
                f"--datadir={directory / 'data'}",
                "--socket=socket",
                "--pid-file=pid",
                f"--port={port}",
                f"--bind-address={_HOST}",
                f"--ssl-cert={paths[0]}",
                f"--ssl-key={paths[1]}",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=16M",
                "--innodb-log-file-size=4M",
                "--performance-schema=OFF",
            ]
        )

    def answers(self, directory: Path, port: int) -> bool:  # noqa: ARG002 - the socket is enough
        """Tell whether the server takes commands."""
        try:
            self._sql(directory, "SELECT 1;")
        except ServerError:
            return False
        return True

    def depend(self, directory: Path, port: int, account: str) -> bool:  # noqa: ARG002
        """Tell whether objects depend on an account: here they never belong to one."""
        return False

    def apply(self, directory: Path, port: int, wanted: Wanted) -> None:  # noqa: ARG002
        """Bring databases, accounts and grants into the state wanted.

        Raises:
            ServerError: The server refuses.
        """
        users = self._sql(directory, "SELECT User FROM mysql.user WHERE Host = '127.0.0.1';")
        known = set(users.split())
        databases = set(self._sql(directory, "SHOW DATABASES;").split()) - _SYSTEM
        script = [f"DROP DATABASE {_name(name)};" for name in databases - set(wanted.databases)]
        script += [
            f"CREATE DATABASE {_name(name)} CHARACTER SET utf8mb4;"
            for name in wanted.databases
            if name not in databases
        ]
        leaving = known - {account.name for account in wanted.accounts}
        for name in leaving:
            script += [f"DROP USER {_user(name)};", f"KILL USER {_user(name)};"]
        for account in wanted.accounts:
            user = _user(account.name)
            # The lock stands for an allow list that lets nobody in.
            lock = "UNLOCK" if wanted.reachable else "LOCK"
            script += [
                f"CREATE USER IF NOT EXISTS {user};",
                f"ALTER USER {user} IDENTIFIED BY '{_text(account.password)}' ACCOUNT {lock};",
                f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user};",
            ]
            if account.is_super:
                script.append(f"GRANT ALL PRIVILEGES ON *.* TO {user};")
            script += [
                f"GRANT {_PRIVILEGES[privilege]} ON {_pattern(database)}.* TO {user};"
                for database, privilege in account.grants
            ]
        self._sql(directory, "\n".join(script))

    def _sql(self, directory: Path, script: str) -> str:
        command = [self.client, "--no-defaults", "--socket=socket", "-N", "--batch"]
        command.append(f"--user={pwd.getpwuid(getuid()).pw_name}")
        return run(command, directory / "data", script)


def _user(name: str) -> str:
    return f"'{_text(name)}'@'{_HOST}'"


def _text(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _name(database: str) -> str:
    return f"`{database.replace('`', '``')}`"


def _pattern(database: str) -> str:
    # In a grant an underscore would match any character.
    return _name(database.replace("_", "\\_"))
