"""Installs what the broker needs into a virtual environment: `packages.py DIRECTORY [EXTRA]`.

uv does it in a fraction of pip's time. It gets what pip is configured with (index, certificates,
proxy); where that says more than uv can be told, or uv fails, pip installs.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from step import StepError, run, say

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = "constraints.txt"  # relative: uv separates files by white space

_WHO = {"": "running needs", "demo": "the demo needs", "dev": "tests and linters need"}

# Options of pip that say nothing about where packages come from, or which are taken.
_IRRELEVANT = {
    *("cache-dir", "disable-pip-version-check", "no-color", "no-input", "progress-bar", "quiet"),
    *("require-virtualenv", "retries", "root-user-action", "user", "verbose"),
    *("break-system-packages", "no-cache-dir", "no-warn-script-location"),
}
# pip separates what is in a list by white space; uv wants this in its place.
_TRANSLATED = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}


def environment_of_uv(listed: str, environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the environment in which uv takes packages from where pip would.

    Args:
        listed: what `pip config list` prints.
        environment: the present one; what it says to uv stands.

    Returns:
        None if pip is configured in a way that uv cannot be told.
    """
    configured: dict[str, str] = {}
    ranks: dict[str, int] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.strip().rpartition(".")
        # A section for another command of pip's is none of ours.
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section)
        if rank is not None and rank >= ranks.get(option, 0):
            configured[option], ranks[option] = str(ast.literal_eval(value)), rank
    if not configured.keys() <= _TRANSLATED.keys() | _IRRELEVANT:
        return None
    # Environment variables and not options: URLs can hold passwords, which process lists show.
    said = {
        variable: separator.join(configured[option].split())
        for option, (variable, separator) in _TRANSLATED.items()
        if option in configured
    }
    # As pip does: the best version of all indexes, and the system's idea of whom to trust.
    said["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    said["UV_SYSTEM_CERTS"] = "true"
    # And now, not at the first start: new Pythons warn of what old packages are written like.
    said["UV_COMPILE_BYTECODE"] = "true"
    said |= {name: value for name, value in environment.items() if name.startswith("UV_")}
    said["UV_CONSTRAINT"] = f"{said.get('UV_CONSTRAINT', '')} {CONSTRAINTS}".strip()
    return {**environment, **said}


def install(directory: Path, extra: str) -> None:
    """Make the environment if it is not there, and bring it to what is wanted.

    Raises:
        StepError: It fails; the text says how.
    """
    python = str(directory / "bin" / "python")
    pip = [python, "-m", "pip"]
    if not (directory / "bin" / "pip").exists():
        title = f"Making a virtual environment in {directory}"
        run(title, [sys.executable, "-m", "venv", str(directory)])
    what = f".[{extra}]" if extra else "."
    title = f"Installing what {_WHO[extra]}"
    try:
        listed = subprocess.run(
            [*pip, "config", "list"], capture_output=True, text=True, check=True
        ).stdout
        environment = environment_of_uv(listed, os.environ)
        if environment is not None:
            uv = directory / "bin" / "uv"
            if not uv.exists():
                fetch = [*pip, "install", "--only-binary=uv", "-c", CONSTRAINTS, "uv"]
                run("Fetching uv, which installs packages quickly", fetch)
            run(title, [str(uv), "pip", "install", "--python", python, "-e", what], environment)
            return
    except (StepError, OSError) as ex:
        say(f"uv cannot do it ({_last_line(ex)}); pip installs instead, which takes longer.")
    run(title, [*pip, "install", "-c", CONSTRAINTS, "-e", what])


def _last_line(ex: Exception) -> str:
    text = ex.output if isinstance(ex, StepError) else str(ex)
    return (text.strip().splitlines() or [str(ex)])[-1]


def main() -> int:
    """Do what the arguments say; return the exit code."""
    directory, extra = Path(sys.argv[1]), "".join(sys.argv[2:3])
    os.chdir(ROOT)
    try:
        install(directory, extra)
    except StepError as ex:
        sys.stderr.write(ex.output)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
