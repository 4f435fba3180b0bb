"""The end of a RAM user that a binding had, whatever others have hung on it meanwhile.

RAM deletes no user that has policies, groups, keys, a password or a second factor (DeleteUser). The
user is the binding's alone, so what hangs on it goes with it; the policies and groups stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.oss.users import RamCalls


class _Attachment(NamedTuple):
    what: str
    take: Callable[[RamCalls, str], None]


def _keys(ram: RamCalls, user: str) -> None:
    for key_id in ram.access_keys(user):
        ram.delete_access_key(user, key_id)


def _policies(ram: RamCalls, user: str) -> None:
    for policy, kind in ram.policies_of(user):
        ram.detach(policy, user, kind)


def _groups(ram: RamCalls, user: str) -> None:
    for group in ram.groups_of(user):
        ram.leave(group, user)


_ATTACHED: Final = {
    "DeleteConflict.User.AccessKey": _Attachment("access keys", _keys),
    "DeleteConflict.User.Policy": _Attachment("policies", _policies),
    "DeleteConflict.User.Group": _Attachment("group memberships", _groups),
    "DeleteConflict.User.LoginProfile": _Attachment("a password", RamCalls.delete_login_profile),
    "DeleteConflict.User.MFADevice": _Attachment("an MFA device", RamCalls.unbind_mfa_device),
}


def remove_user(ram: RamCalls, user: str) -> None:
    """Delete a user, if it is there, and take from it what keeps RAM from doing so.

    Raises:
        CloudError: A call did not end well. Where the broker may not take something away, the text
            names what it is and whose.
    """
    taken: set[str] = set()
    while True:
        try:
            ram.delete_user(user)
        except CloudError as error:
            attached = _ATTACHED.get(error.code)
            if attached is None or error.code in taken:
                raise
            taken.add(error.code)
            _take(ram, user, attached)
        else:
            return


def _take(ram: RamCalls, user: str, attached: _Attachment) -> None:
    try:
        attached.take(ram, user)
    except CloudError as error:
        if error.kind is Kind.NOT_FOUND:
            return  # the user, which somebody else has deleted
        if error.kind is not Kind.DENIED:
            raise
        raise CloudError(
            Kind.FAILED,
            action=error.action,
            code=error.code,
            message=f"the RAM user {user} has {attached.what} that this broker did not give it: "
            f"take them from it, or let the broker do so; {error.message}",
            request_id=error.request_id,
        ) from error
