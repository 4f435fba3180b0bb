"""The settings of the engine and its store, read from the environment once, at start."""

from __future__ import annotations

import enum
import hashlib
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from alibroker.brokers.texts import slip_in
from alibroker.etcd.client import Etcd, Tls, User
from alibroker.etcd.sealing import Sealer, SealError, create_key_file, load_key

S = TypeVar("S", bound=msgspec.Struct)

PREFIX = "ALIBROKER_"
KEY_TIMEOUT = 30.0
"""Seconds that a command has to print the sealing key."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Orphans(enum.StrEnum):
    """What is done about what exists in the cloud and no record knows."""

    REPORT = "report"
    DELETE = "delete"


class SettingsError(Exception):
    """A setting is missing or wrong; the text names it and says what it should be."""


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + field.upper()


def read_settings(kind: type[S], environment: Mapping[str, str]) -> S:
    """Read settings; what is unset or empty has its default.

    Raises:
        SettingsError: One is missing or wrong.
    """
    values = {
        field.encode_name: environment[field.encode_name]
        for field in msgspec.structs.fields(kind)
        if environment.get(field.encode_name)
    }
    try:
        return msgspec.convert(
            values, kind, strict=False, dec_hook=lambda wanted, value: wanted(value)
        )
    except msgspec.ValidationError as ex:
        text = str(ex).replace("Object missing required field", "Set").replace("`$.", "`")
        raise SettingsError(text) from None


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, rename=variable):
    """What the actor system and its store need to know."""

    data_dir: Path = Path("data")
    """Directory of what this machine has to keep: embedded etcd, its sealing key."""
    etcd_endpoints: str = ""
    """Endpoints of an external etcd with commas in between; empty: embedded etcd."""
    etcd_ca: Path | None = None
    """Certificate authority of the external etcd (PEM file)."""
    etcd_cert: Path | None = None
    """Client certificate towards the external etcd (PEM file)."""
    etcd_key: Path | None = None
    """Key of the client certificate (PEM file)."""
    etcd_username: str = ""
    """Name of a user of the external etcd, where it wants one."""
    etcd_password: str = ""
    """That user's password."""
    seal_key: str = ""
    """Base64 of the 32 bytes that secrets in the store are sealed with; with a comma and an
    older key behind it, what is still sealed with that is opened, and sealed anew."""
    seal_key_file: Path | None = None
    """File with the same; by default `seal.key` in the data directory, made at the first start."""
    seal_key_command: str = ""
    """Command, run without a shell at the start, that prints the same: the way to a KMS."""
    store_timeout: Seconds = 3.0
    """Seconds after which a call to etcd is given up."""
    workers: Count = 8
    """Workers per broker: how many cloud calls of one service run at once."""
    strict_plugins: bool = False
    """Whether a plugin that cannot be loaded keeps the others from starting."""
    load_timeout: Seconds = 30.0
    """Seconds within which a plugin has to be loaded."""
    step_timeout: Seconds = 300.0
    """Seconds within which a plugin's step or look at the cloud has to come back, if only to say
    that there is more to do; one that does not is taken to hang."""
    max_changes: Count = 1000
    """Changes per broker that wait for the store or, synchronous ones, for the cloud."""
    max_operations: Count = 10_000
    """Operations per service in progress, beyond which creations are refused."""
    result_lifetime: Seconds = 86_400.0
    """Seconds for which the result of a deletion can be asked for."""

    survey_interval: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    """Seconds between surveys, which compare the cloud with the records; 0: only when asked."""
    missing_age: Seconds = 300.0
    """Seconds for which surveys have to miss something before they say that it is missing."""
    orphans: Orphans = Orphans.REPORT
    """What is done about orphans without being asked: `report` or `delete`."""
    orphan_age: Seconds = 604_800.0
    """Seconds for which surveys have to see an orphan before it is deleted without being asked."""

    @property
    def marker(self) -> Path:
        """The file by which a wiped or replaced store is noticed."""
        return self.data_dir / "store.json"

    @property
    def notes(self) -> Path:
        """Directory in which processes note what they are at."""
        return self.data_dir / "notes"

    @property
    def presences(self) -> Path:
        """Directory in which processes show that they live."""
        return self.data_dir / "replicas"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints of the external etcd; none: etcd is embedded."""
        return tuple(one.strip() for one in self.etcd_endpoints.split(",") if one.strip())

    @property
    def kept_key(self) -> Path:
        """The file for a sealing key that no setting gives."""
        return self.data_dir / "seal.key"

    def store(self, endpoints: Sequence[str] = ()) -> Etcd:
        """Return the client of the external etcd, or else of the embedded one at `endpoints`.

        Raises:
            SettingsError: What it needs is missing or wrong.
        """
        if not self.endpoints:
            return Etcd(endpoints)
        if bool(self.etcd_username) != bool(self.etcd_password):
            raise SettingsError("Set both ALIBROKER_ETCD_USERNAME and ALIBROKER_ETCD_PASSWORD")
        if slip := slip_in(self.etcd_password):
            raise SettingsError(f"ALIBROKER_ETCD_PASSWORD {slip}")
        user = User(self.etcd_username, self.etcd_password) if self.etcd_username else None
        try:
            tls = Tls(self.etcd_ca, self.etcd_cert, self.etcd_key)
            return Etcd(self.endpoints, tls=tls, user=user)
        except ValueError as ex:
            raise SettingsError(f"ALIBROKER_ETCD_…: {ex}") from ex

    @property
    def _key_setting(self) -> str:
        if self.seal_key:
            return "ALIBROKER_SEAL_KEY"
        if self.seal_key_command and self.seal_key_file is None:
            return "ALIBROKER_SEAL_KEY_COMMAND"
        return "ALIBROKER_SEAL_KEY_FILE"

    def sealer(self) -> Sealer:
        """Return what seals secrets, from the key that is configured or kept in the data directory.

        Raises:
            SettingsError: The key is missing or unusable.
        """
        try:
            if self.seal_key:
                keys = [load_key(one) for one in self.seal_key.split(",")]
            elif self.seal_key_file is not None:
                keys = _keys_in(self.seal_key_file.read_text(encoding="ascii"))
            elif self.seal_key_command:
                keys = _keys_in(_printed(self.seal_key_command))
            elif self.endpoints:
                raise SettingsError(
                    "Set ALIBROKER_SEAL_KEY, ALIBROKER_SEAL_KEY_FILE or "
                    "ALIBROKER_SEAL_KEY_COMMAND: with an external etcd the key that secrets are "
                    "sealed with must outlive this machine"
                )
            else:
                keys = _kept_keys(self.kept_key)
        except (SealError, OSError, UnicodeDecodeError) as ex:
            raise SettingsError(f"{self._key_setting}: {ex}") from ex
        if not keys:
            raise SettingsError(f"{self._key_setting} gives no key")
        # An older one may be: how else to get away from it?
        if len(set(keys[0])) == 1:
            raise SettingsError(
                f"{self._key_setting}: the key is one byte again and again, and anybody's guess; "
                "make one with `openssl rand -base64 32`"
            )
        named = {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}
        return Sealer(named, next(iter(named)))


def _keys_in(text: str) -> list[bytes]:
    return [load_key(one) for one in text.replace(",", "\n").split()]


def _printed(command: str) -> str:
    """Return what a command prints; what it says on stderr goes to ours.

    Raises:
        SealError: It cannot be run, fails, or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            shlex.split(command), stdout=subprocess.PIPE, check=True, timeout=KEY_TIMEOUT
        )
        return done.stdout.decode("ascii")
    except (ValueError, OSError, subprocess.SubprocessError) as ex:
        # Not the text: it may hold what was printed.
        raise SealError(f"the command gives no key ({type(ex).__name__})") from None


def _kept_keys(path: Path) -> list[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return [create_key_file(path)]
    except FileExistsError:
        return [load_key(one) for one in path.read_text(encoding="ascii").split()]
