"""Databases that answer: real servers behind the sandbox, real clients with a binding's login.

The programs of the servers have to be installed (`make databases`); where CI is "true" it is a
failure if they are not.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, Protocol

import msgspec
import psutil
import psycopg
import pymysql
import pytest
from waiting import eventually
from world import PLACE, POSTGRES, World, new_id

from alibroker.brokers.driver import Driver
from alibroker.brokers.rds import create_broker

Rows = list[tuple[Any, ...]]


class Client(Protocol):
    """A client of one engine."""

    offer: dict[str, str]
    refused: tuple[type[Exception], ...]
    denied: tuple[type[Exception], ...]

    def run(self, credentials: dict[str, Any], *statements: str) -> Rows:
        """Log in, run statements, and return the rows of the last one."""


def unverified() -> ssl.SSLContext:
    """Return what `sslmode=require` means: encrypted, whoever it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class MySql:
    offer: dict[str, str] = {  # noqa: RUF012 - never changed
        "service_id": "rds-997b8372-8dac-40ac-ae65-758b4a5075a5",
        "plan_id": "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e",
    }
    refused: tuple[type[Exception], ...] = (pymysql.err.OperationalError,)
    denied: tuple[type[Exception], ...] = (pymysql.err.OperationalError,)

    def run(self, credentials: dict[str, Any], *statements: str) -> Rows:
        connection = pymysql.connect(
            host=credentials["host"],
            port=int(credentials["port"]),
            user=credentials["username"],
            password=credentials["password"],
            database=credentials["database"],
            autocommit=True,
            ssl=unverified() if credentials.get("tls") else None,
            ssl_disabled=not credentials.get("tls"),
        )
        with closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


class MariaDb(MySql):
    offer: dict[str, str] = {  # noqa: RUF012
        "service_id": "rds-56b28f7c-2232-5350-a7d9-8786b6328cc0",
        "plan_id": "rds-6348c8d8-0212-532e-8e39-554330b60382",
    }


class PostgreSql:
    offer: dict[str, str] = POSTGRES
    refused: tuple[type[Exception], ...] = (psycopg.OperationalError,)
    denied: tuple[type[Exception], ...] = (psycopg.errors.InsufficientPrivilege,)

    def run(self, credentials: dict[str, Any], *statements: str) -> Rows:
        with closing(psycopg.connect(credentials["uri"], autocommit=True)) as connection:
            rows: Rows = []
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
            return rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANDBOX_DATA_PLANES", "auto")
        patch.setenv("SANDBOX_MAX_DATA_PLANES", "2")
        world = World(tmp_path_factory.mktemp("world"))
        installed = world.sandbox.control("GET", "inventory")["rds"]["servers"]
        if {"MySQL", "MariaDB", "PostgreSQL"} - set(installed):
            world.stop()
            text = f"only servers of {installed} are installed: run `make databases`"
            if os.environ.get("CI") == "true":
                pytest.fail(text)
            pytest.skip(text)
        yield world
        world.stop()


class Instance:
    """A service instance, as a platform uses it."""

    def __init__(self, world: World, client: Client, **parameters: Any) -> None:
        self.world = world
        self.client = client
        self.id = new_id()
        self.path = f"/v2/service_instances/{self.id}"
        body = {**client.offer, **PLACE, "parameters": parameters}
        self.expect(202, "PUT", self.path, body)
        assert world.end("provision", self.id) == "succeeded"

    def expect(self, status: int, method: str, path: str, body: Any = None, **query: str) -> Any:
        answer = self.world.request(method, path, body, accepts_incomplete="true", **query)
        assert answer.status_code == status, answer.text
        return answer.json()

    def bind(self, binding: str, **body: Any) -> dict[str, Any]:
        path = f"{self.path}/service_bindings/{binding}"
        self.expect(202, "PUT", path, {**self.client.offer, **body})
        assert self.world.end("bind", self.id, binding) == "succeeded"
        return self.world.credentials(self.id, binding)

    def unbind(self, binding: str) -> None:
        self.world.do("unbind", self.client.offer, self.id, binding)

    def update(self, **parameters: Any) -> str:
        body = {"service_id": self.client.offer["service_id"], "parameters": parameters}
        self.expect(202, "PATCH", self.path, body)
        return self.world.end("update", self.id)

    def deprovision(self) -> None:
        self.world.do("deprovision", self.client.offer, self.id)

    @property
    def in_cloud(self) -> dict[str, Any]:
        (found,) = [
            one
            for one in self.world.inventory()["instances"]
            if one["description"].endswith(self.id)
        ]
        return found


@pytest.fixture(params=[MySql, MariaDb, PostgreSql])
def client(request: pytest.FixtureRequest) -> Client:
    made: Callable[[], Client] = request.param
    return made()


@pytest.fixture
def make(world: World) -> Iterator[Callable[..., Instance]]:
    made: list[Instance] = []

    def make(client: Client, **parameters: Any) -> Instance:
        made.append(Instance(world, client, **parameters))
        return made[-1]

    yield make
    for instance in made:
        with suppress(AssertionError):
            instance.deprovision()


