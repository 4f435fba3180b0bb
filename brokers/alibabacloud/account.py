"""In which account of the cloud a thing is, so that another account is never asked about it.

A key of another account finds nothing of it: an RDS instance "does not exist" there, and a
deprovision that believed so would leave it running and paid for. So a record says from its first
intent on in which account its thing is, and no step does anything about it with a key of another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError
from alibroker.brokers.api import (
    Failed,
    Found,
    InProgress,
    Json,
    OperationKind,
    Step,
    Succeeded,
    TryAgainError,
    Work,
)

ACCOUNT_ID: Final = "account_id"
"""Name of the fact that says in which account a thing is."""
GONE: Final = "gone"
"""Name of the fact that a deprovision has ended well: what there was is in no account any more."""
_OF_BINDINGS: Final = frozenset({OperationKind.BIND, OperationKind.UNBIND})
_REMOVALS: Final = frozenset({OperationKind.DEPROVISION, OperationKind.UNBIND})
_KEYS: Final = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or the profile or role that "
    "it runs with"
)

_log = logging.getLogger(__name__)


class Account:
    """Compares the account of the broker's credentials with that of records. Thread-safe."""

    def __init__(self, cloud: CloudClient, *, instance_fact: str, binding_fact: str) -> None:
        """Take what the facts are called that name an instance's thing and a binding's."""
        self._cloud = cloud
        self._instance_fact = instance_fact
        self._binding_fact = binding_fact
        self._told: set[tuple[str, str]] = set()

    def id(self) -> str:
        """Return the id of the account of the credentials (`CloudClient.account`).

        Raises:
            TryAgainError: It is not known. Nothing that rests on it may be done then.
        """
        try:
            return self._cloud.account()
        except CloudError as error:
            raise TryAgainError(
                f"it is not known which account the broker's credentials belong to: {error}",
                after=error.after,
            ) from error

    def check(self, *facts: Json) -> str:
        """Return the account of the credentials, unless facts say that a thing is in another one.

        Facts from before accounts were recorded say nothing.

        Raises:
            TryAgainError: They do; the text names both. Or the account is not known.
        """
        current = self.id()
        for known in (one.get(ACCOUNT_ID) for one in facts if not one.get(GONE)):
            if known and known != current:
                self._tell(str(known), current)
                raise TryAgainError(
                    f"it is in the Alibaba Cloud account {known}, but the broker's credentials are "
                    f"of account {current}: the broker's operator has to give it a key of {known} "
                    f"({_KEYS})"
                )
        return current

    def guarded(self, work: Work, step: Callable[[Work], Step]) -> Step:
        """Do a step with the credentials of the right account, and see to it that it is recorded.

        In the steady state this is no call. An end is believed only if the credentials are of the
        same account after the step: they can have been renewed meanwhile.

        Raises:
            TryAgainError: The credentials are of another account, or it is not known.
        """
        if work.kind in _REMOVALS and self._holds_nothing(work):
            return step(work)
        current = self.check(work.resource, work.binding_resource)
        result = step(work)
        if isinstance(result, Failed) or (isinstance(result, Succeeded) and work.kind in _REMOVALS):
            self.check(work.resource, work.binding_resource)
            return result
        facts = self._facts(work)
        if facts.get(ACCOUNT_ID) and not facts.get(GONE):
            return result
        if self._begins(work) or self._is_seen(work, result):
            return replace(result, resource={**result.resource, ACCOUNT_ID: current})
        return result

    def inventory(self, look: Callable[[], Iterable[Found]]) -> list[Found]:
        """Return what `look` finds, each thing that has facts with the account that it is in.

        Raises:
            TryAgainError: The account is not known, or not the same throughout.
        """
        before = self.id()
        found = list(look())
        if self.id() != before:
            raise TryAgainError("the broker has got credentials of another account meanwhile")
        return [
            replace(one, resource={**one.resource, ACCOUNT_ID: before}) if one.resource else one
            for one in found
        ]

    def _facts(self, work: Work) -> Json:
        return work.binding_resource if work.kind in _OF_BINDINGS else work.resource

    def _name(self, work: Work) -> str:
        return self._binding_fact if work.kind in _OF_BINDINGS else self._instance_fact

    def _holds_nothing(self, work: Work) -> bool:
        """Tell whether a removal has nothing to look for, whatever account that would be in."""
        facts = self._facts(work)
        if work.kind is OperationKind.UNBIND:
            return not facts.get(self._binding_fact)
        return not facts or bool(facts.get(GONE))

    def _begins(self, work: Work) -> bool:
        """Tell whether nothing was intended yet: what comes is intended for this account."""
        facts = self._facts(work)
        return work.kind in {OperationKind.PROVISION, OperationKind.BIND} and (
            not facts or bool(facts.get(GONE))
        )

    def _is_seen(self, work: Work, result: InProgress | Succeeded) -> bool:
        """Tell whether the cloud has just shown the thing of a record that says no account."""
        return isinstance(result, Succeeded) or bool(result.resource.get(self._name(work)))

    def _tell(self, known: str, current: str) -> None:
        """Tell the operator, once of each two accounts."""
        if (known, current) in self._told:
            return
        self._told.add((known, current))
        _log.critical(
            "The credentials are of account %s, but there are records of account %s: nothing is "
            "done about those until the credentials are of %s again. Look at %s",
            current,
            known,
            known,
            _KEYS,
        )
