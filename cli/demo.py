"""`alibroker demo`: the whole lives of databases and a bucket, against a broker of its own."""

from __future__ import annotations

import importlib
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console

from alibroker.cli.demo_oss import show_bucket
from alibroker.cli.processes import Broker, Sandbox, StartError, free_port

TIMEOUT = 120.0
SHOWN = 100
LOCAL = "127.0.0.1"
"""Host of a database with a real server; the simulated ones have the cloud's names."""


class WrongAnswerError(Exception):
    """The broker did not answer as it should."""


class Platform:
    """A platform that walks through the OSB API and shows each step."""

    def __init__(self, url: str, user: tuple[str, str], console: Console) -> None:
        self._url = url
        self.console = console
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = user
        self._session.headers["X-Broker-API-Version"] = "2.17"

    def step(
        self, title: str, method: str, path: str, *, expect: int, body: Any = None
    ) -> dict[str, Any]:
        """Send a request, show what came of it, and return the answer.

        Raises:
            WrongAnswerError: The status is not the one expected.
        """
        started = time.perf_counter()
        answer = self._session.request(method, f"{self._url}{path}", json=body, timeout=60)
        spent = (time.perf_counter() - started) * 1000
        shown = shorten(answer.text)
        good = answer.status_code == expect
        mark = "[green]ok[/]" if good else "[red]wrong[/]"
        self.console.print(
            f"{mark:>6} {spent:7.1f} ms  {title}: [bold]{method}[/] {path.partition('?')[0]}",
            soft_wrap=True,
        )
        self.console.print(f"           {answer.status_code} {shown}", style="dim", markup=False)
        if not good:
            raise WrongAnswerError(f"{title}: {answer.status_code} instead of {expect}")
        document: dict[str, Any] = answer.json()
        return document

    def say(self, text: str) -> None:
        """Show something that went well."""
        self.console.print(f"[green]ok[/]               {text}", soft_wrap=True)

    def poll(self, title: str, path: str) -> None:
        """Poll an operation until it has succeeded.

        Raises:
            WrongAnswerError: It failed, or did not end in time.
        """
        started = time.monotonic()
        polls = 0
        while time.monotonic() - started < TIMEOUT:
            answer = self._session.get(f"{self._url}{path}/last_operation", timeout=60)
            polls += 1
            if answer.status_code != requests.codes.ok:
                raise WrongAnswerError(f"{title}: a poll was answered {answer.status_code}")
            state = answer.json()["state"]
            if state == "succeeded":
                spent = time.monotonic() - started
                self.console.print(
                    f"[green]ok[/] {spent:8.1f} s   {title}: succeeded after {polls} polls"
                )
                return
            if state == "failed":
                raise WrongAnswerError(f"{title}: {answer.json().get('description')}")
            time.sleep(min(1.0, float(answer.headers.get("Retry-After", "1"))))
        raise WrongAnswerError(f"{title}: not done after {TIMEOUT:.0f} seconds")


def connect(credentials: dict[str, Any]) -> Any:
    """Log in to a database with the credentials of a binding; returns a DB-API connection."""
    if credentials["uri"].startswith("postgresql:"):
        return importlib.import_module("psycopg").connect(credentials["uri"], connect_timeout=10)
    return importlib.import_module("pymysql").connect(
        host=credentials["host"],
        port=int(credentials["port"]),
        user=credentials["username"],
        password=credentials["password"],
        database=credentials["database"],
        connect_timeout=10,
    )


