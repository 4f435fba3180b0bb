"""Texts from outside: what is a slip in a secret, and what does harm in a description."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BYTE_ORDER_MARK: Final = "\ufeff"

_TERMINAL_SEQUENCE: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
# What ends a line somewhere, and what turns the direction of the text around it.
_CONTROLS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+"
)
_NO_CHARACTER: Final = re.compile(r"[\ud800-\udfff]")


def slip_in(secret: str) -> str:
    """Say what somebody has put into a secret without meaning to; empty if nothing.

    The end of a line that came along with a file, most of all: nobody can type that in again.
    """
    if secret != secret.strip():
        return "begins or ends with white space"
    kinds = {unicodedata.category(character) for character in secret}
    if "Cc" in kinds or _BYTE_ORDER_MARK in secret:
        return "has a control character in it"
    return "is not in UTF-8" if "Cs" in kinds else ""


def plain(text: str) -> str:
    """Return a text in one line that terminals, logs and databases show as it is.

    Whoever wrote it may be a stranger: with control characters it could forge a line of a log, hide
    what it says, or be refused by who has to store it.
    """
    text = _CONTROLS.sub(" ", _TERMINAL_SEQUENCE.sub("", text))
    return _NO_CHARACTER.sub("\ufffd", text).strip()
