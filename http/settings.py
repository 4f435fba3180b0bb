"""The settings of the HTTP edge."""

from __future__ import annotations

import enum
from pathlib import Path
from urllib.parse import quote

import msgspec

from alibroker.actors.settings import Count, Seconds, SettingsError, variable


class MissingVersion(enum.IntEnum):
    """The status for a request without version header (OSB: 400 may be; older platforms: 412)."""

    BAD_REQUEST = 400
    PRECONDITION_FAILED = 412


class DeletedPoll(enum.IntEnum):
    """The status for a poll after a deletion has succeeded; platforms differ in what they want."""

    SUCCEEDED = 200
    GONE = 410


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True, rename=variable):
    """What the HTTP edge needs to know."""

    bind: str = "127.0.0.1:8005"
    """Address and port to listen on."""
    username: str = ""
    """Name that platforms authenticate with."""
    password: str = ""
    """Password that platforms authenticate with."""
    operator_username: str = ""
    """Name that operators authenticate with under `/operator`; unset: nobody is let in there."""
    operator_password: str = ""
    """Password that operators authenticate with; not one that platforms have."""
    tls_cert: Path | None = None
    """Certificate to serve https with (PEM file); without, something in front has to."""
    tls_key: Path | None = None
    """Key of the certificate (PEM file)."""
    users_file: Path | None = None
    """File with more of them, a line each: `name:password`."""
    missing_version: MissingVersion = MissingVersion.PRECONDITION_FAILED
    """Status for a request without `X-Broker-API-Version`: 412 or 400."""
    response_timeout: Seconds = 55.0
    """Seconds after which a request is answered, done or not; platforms give up at 60."""
    max_body: Count = 262_144
    """Bytes that a request body may have."""
    deleted_poll: DeletedPoll = DeletedPoll.SUCCEEDED
    """Status of a poll after a deletion has succeeded: 200 or 410."""
    send_endpoints: bool = False
    """Whether bindings say their `endpoints`; a widespread client library cannot read them."""
    dashboard_url: str = ""
    """Where an instance is looked at; `{instance_id}` and `{service_id}` stand for the ids."""

    def dashboard_of(self, instance_id: str, service_id: str) -> dict[str, str]:
        """Return the member `dashboard_url` of an answer, if there is a dashboard."""
        if not self.dashboard_url:
            return {}
        url = self.dashboard_url.replace("{instance_id}", quote(instance_id, safe=""))
        return {"dashboard_url": url.replace("{service_id}", quote(service_id, safe=""))}

    def operators(self) -> dict[str, str]:
        """Return the operators' passwords by user name.

        Raises:
            SettingsError: Only one of name and password is set.
        """
        if bool(self.operator_username) != bool(self.operator_password):
            raise SettingsError(
                "Set both ALIBROKER_OPERATOR_USERNAME and ALIBROKER_OPERATOR_PASSWORD, or neither"
            )
        return {self.operator_username: self.operator_password} if self.operator_username else {}

    def users(self) -> dict[str, str]:
        """Return the passwords by user name.

        Raises:
            SettingsError: There is none, or the file cannot be read.
        """
        users = {}
        if self.users_file is not None:
            try:
                lines = self.users_file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as ex:
                raise SettingsError(f"ALIBROKER_USERS_FILE cannot be read: {ex}") from None
            for number, line in enumerate(lines, 1):
                name, colon, password = line.partition(":")
                if line and not (name and colon and password):
                    raise SettingsError(f"ALIBROKER_USERS_FILE: line {number} is not name:password")
                if line:
                    users[name] = password
        if self.username and self.password:
            users[self.username] = self.password
        elif self.username or self.password or not users:
            raise SettingsError(
                "Set ALIBROKER_USERNAME and ALIBROKER_PASSWORD (or ALIBROKER_USERS_FILE): "
                "the broker does not start without"
            )
        return users
