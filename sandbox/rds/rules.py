"""What RDS accepts as names, passwords, addresses and tags."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alibroker.sandbox.parameters import Parameters

TAG_LIMIT = 20
TAG_TEXT_LIMIT = 128
IP_LIMIT = 1000
_SPECIAL = "!@#$%^&*()_+-="
_DESCRIPTION = re.compile(r"[A-Za-z一-鿿][A-Za-z0-9一-鿿_-]*")
_DATABASE = re.compile(r"[a-z](?:[a-z0-9_-]{0,62}[a-z0-9])")
_ACCOUNTS = {
    "MySQL": (re.compile(r"[A-Za-z](?:[A-Za-z0-9_]*[A-Za-z0-9])"), 2, 32),
    "MariaDB": (re.compile(r"[a-z](?:[a-z0-9_]*[a-z0-9])"), 2, 16),
    "PostgreSQL": (re.compile(r"[a-z](?:[a-z0-9_]*[a-z0-9])"), 2, 63),
    "SQLServer": (re.compile(r"[a-z](?:[a-z0-9_]*[a-z0-9])"), 2, 64),
}
_RESERVED_ACCOUNTS = frozenset(
    [
        "root",
        "admin",
        "mysql",
        "test",
        "aliyun_root",
        "aurora",
        "replicator",
        "eagleye",
        "xtrabak",
        "guest",
        "sa",
        "postgres",
        "public",
        "information_schema",
        "performance_schema",
        "sys",
    ]
)
_RESERVED_DATABASES = frozenset(
    [
        "mysql",
        "sys",
        "information_schema",
        "performance_schema",
        "test",
        "postgres",
        "template0",
        "template1",
        "master",
        "model",
        "msdb",
        "tempdb",
    ]
)


def check_description(text: str, low: int, high: int) -> None:
    """Check an instance's description.

    Raises:
        ApiError: InvalidDBInstanceDescription.Format.
    """
    if not low <= len(text) <= high or not _DESCRIPTION.fullmatch(text):
        raise ApiError(
            400,
            "InvalidDBInstanceDescription.Format",
            f"DBInstanceDescription must have {low} to {high} characters: letters, digits, "
            "underscores and hyphens, the first a letter.",
        )


def check_account_name(engine: str, version: str, name: str) -> None:
    """Check a database account's name.

    Raises:
        ApiError: InvalidAccountName.Malformed, InvalidAccountName.Forbid.
    """
    pattern, low, high = _ACCOUNTS[engine]
    if engine == "MySQL" and version in ("5.5", "5.6"):
        high = 16
    if not low <= len(name) <= high or not pattern.fullmatch(name):
        raise ApiError(
            400,
            "InvalidAccountName.Malformed",
            f"AccountName must have {low} to {high} characters and match {pattern.pattern}.",
        )
    if name.lower() in _RESERVED_ACCOUNTS or (engine == "PostgreSQL" and name.startswith("pg")):
        raise ApiError(400, "InvalidAccountName.Forbid", "Specified account name is forbidden.")


def check_account_description(text: str) -> None:
    """Check a database account's description, which may be left out.

    Raises:
        ApiError: InvalidAccountDescription.Format.
    """
    if text and (not 2 <= len(text) <= 256 or not _DESCRIPTION.fullmatch(text)):  # noqa: PLR2004 - the vendor's rule
        raise ApiError(
            400,
            "InvalidAccountDescription.Format",
            "AccountDescription must have 2 to 256 characters: letters, digits, underscores and "
            "hyphens, the first a letter.",
        )


def check_password(password: str) -> None:
    """Check a database account's password; the text of the error does not contain it.

    Raises:
        ApiError: InvalidAccountPassword.Format.
    """
    kinds = sum(
        (
            any("A" <= letter <= "Z" for letter in password),
            any("a" <= letter <= "z" for letter in password),
            any("0" <= letter <= "9" for letter in password),
            any(letter in _SPECIAL for letter in password),
        )
    )
    known = re.fullmatch(rf"[A-Za-z0-9{re.escape(_SPECIAL)}]{{8,32}}", password)
    if not known or kinds < 3:  # noqa: PLR2004 - the vendor's rule
        raise ApiError(
            400,
            "InvalidAccountPassword.Format",
            "AccountPassword must have 8 to 32 characters of at least three kinds: upper-case and "
            f"lower-case letters, digits and {_SPECIAL}.",
        )


def check_database_name(name: str) -> None:
    """Check a database's name.

    Raises:
        ApiError: InvalidDBName.Format, InvalidDBName.Forbid.
    """
    if not _DATABASE.fullmatch(name):
        raise ApiError(400, "InvalidDBName.Format", f"DBName must match {_DATABASE.pattern}.")
    if name in _RESERVED_DATABASES:
        raise ApiError(400, "InvalidDBName.Forbid", "Specified database name is forbidden.")


def read_ips(text: str) -> tuple[str, ...]:
    """Read a comma-separated allow list.

    Raises:
        ApiError: InvalidSecurityIPList.Format, .Duplicate, InvalidSecurityIPListLength.Malformed.
    """
    ips = tuple(text.split(","))
    for ip in ips:
        try:
            network = ipaddress.ip_network(ip, strict=False)
        except ValueError:
            network = None
        if network is None or ip == "0.0.0.0" or (network.prefixlen == 0 and ip != "0.0.0.0/0"):  # noqa: S104 - compared, not bound
            raise ApiError(
                400,
                "InvalidSecurityIPList.Format",
                "The IP list must hold addresses and CIDR blocks, separated by commas.",
            )
    if len(set(ips)) != len(ips):
        raise ApiError(400, "InvalidSecurityIPList.Duplicate", "The IP list names an entry twice.")
    if len(ips) > IP_LIMIT:
        raise ApiError(
            400,
            "InvalidSecurityIPListLength.Malformed",
            f"The IP list has more than {IP_LIMIT} entries.",
        )
    return ips


def check_tags(tags: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Check tags that are to be added.

    Raises:
        ApiError: InvalidTagKey.Malformed, InvalidTagValue.Malformed, Duplicate.TagKey,
            NumberExceed.Tags.
    """
    checked: dict[str, str] = {}
    for key, value in tags:
        if not key or key.startswith("aliyun") or not _is_tag_text(key):
            raise ApiError(400, "InvalidTagKey.Malformed", "The Tag.N.Key parameter is malformed.")
        if not _is_tag_text(value):
            raise ApiError(
                400, "InvalidTagValue.Malformed", "The Tag.N.Value parameter is malformed."
            )
        if key in checked:
            raise ApiError(400, "Duplicate.TagKey", "The Tag.N.Key contains duplicate keys.")
        checked[key] = value
    check_tag_count(checked)
    return checked


def _is_tag_text(text: str) -> bool:
    return (
        len(text) <= TAG_TEXT_LIMIT
        and not text.startswith("acs:")
        and "http://" not in text
        and "https://" not in text
    )


def check_tag_count(tags: dict[str, str]) -> None:
    """Check how many tags a resource would have.

    Raises:
        ApiError: NumberExceed.Tags.
    """
    if len(tags) > TAG_LIMIT:
        raise ApiError(
            400, "NumberExceed.Tags", f"The maximum number of tags, {TAG_LIMIT}, is exceeded."
        )


def read_tags_json(parameters: Parameters) -> dict[str, str]:
    """Read the parameter Tags: a JSON object of at most five texts.

    Raises:
        ApiError: InvalidParameter for anything else.
    """
    raw = parameters.get("Tags")
    if not raw:
        return {}
    try:
        tags = msgspec.json.decode(raw, type=dict[str, str])
    except msgspec.MsgspecError:
        raise ApiError(
            400,
            "InvalidParameter",
            'The specified parameter "Tags" must be a JSON object of texts.',
        ) from None
    if len(tags) > 5:  # noqa: PLR2004 - documented limit
        raise ApiError(400, "NumberExceed.Tags", "Tags may hold five pairs at most.")
    return tags
