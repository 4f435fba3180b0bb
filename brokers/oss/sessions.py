"""Temporary keys: sessions of a role, cut down to what a binding may do (STS AssumeRole)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.infrastructure import STS
from alibroker.brokers.api import Failed, InProgress, Json, Step, Succeeded, Work
from alibroker.brokers.oss.access import Access
from alibroker.brokers.oss.activation import given_up
from alibroker.brokers.oss.credentials import credentials, endpoints
from alibroker.brokers.oss.instances import Instances

_NO_ROLE: Final = (
    "temporary keys are not set up: leave DurationSeconds out, or have the broker's operator set "
    "ALIBROKER_OSS_ROLE"
)


class Session(msgspec.Struct, frozen=True):
    """A temporary key."""

    key_id: str
    secret: str
    token: str
    expires_at: str
    """UTC, ISO 8601."""


class Sessions:
    """Gives bindings keys that end by themselves; nothing in the cloud has to be removed."""

    def __init__(self, cloud: CloudClient, instances: Instances, role: str, poll: float) -> None:
        """Take the ARN of the role, empty if there is none, and seconds between two looks."""
        self._cloud = cloud
        self._instances = instances
        self._role = role
        self._poll = poll

    def bind(self, work: Work, name: str) -> Step:
        """Do the next step towards a temporary key; `name` is shown in the cloud's logs."""
        if not self._role:
            return Failed(reason=_NO_ROLE)
        access = Access.asked(work.binding_parameters)
        if work.state.get("phase") != "session":
            session = self._assume(
                name,
                work.binding_parameters["DurationSeconds"],
                access.policy_document(work.resource["bucket"]),
            )
            return self._wait(msgspec.to_builtins(session), work.now)
        session = msgspec.convert(work.state["session"], Session)
        bucket = self._instances.bucket(work)
        opening = bucket.opening(session.key_id, session.secret, access, session.token)
        if opening.refusal:
            since = work.state.get("since", work.now)
            if end := given_up(opening, since, work.now):
                return end
            return self._wait(work.state["session"], since)
        places = bucket.places(inside=opening.inside)
        found = credentials(work, places, access, name, session.key_id, session.secret)
        return Succeeded(
            resource={"session": name, "access": access.level, "prefix": access.prefix},
            credentials={**found, "security_token": session.token},
            metadata={"expires_at": session.expires_at},
            endpoints=endpoints(places),
        )

    def _wait(self, session: Json, since: float) -> InProgress:
        return InProgress(
            description="The key is being activated",
            state={"phase": "session", "session": session, "since": since},
            poll_after=self._poll,
        )

    def _assume(self, name: str, seconds: int, policy: str) -> Session:
        answer = self._cloud.ask(
            STS,
            "AssumeRole",
            RoleArn=self._role,
            RoleSessionName=name,
            DurationSeconds=str(seconds),
            Policy=policy,
        )
        found: Mapping[str, str] = answer["Credentials"]
        return Session(
            found["AccessKeyId"],
            found["AccessKeySecret"],
            found["SecurityToken"],
            found["Expiration"],
        )
