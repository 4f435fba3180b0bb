"""The steps of bind and unbind: a RAM user with a key for the bucket comes and goes."""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.naming import digest, tag_value
from alibroker.brokers.alibabacloud.settings import CloudSettings
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.oss.instances import Instances
from alibroker.brokers.oss.users import RamCalls

_BOUND: Final = "bound"
_POLL_SECONDS: Final = 2.0


class Bindings:
    """Gives each binding a key that opens its bucket and nothing else."""

    def __init__(self, ram: RamCalls, instances: Instances, settings: CloudSettings) -> None:
        self._ram = ram
        self._instances = instances
        self._settle = settings.settle
        self._poll = min(_POLL_SECONDS, settings.poll_interval)

    def bind(self, work: Work) -> Step:
        """Do the next step towards the credentials."""
        match work.state.get("phase"):
            case "user":
                return self._create_user(work)
            case "key":
                return self._create_key(work)
            case "verify":
                return self._verify(work)
        if not work.resource.get("bucket"):
            return Failed(reason="the service instance has no bucket")
        name = f"alibroker-{digest(work.instance_id, work.binding_id, length=26)}"
        return InProgress(
            description="The user is being created",
            state={"phase": "user"},
            resource={"user": name, "policy": name},
        )

    def _create_user(self, work: Work) -> Step:
        user, policy = work.binding_resource["user"], work.binding_resource["policy"]
        self._ram.create_user(user, comment=tag_value(work.binding_id))
        self._ram.create_policy(policy, work.resource["bucket"])
        try:
            self._ram.attach(policy, user)
        except CloudError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            # Created a moment ago, and not known everywhere in RAM yet.
            return InProgress(
                description="The user is being created",
                state=work.state,
                poll_after=self._poll,
            )
        return InProgress(description="The key is being created", state={"phase": "key"})

    def _create_key(self, work: Work) -> Step:
        """Create the key whose secret is shown only once.

        Any key that is there already comes from an answer that was lost: nobody knows its secret.
        """
        user = work.binding_resource["user"]
        for key_id in self._ram.access_keys(user):
            self._ram.delete_access_key(user, key_id)
        key_id, secret = self._ram.create_access_key(user)
        return InProgress(
            description="The key is being activated",
            state={"phase": "verify", "key_id": key_id, "secret": secret},
        )

    def _verify(self, work: Work) -> Step:
        key_id, secret = work.state["key_id"], work.state["secret"]
        if not self._instances.bucket(work).answers_to(key_id, secret):
            return InProgress(
                description="The key is being activated", state=work.state, poll_after=self._poll
            )
        credentials = _credentials(work, key_id, secret)
        return Succeeded(resource={_BOUND: True}, credentials=credentials)

    def unbind(self, work: Work) -> Step:
        """Do the next step towards there being no user, no key and no policy."""
        user, policy = work.binding_resource.get("user"), work.binding_resource.get("policy")
        if not user or not policy:
            return Succeeded()  # bind never asked the cloud for anything
        # In the only order that RAM accepts.
        for key_id in self._ram.access_keys(user):
            self._ram.delete_access_key(user, key_id)
        self._ram.detach(policy, user)
        self._ram.delete_user(user)
        self._ram.delete_policy(policy)
        first = work.state.get("removed_at", work.now)
        rest = self._settle - (work.now - first)
        if work.binding_resource.get(_BOUND) or rest <= 0:
            return Succeeded()
        # A request of the failed bind whose answer was lost may still take effect: look again.
        return InProgress(
            description="Making sure that no user is left",
            state={"removed_at": first},
            poll_after=rest,
        )


def _credentials(work: Work, key_id: str, secret: str) -> Json:
    facts = work.resource
    return {
        "bucket": facts["bucket"],
        "username": work.binding_resource["user"],
        "access_key_id": key_id,
        "secret_access_key": secret,
        "host": facts["host"],
        "uri": f"oss://{key_id}:{secret}@{facts['host']}:{facts['bucket']}",
        "region": facts["region"],
        "endpoint": facts["endpoint"],
    }
