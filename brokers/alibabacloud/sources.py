"""The places that credentials come from, in the order of the vendor's own chain."""

from __future__ import annotations

import configparser
import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests

from alibroker.brokers.alibabacloud.credentials import (
    Credentials,
    CredentialsError,
    CredentialsProvider,
    Source,
    refuse_sdk_variables,
)
from alibroker.brokers.texts import slip_in

_OF_THE_KEY: Final = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
)
_METADATA_URL: Final = "http://100.100.100.200"
_TIMEOUT: Final = (2.0, 5.0)  # seconds to connect, to read
_TOKEN_SECONDS: Final = 300
_SESSION_SECONDS: Final = 3600
_HELP: Final = (
    "no credentials for Alibaba Cloud: set ALIBABA_CLOUD_ACCESS_KEY_ID and "
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET, or run with an RRSA role (ALIBABA_CLOUD_ROLE_ARN, "
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN, ALIBABA_CLOUD_OIDC_TOKEN_FILE), a profile in "
    "~/.alibabacloud/credentials, or on a machine with a RAM role"
)


@dataclass(frozen=True)
class Fixed:
    """Credentials that were given as they are."""

    credentials: Credentials
    name: str = "environment"

    def fetch(self) -> Credentials:
        """Return them."""
        return self.credentials


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """A role assumed with the token of a Kubernetes service account (RRSA)."""

    role_arn: str
    provider_arn: str
    token_file: Path
    session_name: str
    sts_url: str
    name: str = "RRSA role"

    def fetch(self) -> Credentials:
        """Assume the role (STS AssumeRoleWithOIDC, which takes no signature)."""
        try:
            token = self.token_file.read_text().strip()  # the cluster replaces it now and then
        except OSError as error:
            raise CredentialsError(f"ALIBABA_CLOUD_OIDC_TOKEN_FILE: {error}") from error
        answer = _ask(
            "POST",
            self.sts_url,
            data={
                "Action": "AssumeRoleWithOIDC",
                "Version": "2015-04-01",
                "Format": "JSON",
                "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "SignatureNonce": uuid.uuid4().hex,
                "RoleArn": self.role_arn,
                "OIDCProviderArn": self.provider_arn,
                "OIDCToken": token,
                "RoleSessionName": self.session_name,
                "DurationSeconds": str(_SESSION_SECONDS),
            },
        )
        return _temporary(_json(answer, self.name).get("Credentials"), self.name)


@dataclass(frozen=True)
class Profile:
    """A profile in the vendor's credentials file."""

    path: Path
    profile: str
    name: str = "profile"

    def fetch(self) -> Credentials:
        """Read the profile."""
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self.path.read_text(encoding="utf-8"))
            section = parser[self.profile]
            kind = section.get("type", "access_key")
            if kind not in {"access_key", "sts"}:
                raise CredentialsError(
                    f"{self.path}: profile {self.profile!r} is of type {kind!r}; "
                    "access_key and sts are understood"
                )
            return Credentials(
                section["access_key_id"],
                section["access_key_secret"],
                section["security_token"] if kind == "sts" else "",
            )
        except KeyError as error:
            raise CredentialsError(f"{self.path}: no {error} in {self.profile!r}") from error
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            # The parser's own text repeats the line, which may hold the secret.
            raise CredentialsError(f"{self.path} cannot be read as a profile file") from error


