"""The shape of the repository that everything else relies on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

from spreading_plugin import LONGEST

ROOT = Path(__file__).resolve().parents[2]


def test_the_standard_librarys_http_is_not_shadowed() -> None:
    assert not (ROOT / "http" / "__init__.py").exists()
    program = "import http.client, alibroker.http.app; print(http.client.HTTPConnection.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "HTTPConnection", done.stderr


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_module_is_longer_than_can_be_read_in_one_sitting() -> None:
    files = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    long = {name: len((ROOT / name).read_text().splitlines()) for name in files}
    assert {name: lines for name, lines in long.items() if lines > 500} == {}


def test_every_folder_with_code_is_packaged() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    files = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {str(Path(name).parent) for name in files} - {"."}
    not_packaged = {"tests", "benchmarks", "install"}
    code = {name for name in folders if name.split("/")[0] not in not_packaged}
    assert set(listed) == {f"alibroker.{name.replace('/', '.')}" for name in code}


def test_a_new_environment_compiles_what_the_tests_import() -> None:
    # Installed without bytecode, oss2 is compiled where warnings are errors.
    spec = importlib.util.find_spec("oss2")
    assert spec is not None
    for folder in spec.submodule_search_locations or []:
        for path in Path(folder).glob("*.py"):
            compile(path.read_bytes(), str(path), "exec")


def test_what_is_begun_first_is_there() -> None:
    """A module that is renamed would be begun whenever its turn comes, and hold up the end."""
    assert [name for name in LONGEST if not (ROOT / "tests" / name).exists()] == []
