"""What the README says is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import requests
from drawers import Drawer, DrawerBroker
from waiting import eventually
from world import USER, World

from alibroker.actors.settings import EngineSettings
from alibroker.cli import login
from alibroker.cli.main import main
from alibroker.cli.processes import free_port
from alibroker.http.settings import EdgeSettings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = [one for one in blocks if containing in one]
    return found


def test_the_example_of_embedding_runs(tmp_path: Path, capsys: Any) -> None:
    namespace: dict[str, Any] = {}
    exec(block("python", "BrokerSystem"), namespace)  # noqa: S102 - that is what is tested
    namespace["a_life"]([DrawerBroker(Drawer())], tmp_path)
    assert capsys.readouterr().out.strip() == "ended succeeded"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = re.findall(r"^\| (`ALIBROKER_[^|]*)\|([^|]*)\|", README, flags=re.MULTILINE)
    table = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    for kind in (EngineSettings, EdgeSettings):
        for field in msgspec.structs.fields(kind):
            assert field.encode_name in table, field.encode_name
            if field.default not in (None, ""):
                assert f"`{written(field.default)}`" in table[field.encode_name], field.encode_name


def written(default: object) -> str:
    """Return a default as people write it."""
    match default:
        case bool():
            return str(default).lower()
        case int() | float():
            return str(int(default))
    return str(default)


def test_no_setting_is_in_the_table_that_nobody_reads() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("actors", "brokers", "etcd", "http", "cli")
        for path in (ROOT / folder).rglob("*.py")
    )
    known = {
        field.encode_name
        for kind in (EngineSettings, EdgeSettings)
        for field in msgspec.structs.fields(kind)
    }
    for name in set(re.findall(r"`(ALIBROKER_\w+)`", README)) - known:
        assert name in code, name


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!http)(.*?)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_commands_stand_as_they_have_to_be_typed() -> None:
    # None of these is found by a plain shell: they are in .venv/bin.
    bare = re.compile(r"(alibroker|gunicorn|pytest|python -m alibroker\S*)( .*)?$")
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line.strip() for block in blocks for line in block.splitlines()]
        lines += [line.strip() for line in re.findall(r"^    (.*)$", text, flags=re.MULTILINE)]
        assert [line for line in lines if bare.match(line)] == [], page.name
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        # A name alone is a name, and no command.
        assert [one for one in spans if (found := bare.match(one)) and found[2]] == [], page.name


def test_subcommands_in_the_docs_exist() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"bin/alibroker ([a-z]+)", text):
            assert name in main.commands, f"{page.name}: {name}"
        targets = re.findall(r"^(\w+):", MAKEFILE, flags=re.MULTILINE)
        for name in re.findall(r"(?:`|^ *)make ([a-z]+)", text, flags=re.MULTILINE):
            assert name in targets, f"{page.name}: make {name}"


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are linked by."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_running_it_for_real_takes_no_more_than_the_page_says(tmp_path: Path) -> None:
    script = block("sh", "gunicorn")
    assert "\nmake install etcd " in f"\n{script}"
    script = re.sub(r"^make install etcd .*\n", "", script).replace("=…", "=a-long-word")
    script = script.replace(".venv/bin/gunicorn", "exec .venv/bin/gunicorn")
    script = script.replace(".venv/", f"{sys.prefix}/")
    bind = f"127.0.0.1:{free_port()}"
    # There is no cloud here, so the check that comes first fails.
    process = subprocess.Popen(
        ["sh", "-c", script],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ALIBROKER_BIND": bind,
            "ALIBROKER_DATA_DIR": str(tmp_path / "data"),
            "ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:9",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: answers(f"http://{bind}/readyz"), timeout=60)
    finally:
        process.terminate()
        assert process.wait(60) == 0


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.ConnectionError:
        return False


def test_the_first_database_with_curl_pasted_as_it_stands(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        (tmp_path / "data").mkdir(exist_ok=True)
        user = dict(zip(login.PLATFORM, USER, strict=True))
        login.write(tmp_path / "data" / "login", login.lines(user, world.broker.url))
        done = subprocess.run(
            ["sh", "-e", "-c", block("sh", "curl")],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        for name in ("services", "operation", "state", "host", "port", "username", "password"):
            assert f'"{name}"' in done.stdout, name
        assert '"error"' not in done.stdout
        eventually(lambda: world.left() == {}, timeout=60)
    finally:
        world.stop()
