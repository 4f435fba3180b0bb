"""The steps of bind and unbind: a RAM user with a key for the bucket comes and goes."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.alibabacloud.settling import unsettled
from alibroker.brokers.api import Failed, InProgress, Step, Succeeded, Work
from alibroker.brokers.oss.access import Access
from alibroker.brokers.oss.activation import given_up
from alibroker.brokers.oss.credentials import credentials, endpoints
from alibroker.brokers.oss.instances import Instances
from alibroker.brokers.oss.leaving import remove_user
from alibroker.brokers.oss.marks import user_name, write_mark
from alibroker.brokers.oss.names import CHOSEN, ChosenNames, Holder
from alibroker.brokers.oss.sessions import Sessions
from alibroker.brokers.oss.users import RamCalls

BOUND: Final = "bound"
_POLL_SECONDS: Final = 2.0
_PATIENCE: Final = 10
_UNKNOWN_ACCESS: Final = (
    "what the user of this binding may do is not known, since its policy is not the one that the "
    "broker gave it: create another binding"
)


def pause(settings: CloudSettings) -> float:
    """Return the seconds between two tries of a new key."""
    return min(_POLL_SECONDS, settings.poll_interval)


class Bindings:
    """Gives each binding a key that opens its bucket as far as was asked, and nothing else."""

    def __init__(
        self,
        ram: RamCalls,
        names: ChosenNames,
        sessions: Sessions,
        instances: Instances,
        settings: CloudSettings,
    ) -> None:
        self._ram = ram
        self._names = names
        self._sessions = sessions
        self._instances = instances
        self._name = settings.name
        self._settle = settings.settle
        self._poll = pause(settings)

    def bind(self, work: Work) -> Step:
        """Do the next step towards the credentials."""
        match work.state.get("phase"):
            case "user":
                return self._create_user(work)
            case "verify":
                return self._verify(work)
        bucket = work.resource.get("bucket")
        if not bucket:
            return Failed(reason="the service instance has no bucket")
        if work.resource.get(CHOSEN) and not self._is_still_ours(work):
            return Failed(reason=f"the bucket {bucket} is not that of the instance any more")
        access = Access.asked(work.binding_parameters)
        name = user_name(self._name, work.instance_id, work.binding_id)
        if work.binding_parameters.get("DurationSeconds"):
            return self._sessions.bind(work, name)
        if "user" in work.binding_resource and "access" not in work.binding_resource:
            return Failed(reason=_UNKNOWN_ACCESS)
        return InProgress(
            description="The user is being created",
            state={"phase": "user"},
            resource={
                "user": work.binding_resource.get("user", name),
                "policy": access.policy_name(self._name, bucket),
                "access": access.level,
                "prefix": access.prefix,
            },
        )

    def _is_still_ours(self, work: Work) -> bool:
        """Tell whether nobody deleted the bucket and took its name."""
        found = self._names.holder(work, self._instances.bucket(work))
        return found is Holder.INSTANCE

    def _create_user(self, work: Work) -> Step:
        """Create the user, see to the policy, and create the key whose secret is shown only once.

        Where the user is there already this was begun before, or the binding is being bound anew.
        Its oldest key may be in use, and so stays until the new one works; a newer one comes from
        an answer that was lost: nobody knows its secret.
        """
        user = work.binding_resource["user"]
        comment = write_mark(self._name, work.instance_id, work.binding_id)
        fresh = self._ram.create_user(user, comment)
        if not self._grant(work):
            return self._wait(work)
        if not fresh:
            for key_id in self._ram.access_keys(user)[1:]:
                self._ram.delete_access_key(user, key_id)
        key = self._ram.create_access_key(user)
        if key is None:
            return self._wait(work)
        return InProgress(
            description="The key is being activated",
            state={"phase": "verify", "key_id": key[0], "secret": key[1], "fresh": fresh},
            poll_after=self._poll,
        )

    def _grant(self, work: Work) -> bool:
        """See to the policy and attach it; return False if that has to be tried again."""
        policy = work.binding_resource["policy"]
        document = Access.asked(work.binding_parameters).policy_document(work.resource["bucket"])
        self._ram.create_policy(
            policy, document, self._names.policy_tags(work, work.resource["bucket"])
        )
        try:
            self._ram.attach(policy, work.binding_resource["user"])
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            # Not known everywhere in RAM yet, or removed with another binding a moment ago.
            return False
        return True

    def _verify(self, work: Work) -> Step:
        """Wait until OSS knows the key: it takes seconds, and the first use is to work."""
        key_id, secret = work.state["key_id"], work.state["secret"]
        access = Access.asked(work.binding_parameters)
        bucket = self._instances.bucket(work)
        opening = bucket.opening(key_id, secret, access)
        if opening.refusal:
            since = work.state.get("since", work.now)
            if end := given_up(opening, since, work.now):
                return end
            tries = work.state.get("tries", 0) + 1
            if tries % _PATIENCE == 0:
                # It should have worked by now: see to it that nobody took the policy away.
                self._grant(work)
            return InProgress(
                description="The key is being activated",
                state={**work.state, "tries": tries, "since": since},
                poll_after=self._poll,
            )
        if not work.state.get("fresh"):
            self._delete_keys(work.binding_resource["user"], but=key_id)
        user = work.binding_resource["user"]
        places = bucket.places(inside=opening.inside)
        return Succeeded(
            resource={BOUND: True},
            credentials=credentials(work, places, access, user, key_id, secret),
            endpoints=endpoints(places),
        )

    def _delete_keys(self, user: str, *, but: str = "") -> None:
        for key_id in self._ram.access_keys(user):
            if key_id != but:
                self._ram.delete_access_key(user, key_id)

    def _wait(self, work: Work) -> InProgress:
        return InProgress(
            description="RAM has not noticed everything yet",
            state=work.state,
            poll_after=self._poll,
        )

    def unbind(self, work: Work) -> Step:
        """Do the next step towards there being no user, no key and no policy of its own."""
        user = str(work.binding_resource.get("user", ""))
        policy = str(work.binding_resource.get("policy", ""))
        if not user:
            return Succeeded()  # bind never asked the cloud for anything
        # In the only order that RAM accepts.
        self._delete_keys(user)
        if policy:
            self._ram.detach(policy, user)
        remove_user(self._ram, user)
        used = bool(policy) and not self._ram.delete_policy(policy)
        if used and not set(self._ram.users_of(policy)) - {user}:
            # RAM has not noticed everywhere yet that nobody is left.
            return self._wait(work)
        first = work.state.get("removed_at", work.now)
        bound = bool(work.binding_resource.get(BOUND))
        rest = unsettled(work, self._settle, since=first, complete=bound)
        if not rest:
            return Succeeded()
        # A request of the bind whose answer was lost may still take effect: look again.
        return InProgress(
            description="Making sure that no user is left",
            state={"removed_at": first},
            poll_after=rest,
        )
