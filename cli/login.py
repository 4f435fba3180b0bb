"""Names and passwords that `alibroker run` makes up, kept for the next start in a file to source.

A platform that has been registered goes on working after a restart, and the first commands of the
README find what they need with `. data/login`.
"""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path

PLATFORM = ("ALIBROKER_USERNAME", "ALIBROKER_PASSWORD")
OPERATOR = ("ALIBROKER_OPERATOR_USERNAME", "ALIBROKER_OPERATOR_PASSWORD")


def complete(settings: dict[str, str], path: Path) -> None:
    """Add the names and passwords that `settings` lack: those in the file, else new ones."""
    kept = read(path)
    if not settings.get("ALIBROKER_USERS_FILE"):
        _add(settings, kept, PLATFORM, "broker")
    _add(settings, kept, OPERATOR, "operator")


def lines(settings: dict[str, str], url: str) -> list[str]:
    """Return the lines that make a shell know all of it."""
    known = {"ALIBROKER_URL": url}
    known |= {name: settings[name] for name in (*PLATFORM, *OPERATOR) if name in settings}
    return [f"export {name}={shlex.quote(value)}" for name, value in known.items()]


def write(path: Path, text: list[str]) -> None:
    """Write the lines to a file that is its owner's alone, whole or not at all."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in text))
    partial.replace(path)


def read(path: Path) -> dict[str, str]:
    """Return the variables of such a file; none if there is no file."""
    try:
        words = shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except FileNotFoundError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _add(
    settings: dict[str, str], kept: dict[str, str], names: tuple[str, str], default: str
) -> None:
    name, password = names
    settings.setdefault(name, kept.get(name, default))
    settings.setdefault(password, kept.get(password, "") or secrets.token_urlsafe(12))