def show_login(credentials: dict[str, Any], say: Callable[[str], None]) -> None:
    """Log in, create a table and read it back, if a real server is behind the database.

    Raises:
        WrongAnswerError: What was written was not read back.
    """
    if credentials["host"] != LOCAL:
        if "database" in credentials:
            click.echo("           simulated: no server that one could log in to")
        return
    with closing(connect(credentials)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("CREATE TABLE demo (word VARCHAR(20))")
        cursor.execute("INSERT INTO demo VALUES ('written')")
        connection.commit()
        cursor.execute("SELECT word FROM demo")
        rows = cursor.fetchall()
        cursor.execute("SELECT version()")
        version = str(cursor.fetchone()[0]).split(" on ")[0]
    if list(rows) != [("written",)]:
        raise WrongAnswerError("the database does not return what was written")
    say(f"logged in to {version} at port {credentials['port']}: created a table, read it back")


def show_refusal(credentials: dict[str, Any], say: Callable[[str], None]) -> None:
    """Try to log in again.

    Raises:
        WrongAnswerError: That is still possible.
    """
    if credentials["host"] != LOCAL:
        return
    try:
        connect(credentials).close()
    except Exception as ex:  # noqa: BLE001 - each client has its own
        say(f"the login is refused now ({type(ex).__name__})")
        return
    raise WrongAnswerError("the credentials still work after unbind")


def use(credentials: dict[str, Any], platform: Platform, *, bound: bool) -> None:
    """Do with credentials what an application does, or see that it no longer can.

    Raises:
        WrongAnswerError, click.ClickException: It is refused what it may do, or the reverse.
    """
    if "bucket" in credentials:
        show_bucket(credentials, platform.console, bound=bound)
    elif bound:
        show_login(credentials, platform.say)
    else:
        show_refusal(credentials, platform.say)


def shorten(text: str) -> str:
    """Return the beginning of an answer, without the secrets that credentials are."""
    if '"credentials"' in text:
        return '{"credentials": { ... }}'
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... ({len(text)} bytes)"


def walk(platform: Platform, service: dict[str, Any], plan_name: str) -> None:
    """Walk an instance and a binding of a plan through their lives."""
    plan = next(plan for plan in service["plans"] if plan["name"] == plan_name)
    offer = {"service_id": service["id"], "plan_id": plan["id"]}
    where = {"organization_guid": str(uuid.uuid4()), "space_guid": str(uuid.uuid4())}
    instance = f"/v2/service_instances/{uuid.uuid4()}"
    binding = f"{instance}/service_bindings/{uuid.uuid4()}"
    query = f"?service_id={service['id']}&plan_id={plan['id']}&accepts_incomplete=true"
    incomplete = "?accepts_incomplete=true"
    step = platform.step
    step("provision", "PUT", instance + incomplete, body={**offer, **where}, expect=202)
    platform.poll("provision", instance)
    step("provision again", "PUT", instance + incomplete, body={**offer, **where}, expect=200)
    step("fetch instance", "GET", instance, expect=200)
    step("bind", "PUT", binding + incomplete, body=offer, expect=202)
    platform.poll("bind", binding)
    credentials = step("fetch binding", "GET", binding, expect=200)["credentials"]
    platform_view = ", ".join(sorted(credentials))
    click.echo(f"           credentials with: {platform_view}")
    use(credentials, platform, bound=True)
    step("deprovision too early", "DELETE", instance + query, expect=422)
    step("unbind", "DELETE", binding + query, expect=202)
    platform.poll("unbind", binding)
    use(credentials, platform, bound=False)
    step("unbind again", "DELETE", binding + query, expect=410)
    step("deprovision", "DELETE", instance + query, expect=202)
    platform.poll("deprovision", instance)
    step("deprovision again", "DELETE", instance + query, expect=410)


def left_in(inventory: Any) -> list[str]:
    """Return what the sandbox still holds, as paths into its inventory."""
    found = []

    def visit(path: str, value: Any) -> None:
        if isinstance(value, list | dict) and value:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for name, inner in items:
                visit(f"{path}/{name}", inner)
        elif not isinstance(value, list | dict):
            found.append(path)

    for product in ("rds", "oss", "ram"):
        visit(product, inventory.get(product))
    return found


def with_broker(walk_with: Callable[[Sandbox, Broker, tuple[str, str]], None]) -> None:
    """Start a sandbox and a broker in a temporary directory, and stop them afterwards."""
    key = (f"LTAI{secrets.token_hex(8)}", secrets.token_urlsafe(24))
    user = ("demo", secrets.token_urlsafe(12))
    with tempfile.TemporaryDirectory(prefix="alibroker-demo-") as directory:
        sandbox = Sandbox(Path(directory) / "sandbox", key=key)
        try:
            broker = Broker(
                {
                    **sandbox.settings(),
                    "ALIBROKER_BIND": f"127.0.0.1:{free_port()}",
                    "ALIBROKER_REGION": "cn-hangzhou",
                    "ALIBROKER_DATA_DIR": f"{directory}/data",
                    "ALIBROKER_USERNAME": user[0],
                    "ALIBROKER_PASSWORD": user[1],
                    "ALIBROKER_POLL_INTERVAL": "0.2",
                    "ALIBROKER_SETTLE_SECONDS": "5",
                    "ALIBROKER_CLOUD_RATE": "unlimited",
                }
            )
            try:
                broker.wait_until_ready()
                walk_with(sandbox, broker, user)
            finally:
                broker.process.stop()
        finally:
            sandbox.process.stop()


@click.command()
def demo() -> None:
    """Walk two databases and a bucket through their lives; exit 0 only if every step was right."""
    console = Console(highlight=False)

    def go(sandbox: Sandbox, broker: Broker, user: tuple[str, str]) -> None:
        console.print(f"A broker at {broker.url}, in front of a local Alibaba Cloud\n")
        before = set(left_in(sandbox.control("GET", "inventory")))
        platform = Platform(broker.url, user, console)
        catalog = platform.step("catalog", "GET", "/v2/catalog", expect=200)
        services = {service["name"]: service for service in catalog["services"]}
        for name, plan in (
            ("alibaba-cloud-rds-mysqldb", "rds-mysql-s1-small"),
            ("alibaba-cloud-rds-postgresql", "rds-postgresql-small"),
            ("alibaba-cloud-oss", "default"),
        ):
            console.print(f"\n[bold]{name}[/], plan {plan}")
            walk(platform, services[name], plan)
        left = set(left_in(sandbox.control("GET", "inventory"))) - before
        if left:
            raise WrongAnswerError(f"left in the cloud: {', '.join(sorted(left))}")
        console.print("\nNothing is left in the cloud. What it was asked:")
        for product, actions in sandbox.control("GET", "counters")["calls"].items():
            asked = ", ".join(f"{action} {count}" for action, count in actions.items())
            console.print(f"  {product}: {asked}", soft_wrap=True)

    try:
        with_broker(go)
    except (WrongAnswerError, StartError) as ex:
        raise click.ClickException(str(ex)) from ex
    console.print("\n[green]Every step was right.[/]")
