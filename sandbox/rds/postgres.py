"""PostgreSQL servers, which stand behind instances of the engine PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alibroker.sandbox.rds.certificates import certificate
from alibroker.sandbox.rds.keeping import ServerError, ServerKind, Wanted, bound_to_us, run
from alibroker.sandbox.vault import write_private

_DEBIAN: Final = Path("/usr/lib/postgresql")
_HOST: Final = "127.0.0.1"
_SUPERUSER: Final = "sandbox superuser"  # no account can be called so, for the blank
_OWNER: Final = "owner of "
# PostgreSQL refuses to run as root. This user cannot look into directories of root's without help.
_OTHER: Final = ("nobody", "postgres")


def find() -> dict[str, ServerKind]:
    """Return the kind of server by engine; empty if a program or a permission is missing."""
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda path: _number(path.parent.name))
    path = ":".join([*(str(folder) for folder in reversed(folders)), os.environ.get("PATH", "")])
    found = [shutil.which(name, path=path) for name in ("postgres", "initdb", "psql", "setpriv")]
    if not all(found):
        return {}
    user: tuple[int, int] | None = None
    if os.getuid() == 0:
        user = next(filter(None, map(_ids, _OTHER)), None)
        if user is None or not _may_become(user):
            return {}
    return {"PostgreSQL": Postgres(str(found[0]), str(found[1]), str(found[2]), user)}


@dataclass(frozen=True)
class Postgres:
    """How PostgreSQL is run: on TCP only, with a superuser whose password lies beside the data."""

    server: str
    initdb: str
    client: str
    user: tuple[int, int] | None
    """User and group to run as, if the sandbox itself runs as root."""

    def prepare(self, directory: Path) -> None:
        """Make the cluster, unless it is there."""
        if (directory / "prepared").exists():
            _unlock(directory / "data" / "postmaster.pid")
            return
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        data = directory / "data"
        data.mkdir(mode=0o700)
        if self.user is not None:
            os.chown(data, *self.user)
        write_private(directory / "superuser", secrets.token_urlsafe(24).encode())
        command = [self.initdb, "-D", str(data), "-U", _SUPERUSER, "-A", "scram-sha-256"]
        command += [f"--pwfile={directory / 'superuser'}", "-E", "UTF8", "--locale=C.UTF-8"]
        run(self._as_user([*command, "--no-sync"]), directory)
        (directory / "prepared").touch()

    def command(self, directory: Path, port: int) -> list[str]:
        """Return the server's command line."""
        paths = certificate(directory)
        settings = {
            "listen_addresses": _HOST,
            "ssl_cert_file": str(paths[0]),
            "ssl_key_file": str(paths[1]),
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            "max_connections": "50",
        }
        command = [self.server, "-D", str(directory / "data"), "-p", str(port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return self._as_user(command)

    def answers(self, directory: Path, port: int) -> bool:
        """Tell whether the server takes commands."""
        try:
            self._sql(directory, port, "SELECT 1;")
        except ServerError:
            return False
        return True

    def apply(self, directory: Path, port: int, wanted: Wanted) -> None:
        """Bring databases, accounts and grants into the state wanted.

        Everybody with DBOwner on a database acts as one role, the owner: so accounts that follow
        one another can use each other's tables. The vendor does not document how its own do it.

        Raises:
            ServerError: The server refuses.
        """
        query = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres';"
        databases = set(self._sql(directory, port, query).split())
        query = "SELECT rolname FROM pg_roles WHERE rolcanlogin OR rolname NOT LIKE '% %';"
        roles = {
            line
            for line in self._sql(directory, port, query).splitlines()
            if not line.startswith("pg_") and line != _SUPERUSER
        }
        switch = "on" if wanted.tls else "off"
        script = [f"ALTER SYSTEM SET ssl = {switch};", "SELECT pg_reload_conf();"]
        for name in databases - set(wanted.databases):
            script += [
                f"DROP DATABASE {_name(name)} WITH (FORCE);",
                f"DROP ROLE {_name(_OWNER + name)};",
            ]
        for name in wanted.databases:
            if name not in databases:
                owner = _name(_OWNER + name)
                script += [
                    f"CREATE ROLE {owner};",
                    f"CREATE DATABASE {_name(name)} OWNER {owner} TEMPLATE template0;",
                    f"REVOKE ALL ON DATABASE {_name(name)} FROM PUBLIC;",
                ]
        for name in roles - {account.name for account in wanted.accounts}:
            script += _drop(name)
        for account in wanted.accounts:
            role = _name(account.name)
            login = "LOGIN" if wanted.reachable and not account.is_locked else "NOLOGIN"
            more = "CREATEDB CREATEROLE" if account.is_super else "NOCREATEDB NOCREATEROLE"
            if account.name not in roles:
                script.append(f"CREATE ROLE {role};")
            script.append(f"ALTER ROLE {role} {login} {more} PASSWORD '{_text(account.password)}';")
            granted = {database for database, _ in account.grants}
            if account.is_super:
                granted |= set(wanted.databases)
            for name in wanted.databases:
                owner = _name(_OWNER + name)
                if name in granted:
                    script += [
                        f"GRANT {owner} TO {role};",
                        f"ALTER ROLE {role} IN DATABASE {_name(name)} SET role = {owner};",
                    ]
        self._sql(directory, port, "\n".join(script))

    def depend(self, directory: Path, port: int, account: str) -> bool:
        """Tell whether an account owns something, or is in an ACL, in any database.

        What shared dependencies pg_shdepend has of a role keeps DROP ROLE from removing it
        (PostgreSQL, System Catalogs).
        """
        # A membership goes with the role, and so does a setting of it.
        query = (
            "SELECT count(*) FROM pg_shdepend JOIN pg_roles ON refobjid = pg_roles.oid "  # noqa: S608 - escaped
            "WHERE refclassid = 'pg_authid'::regclass AND deptype IN ('o', 'a') "
            f"AND classid <> 'pg_auth_members'::regclass AND rolname = '{_text(account)}';"
        )
        return self._sql(directory, port, query).strip() != "0"

    def _as_user(self, command: list[str]) -> list[str]:
        return bound_to_us(command, *_identity(self.user))

    def _sql(self, directory: Path, port: int, script: str) -> str:
        command = [self.client, "-X", "-q", "-A", "-t", "-h", _HOST, "-p", str(port)]
        command += ["-U", _SUPERUSER, "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
        password = (directory / "superuser").read_text(encoding="utf-8")
        # Notices and failing statements, which have passwords in them, are not of interest.
        quiet = "-c client_min_messages=error -c log_min_error_statement=panic"
        return run(command, directory, script, PGPASSWORD=password, PGOPTIONS=quiet)


def _unlock(path: Path) -> None:
    """Remove the lock of a server that was killed and that nobody has waited for."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        number = int(path.read_text(encoding="utf-8").splitlines()[0])
        state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        if state.split()[0] == "Z":
            path.unlink()


def _drop(name: str) -> list[str]:
    """Remove an account on which nothing depends, and its sessions."""
    role = _name(name)
    sessions = f"pg_stat_activity WHERE usename = '{_text(name)}'"
    return [
        f"ALTER ROLE {role} NOLOGIN;",
        f"SELECT pg_terminate_backend(pid) FROM {sessions};",  # noqa: S608 - escaped
        f"DROP ROLE {role};",
    ]


def _identity(user: tuple[int, int] | None) -> list[str]:
    if user is None:
        return []
    # The capability lets it reach its data below directories that only root can look into.
    capability = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return ["--reuid", str(user[0]), "--regid", str(user[1]), "--clear-groups", *capability]


def _may_become(user: tuple[int, int]) -> bool:
    command = bound_to_us(["true"], *_identity(user))
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - setpriv
    return done.returncode == 0


def _ids(name: str) -> tuple[int, int] | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid


def _number(version: str) -> int:
    return int(version) if re.fullmatch(r"[0-9]+", version) else 0


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return value.replace("'", "''")