def listening(credentials: dict[str, Any]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((credentials["host"], int(credentials["port"]))) == 0


def test_a_whole_life(world: World, client: Client, make: Callable[..., Instance]) -> None:
    instance = make(client)
    assert instance.in_cloud["server"] == "up"
    old = instance.bind("old")
    rows = client.run(
        old,
        "CREATE TABLE notes (id INT PRIMARY KEY, text VARCHAR(80))",
        "INSERT INTO notes VALUES (1, 'hello')",
        "SELECT text FROM notes",
    )
    assert rows == [("hello",)]

    # Two bindings overlap while the one takes the other's place.
    new = instance.bind("new", predecessor_binding_id="old")
    assert new["username"] != old["username"]
    assert new["password"] != old["password"]
    client.run(new, "INSERT INTO notes VALUES (2, 'from the new one')")
    assert client.run(old, "SELECT COUNT(*) FROM notes") == [(2,)]

    world.kill_sandbox()
    world.kill_worker()
    eventually(lambda: listening(new))
    instance.unbind("old")
    with pytest.raises(client.refused):
        client.run(old, "SELECT 1")
    assert client.run(new, "SELECT COUNT(*) FROM notes") == [(2,)]

    assert instance.update(Storage=40) == "succeeded"
    assert instance.in_cloud["storage"] == 40
    assert client.run(new, "SELECT COUNT(*) FROM notes") == [(2,)]
    third = instance.bind("third")
    client.run(third, "ALTER TABLE notes ADD COLUMN more INT", "DROP TABLE notes")

    instance.unbind("new")
    instance.unbind("third")
    # PostgreSQL keeps the accounts of its databases' owners; nobody can log in with them.
    kept = instance.in_cloud["accounts"]
    assert len(kept) == (3 if isinstance(client, PostgreSql) else 0)
    assert {one["status"] for one in kept} <= {"Lock"}
    for gone in (old, new, third):
        with pytest.raises(client.refused):
            client.run(gone, "SELECT 1")
    instance.deprovision()
    eventually(lambda: not listening(new))
    servers = world.directory / "sandbox" / "servers"
    eventually(lambda: not list(servers.iterdir()))
    assert world.left() == {}


@pytest.fixture
def grants_keep_nothing(world: World) -> Iterator[None]:
    world.sandbox.control("PUT", "settings", {"grants_keep_accounts": False})
    yield
    world.sandbox.control("PUT", "settings", {"grants_keep_accounts": True})


@pytest.mark.usefixtures("grants_keep_nothing")
@pytest.mark.parametrize("client", [PostgreSql], indirect=True)
def test_what_an_account_owns_keeps_it_and_nobody_else_out(
    client: Client, make: Callable[..., Instance]
) -> None:
    instance = make(client)
    owner = instance.bind("owner")
    client.run(owner, "SET ROLE NONE", "CREATE TABLE mine (a INT)")
    with closing(psycopg.connect(owner["uri"], autocommit=True)) as session:
        instance.unbind("owner")
        (kept,) = instance.in_cloud["accounts"]
        assert kept["status"] == "Lock"
        assert kept["description"] == "alibroker_retired-owner"
        # A session that is open goes on: the API cannot end it.
        assert session.execute("SELECT 1").fetchall() == [(1,)]
    with pytest.raises(client.refused):
        client.run(owner, "SELECT 1")

    other = instance.bind("other")
    kept = instance.in_cloud["accounts"]
    assert {one["description"] for one in kept} == {"alibroker_retired-owner", "alibroker-other"}
    client.run(other, "DROP TABLE mine")
    instance.unbind("other")
    eventually(lambda: instance.in_cloud["accounts"] == [])


@pytest.mark.parametrize("client", [MySql], indirect=True)
def test_two_bindings_with_different_rights(client: Client, make: Callable[..., Instance]) -> None:
    instance = make(client)
    writer = instance.bind("writer")
    reader = instance.bind("reader", parameters={"Access": "read-only"})
    definer = instance.bind("definer", parameters={"Access": "ddl"})
    client.run(writer, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")

    assert client.run(reader, "SELECT a FROM t") == [(1,)]
    for statement in ("INSERT INTO t VALUES (2)", "CREATE TABLE u (a INT)", "DROP TABLE t"):
        with pytest.raises(client.denied, match="denied"):
            client.run(reader, statement)
    client.run(definer, "ALTER TABLE t ADD COLUMN b INT")
    with pytest.raises(client.denied, match="denied"):
        client.run(definer, "SELECT a FROM t")
    for one in (writer, reader, definer):
        with pytest.raises(client.denied, match="denied"):
            client.run(one, "SELECT Password FROM mysql.user")
        with pytest.raises(client.denied, match="denied"):
            client.run(one, "CREATE USER intruder")
    for binding in ("writer", "reader", "definer"):
        instance.unbind(binding)


def test_a_database_of_a_binding_is_closed_to_others(
    client: Client, make: Callable[..., Instance]
) -> None:
    instance = make(client)
    one = instance.bind("one", parameters={"Database": "shop"})
    two = instance.bind("two", parameters={"Database": "s_op"})
    assert (one["database"], two["database"]) == ("shop", "s_op")
    client.run(one, "CREATE TABLE t (a INT)")
    client.run(two, "CREATE TABLE t (a INT)")
    with pytest.raises(client.refused):
        client.run(
            one | {"database": "s_op", "uri": one["uri"].replace("shop", "s_op")}, "SELECT 1"
        )
    with pytest.raises(client.refused):
        client.run(
            two | {"database": "shop", "uri": two["uri"].replace("s_op", "shop")}, "SELECT 1"
        )
    instance.unbind("one")
    instance.unbind("two")
    # The data outlives its bindings.
    again = instance.bind("again", parameters={"Database": "shop"})
    assert client.run(again, "SELECT COUNT(*) FROM t") == [(0,)]
    instance.unbind("again")


def test_an_allow_list_decides_who_gets_in(client: Client, make: Callable[..., Instance]) -> None:
    """Clients on this machine count as being in the simulated VPC."""
    instance = make(client)
    credentials = instance.bind("b")
    client.run(credentials, "SELECT 1")
    assert instance.update(AllowedIPs=["10.0.0.0/8"]) == "succeeded"
    with pytest.raises(client.refused):
        client.run(credentials, "SELECT 1")
    assert instance.update(AllowedIPs=["192.168.1.0/24"]) == "succeeded"
    client.run(credentials, "SELECT 1")
    instance.unbind("b")


@pytest.mark.parametrize(
    ("client", "questions"),
    [
        (MySql, ["SHOW SESSION STATUS LIKE 'Ssl_version'"]),
        (
            PostgreSql,
            [
                "SET ROLE NONE",  # everybody sees the own session only
                "SELECT 0, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            ],
        ),
    ],
    ids=["MySql", "PostgreSql"],
    indirect=["client"],
)
def test_with_tls_logins_are_encrypted(
    client: Client, make: Callable[..., Instance], questions: list[str]
) -> None:
    instance = make(client)
    plain = instance.bind("plain")
    ((_, version),) = client.run(plain, *questions)
    assert not version
    if isinstance(client, PostgreSql):
        with pytest.raises(client.refused, match="SSL"):
            client.run({"uri": plain["uri"] + "?sslmode=require"}, *questions)

    assert instance.update(SSL=True) == "succeeded"
    encrypted = instance.bind("encrypted")
    assert (encrypted["tls"], encrypted["sslmode"]) == (True, "require")
    ((_, version),) = client.run(encrypted, *questions)
    assert version.startswith("TLSv1.")
    client.run(plain, "SELECT 1")
    for binding in ("plain", "encrypted"):
        instance.unbind(binding)


def test_an_adopted_binding_logs_in_with_its_new_password_only(
    world: World, client: Client, make: Callable[..., Instance]
) -> None:
    instance = make(client)
    old = instance.bind("b", parameters={"Database": "shop"})
    client.run(old, "CREATE TABLE t (a INT)")
    with closing(create_broker(world.settings)) as broker:
        found = {one.binding_id: one for one in broker.inventory()}
        database, account = found[""], found["b"]
        driver = Driver(broker)
        driver.ordered(instance.id, database.plan_id, **database.parameters)
        driver.instances[instance.id].resource = msgspec.json.encode(database.resource)
        operation = driver.binding(instance.id, "b", **account.parameters)
        driver.bindings[instance.id, "b"].resource = msgspec.json.encode(account.resource)
        new = dict(driver.run([operation])[0].credentials)
    assert client.run(new, "SELECT COUNT(*) FROM t") == [(0,)]
    with pytest.raises(client.refused):
        client.run(old, "SELECT 1")
    instance.unbind("b")
    with pytest.raises(client.refused):
        client.run(new, "SELECT 1")


def test_no_server_outlives_the_sandbox(
    world: World, client: Client, make: Callable[..., Instance]
) -> None:
    instance = make(client)
    credentials = instance.bind("b")
    client.run(credentials, "CREATE TABLE t (a INT)")
    servers = psutil.Process(world.sandbox.process.pid).children(recursive=True)
    assert servers
    world.sandbox.process.kill()
    eventually(lambda: not any(one.is_running() for one in servers))
    world.kill_sandbox()
    assert client.run(credentials, "SELECT COUNT(*) FROM t") == [(0,)]
    instance.unbind("b")


def test_instances_beyond_the_limit_are_simulated_and_say_so(world: World) -> None:
    client = MySql()
    instances = [Instance(world, client) for _ in range(3)]
    states = sorted(instance.in_cloud["server"] for instance in instances)
    assert states == ["simulated", "up", "up"]
    for instance in instances:
        instance.bind("b")
        instance.unbind("b")
        instance.deprovision()
    assert world.left() == {}


def test_the_demo_logs_in_and_is_refused_after_unbind(world: World) -> None:
    assert world
    done = subprocess.run(
        [sys.executable, "-m", "alibroker.cli.main", "demo"],
        env={**os.environ, "SANDBOX_DATA_PLANES": "auto"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("logged in to .*MariaDB", done.stdout)) == 1
    assert len(re.findall("logged in to PostgreSQL", done.stdout)) == 1
    assert done.stdout.count("the login is refused now") == 2
