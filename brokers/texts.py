"""Texts from outside: what is a slip in a secret."""

from __future__ import annotations

import unicodedata
from typing import Final

_BYTE_ORDER_MARK: Final = "\ufeff"


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
