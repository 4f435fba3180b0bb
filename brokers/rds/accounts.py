"""Names and passwords of database accounts, and the credentials made of them."""

from __future__ import annotations

import secrets
import string
from typing import Any, Final

from alibroker.brokers.alibabacloud.naming import tag_text, word_value
from alibroker.brokers.api import Work
from alibroker.brokers.digests import digest
from alibroker.brokers.rds.engines import READ_WRITE, Engine, Login

DATABASE: Final = "app"
"""The database of bindings that name none; it belongs to the instance and outlives them."""

FIRST: Final = "alibroker_admin"
FIRST_DESCRIPTION: Final = "alibroker_first_account"
"""The privileged account that the cloud can want before any other; it belongs to the instance."""

AVAILABLE: Final = "Available"
LOCKED: Final = "Lock"
"""States of an account (AccountStatus); in any other it is being created or deleted."""

_MARK: Final = "alibroker-"
_RETIRED: Final = "alibroker_retired-"  # begins like no account that is in use
_PASSWORD_LENGTH: Final = 24
_CLASSES: Final = (string.ascii_uppercase, string.ascii_lowercase, string.digits, "_-")
_CLASSES_NEEDED: Final = 3  # of upper case, lower case, digits and specials (CreateAccount)


def account_name(work: Work) -> str:
    """Return the account of a binding: the user's choice, or a name that every version takes."""
    chosen = work.binding_parameters.get("Username")
    return str(chosen) if chosen else f"u{digest(work.instance_id, work.binding_id, length=15)}"


def database_name(work: Work) -> str:
    """Return the database that a binding is for.

    A name, and not the binding's own identity, says which: so a binding that replaces another
    finds its data.
    """
    return str(work.binding_parameters.get("Database") or DATABASE)


def access(work: Work) -> str:
    """Return what a binding may do."""
    return str(work.binding_parameters.get("Access") or READ_WRITE)


def marker(binding_id: str) -> str:
    """Return the account's description, which tells our accounts from others of the same name.

    It has letters, digits, _ and - in it, 256 at most (CreateAccount, AccountDescription).
    """
    return f"{_MARK}{word_value(binding_id)}"


def retired_marker(binding_id: str) -> str:
    """Return the description of an account that stays although its binding is gone."""
    return f"{_RETIRED}{word_value(binding_id)}"


def is_retired(description: str) -> bool:
    """Tell whether an account with this description waits for its deletion."""
    return description.startswith(_RETIRED)


def is_marked(description: str) -> bool:
    """Tell whether an account with this description was created for a binding."""
    return description.startswith(_MARK)


def marked_binding(description: str) -> str:
    """Return the binding that `marker` made a description for; empty if that cannot be told."""
    return tag_text(description.removeprefix(_MARK)) if is_marked(description) else ""


def new_password() -> str:
    """Make a password of characters that need no escape in URLs and shells."""
    letters = [secrets.choice(characters) for characters in _CLASSES]
    everything = "".join(_CLASSES)
    letters += [secrets.choice(everything) for _ in range(_PASSWORD_LENGTH - len(letters))]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)


def password_fault(password: str) -> str | None:
    """Say what to change in a password that a user chose; None if it may stay."""
    kinds = {
        next((i for i, characters in enumerate(_CLASSES[:3]) if char in characters), 3)
        for char in password
    }
    if len(kinds) >= _CLASSES_NEEDED:
        return None
    return (
        "parameters/Password: use at least three of upper-case letters, lower-case letters, digits "
        "and the characters !@#$%^&*()_+-="
    )


def credentials(engine: Engine, login: Login, ca_url: str = "") -> dict[str, Any]:
    """Return what an application needs to connect.

    With TLS they say that connections are to be encrypted; where the certificate of the CA is
    found (`ca_url`) is known of some engines only.
    """
    found: dict[str, Any] = {
        "uri": engine.uri(login),
        "jdbcUrl": engine.jdbc_url(login),
        "host": login.host,
        "port": login.port,
        "database": login.database,
        "username": login.username,
        "password": login.password,
    }
    if login.tls:
        found |= {"tls": True, "sslmode": "require"}
        if ca_url:
            found["caUrl"] = ca_url
    return found
