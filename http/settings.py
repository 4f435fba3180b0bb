"""The settings of the HTTP edge."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import quote

import msgspec

from alibroker.actors.settings import Count, Seconds, SettingsError, variable
from alibroker.brokers.texts import slip_in
from alibroker.http.addresses import Network, networks
from alibroker.http.guesses import FREE


class MissingVersion(enum.IntEnum):
    """The status for a request without version header (OSB: 400 may be; older platforms: 412)."""

    BAD_REQUEST = 400
    PRECONDITION_FAILED = 412


class DeletedPoll(enum.IntEnum):
    """The status for a poll after a deletion has succeeded; platforms differ in what they want."""

    SUCCEEDED = 200
    GONE = 410


class Platform(NamedTuple):
    """Who may use the broker, and where that is said."""

    setting: str
    name: str
    password: str


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
    wrong_passwords: Count = FREE
    """Wrong passwords a minute, for a name from an address, after which guessing is slowed down."""
    trusted_proxies: str = ""
    """Addresses or networks, with commas in between, of proxies whose `X-Forwarded-For` is true."""
    missing_version: MissingVersion = MissingVersion.PRECONDITION_FAILED
    """Status for a request without `X-Broker-API-Version`: 412 or 400."""
    response_timeout: Seconds = 55.0
    """Seconds after which a request is answered, done or not; platforms give up at 60."""
    stop_delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds for which a process that is to stop still serves while `/readyz` says no."""
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

    def proxies(self) -> tuple[Network, ...]:
        """Return the networks of the trusted proxies.

        Raises:
            SettingsError: One is none.
        """
        try:
            return networks(self.trusted_proxies)
        except ValueError as ex:
            raise SettingsError(f"ALIBROKER_TRUSTED_PROXIES: {ex}") from None

    def operators(self) -> dict[str, str]:
        """Return the operators' passwords by user name.

        Raises:
            SettingsError: Only one of name and password is set, or platforms have the same one.
        """
        name, password = self.operator_username, self.operator_password
        if bool(name) != bool(password):
            raise SettingsError(
                "Set both ALIBROKER_OPERATOR_USERNAME and ALIBROKER_OPERATOR_PASSWORD, or neither"
            )
        if not name:
            return {}
        _check_name("ALIBROKER_OPERATOR_USERNAME", name)
        _check_secret("ALIBROKER_OPERATOR_PASSWORD", password)
        for one in self._platforms():
            if one.password == password:
                raise SettingsError(
                    "ALIBROKER_OPERATOR_PASSWORD is a password of platforms as well "
                    f"({one.setting}): whoever has that could do all that operators may"
                )
        return {name: password}

    def users(self) -> dict[str, str]:
        """Return the passwords by user name.

        Raises:
            SettingsError: There is none, one has a slip in it, or the file cannot be read.
        """
        users = {one.name: one.password for one in self._platforms()}
        if not users:
            raise SettingsError(
                "Set ALIBROKER_USERNAME and ALIBROKER_PASSWORD (or ALIBROKER_USERS_FILE): "
                "the broker does not start without"
            )
        return users

    def passwords(self) -> Iterator[tuple[str, str]]:
        """Return all passwords, each with the setting that it comes from."""
        for one in self._platforms():
            yield one.setting, one.password
        if self.operator_password:
            yield "ALIBROKER_OPERATOR_PASSWORD", self.operator_password

    def _platforms(self) -> list[Platform]:
        platforms = _platforms_in(self.users_file) if self.users_file is not None else []
        if bool(self.username) != bool(self.password):
            raise SettingsError(
                "Set both ALIBROKER_USERNAME and ALIBROKER_PASSWORD, or neither and "
                "ALIBROKER_USERS_FILE"
            )
        if self.username:
            _check_name("ALIBROKER_USERNAME", self.username)
            _check_secret("ALIBROKER_PASSWORD", self.password)
            platforms.append(Platform("ALIBROKER_PASSWORD", self.username, self.password))
        return platforms


def _platforms_in(path: Path) -> list[Platform]:
    try:
        # Editors of Windows begin a file with a mark that nobody sees.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as ex:
        reason = ex if isinstance(ex, OSError) else "it is not in UTF-8"
        raise SettingsError(f"ALIBROKER_USERS_FILE cannot be read: {reason}") from None
    platforms = []
    for number, line in enumerate(lines, 1):
        name, _, password = line.removesuffix("\r").partition(":")
        setting = f"ALIBROKER_USERS_FILE, line {number},"
        if name or password:
            if not (name and password):
                raise SettingsError(f"{setting} is not name:password")
            _check_name(setting, name)
            _check_secret(setting, password)
            platforms.append(Platform(setting.removesuffix(","), name, password))
    return platforms


def _check_name(setting: str, name: str) -> None:
    # With a colon in it, it would be another name with another password (RFC 7617).
    slip = "has a colon in it" if ":" in name else slip_in(name)
    if slip:
        raise SettingsError(f"{setting} {slip}")


def _check_secret(setting: str, secret: str) -> None:
    if slip := slip_in(secret):
        raise SettingsError(f"{setting} {slip}")
