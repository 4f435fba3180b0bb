"""What is installed, from where, and that running needs no more than it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import packages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("actors", "brokers", "cli", "conformance", "etcd", "http", "sandbox")


def test_uv_takes_packages_from_where_pip_is_told_to() -> None:
    listed = """\
:env:.cert='/etc/ssl/own.pem'
:env:.disable-pip-version-check='1'
global.cert='/etc/ssl/other.pem'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.find-links='/opt/wheels /opt/more'
global.index-url='https://user:secret@index.example/simple'
global.trusted-host='one.example'
download.no-index='true'
"""
    found = packages.environment_of_uv(listed, {"HOME": "/root", "SSL_CERT_FILE": "/x.pem"})
    assert found == {
        "HOME": "/root",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
        "UV_DEFAULT_INDEX": "https://user:secret@index.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/opt/wheels,/opt/more",
        "UV_INSECURE_HOST": "one.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "true",
        "UV_COMPILE_BYTECODE": "true",
        "UV_CONSTRAINT": "constraints.txt",
    }


def test_what_uv_has_been_told_stands_but_for_the_lock() -> None:
    said = {"UV_DEFAULT_INDEX": "https://a.example", "UV_CONSTRAINT": "own.txt"}
    found = packages.environment_of_uv("global.index-url='https://b.example'\n", said)
    assert found is not None
    assert found["UV_DEFAULT_INDEX"] == "https://a.example"
    assert found["UV_CONSTRAINT"] == "own.txt constraints.txt"


def test_pip_installs_where_its_options_mean_nothing_to_uv() -> None:
    for line in ("global.no-index='true'", "install.only-binary=':all:'", ":env:.client-cert='c'"):
        assert packages.environment_of_uv(line + "\n", {}) is None, line


def test_running_needs_nothing_that_only_tests_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    installed: set[str] = set()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name not in installed:
            installed.add(name)
            wanted += needed_by(name)
    providers = packages_distributions()
    for path in sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")):
        for module in imported(path) - sys.stdlib_module_names - {"alibroker"}:
            found = {canonicalize_name(name) for name in providers[module]}
            assert found & installed, f"{path.relative_to(ROOT)} imports {module}"


def needed_by(name: str) -> list[Requirement]:
    """Return what a distribution needs on this machine, without its extras."""
    try:
        all_of_them = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return []
    return [one for one in all_of_them if not one.marker or one.marker.evaluate({"extra": ""})]


def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports by name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_a_step_says_its_title_and_shows_its_output_only_when_it_fails() -> None:
    assert step("print('whatever')") == (0, "Doing it ...\n", "")
    program = "import sys; print('first'); print('last'); sys.exit(3)"
    assert step(program) == (3, "Doing it ...\n", "first\nlast\n")


def test_a_step_that_takes_long_is_never_silent_for_long() -> None:
    program = "import time; print('half of it', flush=True); time.sleep(1)"
    code, printed, _ = step(program, beat=0.2)
    assert code == 0
    assert "s  half of it\n" in printed


def step(program: str, beat: float = 60.0) -> tuple[int, str, str]:
    """Run a Python program as a step, in a process; returns exit code, stdout and stderr."""
    code = f"import step, sys; step.BEAT = {beat}; sys.exit(step.main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "Doing it", sys.executable, "-c", program],
        cwd=ROOT / "install",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