@dataclass(frozen=True)
class InstanceRole:
    """The RAM role of the machine, from the ECS metadata service."""

    url: str = _METADATA_URL
    role: str = ""
    only_with_token: bool = False
    name: str = "RAM role of the machine"

    def fetch(self) -> Credentials:
        """Ask the metadata service, in its hardened mode if it knows that."""
        headers = self._token_header()
        base = f"{self.url}/latest/meta-data/ram/security-credentials/"
        role = self.role or _ask("GET", base, headers=headers).text.strip()
        if not role or "/" in role:
            raise CredentialsError("the machine has no RAM role: attach one, or set a key")
        return _temporary(_json(_ask("GET", base + role, headers=headers), self.name), self.name)

    def _token_header(self) -> dict[str, str]:
        ttl = {"X-aliyun-ecs-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        try:
            answer = _ask("PUT", f"{self.url}/latest/api/token", headers=ttl)
        except CredentialsError:
            if self.only_with_token:
                raise
            return {}
        return {"X-aliyun-ecs-metadata-token": answer.text.strip()}


def find_credentials(
    environment: Mapping[str, str], *, region: str, endpoint: str | None
) -> CredentialsProvider:
    """Find the first source in the vendor's order that is there, and fetch from it.

    Environment, RRSA, profile file, RAM role of the machine. `endpoint` stands in for STS.

    Raises:
        CredentialsError: There is none, or the one that is there does not work.
    """
    refuse_sdk_variables(environment)
    for source in _configured(environment, region, endpoint):
        return CredentialsProvider(source)
    if environment.get("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "").lower() == "true":
        raise CredentialsError(_HELP)
    try:
        return CredentialsProvider(
            InstanceRole(
                environment.get("ALIBABA_CLOUD_METADATA_URL", _METADATA_URL).rstrip("/"),
                environment.get("ALIBABA_CLOUD_ECS_METADATA", ""),
                environment.get("ALIBABA_CLOUD_IMDSV1_DISABLED", "").lower() == "true",
            )
        )
    except CredentialsError as error:
        raise CredentialsError(f"{_HELP} ({error})") from error


def _configured(
    environment: Mapping[str, str], region: str, endpoint: str | None
) -> Iterator[Source]:
    key_id = environment.get("ALIBABA_CLOUD_ACCESS_KEY_ID", "")
    secret = environment.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")
    if bool(key_id) != bool(secret):
        missing = "ID" if secret else "SECRET"
        raise CredentialsError(f"ALIBABA_CLOUD_ACCESS_KEY_{missing} is missing")
    for name in _OF_THE_KEY:
        if slip := slip_in(environment.get(name, "")):
            raise CredentialsError(f"{name} {slip}")
    if key_id:
        token = environment.get("ALIBABA_CLOUD_SECURITY_TOKEN", "")
        yield Fixed(Credentials(key_id, secret, token))
    role_arn = environment.get("ALIBABA_CLOUD_ROLE_ARN", "")
    provider_arn = environment.get("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "")
    token_file = environment.get("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "")
    if role_arn and provider_arn and token_file:
        sts_region = environment.get("ALIBABA_CLOUD_STS_REGION", "") or region
        yield Oidc(
            role_arn=role_arn,
            provider_arn=provider_arn,
            token_file=Path(token_file),
            session_name=environment.get("ALIBABA_CLOUD_ROLE_SESSION_NAME", "") or "alibroker",
            sts_url=endpoint or f"https://sts.{sts_region}.aliyuncs.com",
        )
    home = environment.get("HOME", "")
    path = environment.get("ALIBABA_CLOUD_CREDENTIALS_FILE", "")
    file = Path(path) if path else Path(home or "/nonexistent") / ".alibabacloud" / "credentials"
    if path or (home and file.is_file()):
        yield Profile(file, environment.get("ALIBABA_CLOUD_PROFILE", "") or "default")


def _ask(method: str, url: str, **arguments: Any) -> requests.Response:
    """Ask without a proxy; the texts of errors hold no body and no query."""
    with requests.Session() as session:
        session.trust_env = url.startswith("https://")
        try:
            answer = session.request(
                method, url, timeout=_TIMEOUT, allow_redirects=False, **arguments
            )
        except requests.RequestException as error:
            raise CredentialsError(f"{url} cannot be reached ({type(error).__name__})") from None
    if answer.status_code != requests.codes.ok:
        code = ""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            code = str(answer.json()["Code"])
        raise CredentialsError(f"{url} answers {answer.status_code} {code}".rstrip())
    return answer


def _json(answer: requests.Response, source: str) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise CredentialsError(f"{source}: the answer is no JSON object")
    return document


def _temporary(document: Any, source: str) -> Credentials:
    try:
        expires_at = datetime.fromisoformat(document["Expiration"]).timestamp()
        credentials = Credentials(
            document["AccessKeyId"],
            document["AccessKeySecret"],
            document["SecurityToken"],
            expires_at,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CredentialsError(f"{source}: the answer holds no credentials") from error
    if expires_at <= time.time():
        raise CredentialsError(f"{source}: the credentials have expired; is the clock right?")
    return credentials
