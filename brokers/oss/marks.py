"""What tells whose a RAM user is: its name, and its comment, since users have no tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.naming import tag_text, tag_value
from alibroker.brokers.digests import digest
from alibroker.brokers.oss.users import Attachment

_LONGEST: Final = 128
_LETTERS: Final = 26
_OWN: Final = "alibroker-"
_LEFT_OUT: Final = "-"  # no tag has this value


class Mark(msgspec.Struct, frozen=True):
    """For what a user was created; ids that are not known are empty."""

    instance_id: str = ""
    binding_id: str = ""


def user_name(owner: str, instance_id: str, binding_id: str) -> str:
    """Return the name of the user of a binding, the same at every attempt."""
    return f"{_OWN}{digest(owner, instance_id, binding_id, length=_LETTERS)}"


def write_mark(owner: str, instance_id: str, binding_id: str) -> str:
    """Return the comment of the user of a binding (RAM CreateUser, 128 characters at most).

    It says as much as fits; the tags of the user's policy say for which instance it is as well.
    """
    whose, instance, binding = (tag_value(part) for part in (owner, instance_id, binding_id))
    texts = (f"{whose} {instance} {binding}", f"{whose} {_LEFT_OUT} {binding}")
    return next((text for text in texts if len(text) <= _LONGEST), whose)


def read_mark(owner: str, name: str, comment: str, policy_instance: str = "") -> Mark | None:
    """Return what is known of a user of `owner`; None if it is not one.

    `policy_instance` is the instance of its policy. All this counts only if the user's name
    agrees, which nobody can change unnoticed.
    """
    whose, *ids = comment.split(" ")
    # Earlier versions wrote nothing but the binding.
    early = Mark(policy_instance, tag_text(comment))
    if not ids and user_name(owner, early.instance_id, early.binding_id) == name:
        return early
    if not name.startswith(_OWN) or whose != tag_value(owner):
        return None
    if len(ids) != 2:  # noqa: PLR2004 - instance and binding
        return Mark()
    instance_id = policy_instance if ids[0] == _LEFT_OUT else tag_text(ids[0])
    mark = Mark(instance_id, tag_text(ids[1]))
    return mark if user_name(owner, mark.instance_id, mark.binding_id) == name else Mark()


def of_others(attachments: Iterable[Attachment]) -> str:
    """Name what somebody else has attached a policy to; empty if only bindings have it."""
    return ", ".join(
        f"{one.kind} {one.name}"
        for one in attachments
        if one.kind != "RAM user" or not one.name.startswith(_OWN)
    )
