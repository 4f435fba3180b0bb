"""Where the broker's own key comes from, and how it is renewed."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import eventually

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.credentials import (
    Credentials,
    CredentialsError,
    CredentialsProvider,
)
from alibroker.brokers.alibabacloud.rates import RateLimiter, parse_rates
from alibroker.brokers.alibabacloud.sources import InstanceRole, find_credentials

if TYPE_CHECKING:
    from conftest import Sandbox

KEY = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "hush"}
NO_METADATA = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}


def find(environment: dict[str, str], endpoint: str | None = None) -> CredentialsProvider:
    return find_credentials(environment, region="cn-hangzhou", endpoint=endpoint)


def who(sandbox: Sandbox, provider: CredentialsProvider) -> str:
    """Sign a call with the credentials and return whom the cloud takes us for."""
    client = CloudClient(
        region="cn-hangzhou",
        endpoint=sandbox.url,
        credentials=provider,
        limiter=RateLimiter(parse_rates("")),
    )
    identity: str = client.caller_identity()["IdentityType"]
    assert client.account() == sandbox.inventory["account"]["id"]
    client.close()
    return identity


def profile(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / ".alibabacloud" / "credentials"
    path.parent.mkdir()
    path.write_text(text)
    return {"HOME": str(tmp_path)}


def test_the_environment_comes_first(tmp_path: Path) -> None:
    home = profile(tmp_path, "[default]\naccess_key_id=other\naccess_key_secret=x\n")
    found = find(KEY | home | {"ALIBABA_CLOUD_SECURITY_TOKEN": "token"}).get()
    assert (found.access_key_id, found.access_key_secret) == ("id", "hush")
    assert found.security_token == "token"
    assert found.expires_at is None


def test_no_repr_shows_a_secret() -> None:
    provider = find(KEY | {"ALIBABA_CLOUD_SECURITY_TOKEN": "token"})
    for text in (repr(provider), repr(provider.get()), str(provider.get())):
        assert "hush" not in text
        assert "token=" not in text


@pytest.mark.parametrize("missing", ["ID", "SECRET"])
def test_half_a_key_is_refused(missing: str) -> None:
    name = f"ALIBABA_CLOUD_ACCESS_KEY_{missing}"
    with pytest.raises(CredentialsError, match=name):
        find({key: value for key, value in KEY.items() if key != name})


@pytest.mark.parametrize("name", [*KEY, "ALIBABA_CLOUD_SECURITY_TOKEN"])
def test_the_end_of_a_line_that_came_along_with_a_key_is_refused(name: str) -> None:
    with pytest.raises(
        CredentialsError, match=f"{name} begins or ends with white space"
    ) as refused:
        find(KEY | {name: "hush\n"})
    assert "hush" not in str(refused.value)


def test_nothing_at_all_names_what_can_be_set(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as refused:
        find(NO_METADATA | {"HOME": str(tmp_path)})
    for name in (*KEY, "ALIBABA_CLOUD_ROLE_ARN", ".alibabacloud/credentials", "RAM role"):
        assert name in str(refused.value)


@pytest.mark.parametrize("name", ["ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"])
def test_a_variable_that_would_win_over_ours_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CredentialsError, match=name):
        find(KEY | {name: "x"})
    monkeypatch.setenv(name, "x")
    with pytest.raises(CredentialsError, match=name):
        find(KEY)


def test_a_profile_is_read(tmp_path: Path) -> None:
    home = profile(
        tmp_path,
        "[default]\ntype = access_key\naccess_key_id = a\naccess_key_secret = b%c\n"
        "[other]\ntype = sts\naccess_key_id = d\naccess_key_secret = e\nsecurity_token = f\n",
    )
    assert find(NO_METADATA | home).get() == Credentials("a", "b%c")
    other = find(NO_METADATA | home | {"ALIBABA_CLOUD_PROFILE": "other"}).get()
    assert other == Credentials("d", "e", "f")


@pytest.mark.parametrize(
    "text",
    [
        "[other]\n",
        "[default]\naccess_key_id = a\n",
        "[default]\ntype = ram_role_arn\n",
        "access_key_secret = hush\n",
    ],
)
def test_a_profile_that_cannot_be_used_is_named_without_its_secret(
    tmp_path: Path, text: str
) -> None:
    home = profile(tmp_path, text)
    with pytest.raises(CredentialsError, match="credentials") as refused:
        find(NO_METADATA | home)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("hardened", [False, True])
def test_the_role_of_the_machine_signs_calls(
    sandbox: Sandbox, tmp_path: Path, *, hardened: bool
) -> None:
    sandbox.settings(metadata_token_required=hardened)
    environment = {"ALIBABA_CLOUD_METADATA_URL": sandbox.url, "HOME": str(tmp_path)}
    assert who(sandbox, find(environment)) == "AssumedRoleUser"


def test_a_machine_without_metadata_service_is_told_apart_from_one_with(tmp_path: Path) -> None:
    environment = {"ALIBABA_CLOUD_METADATA_URL": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    with pytest.raises(CredentialsError, match=r"127\.0\.0\.1:9"):
        find(environment)


def test_credentials_are_renewed_before_they_expire(sandbox: Sandbox) -> None:
    sandbox.settings(role_credential_seconds=3)
    provider = CredentialsProvider(InstanceRole(sandbox.url))
    first = provider.get()
    assert provider.get() is first
    eventually(lambda: provider.get() is not first)
    assert first.expires_at is not None
    assert time.time() < first.expires_at
    assert who(sandbox, provider) == "AssumedRoleUser"


def test_what_the_cloud_calls_expired_is_renewed_at_once(sandbox: Sandbox) -> None:
    provider = CredentialsProvider(InstanceRole(sandbox.url))
    first = provider.get()
    provider.refused(first)
    second = provider.get()
    assert second is not first
    provider.refused(first)
    assert provider.get() is second


class Slow:
    """A source that takes its time and counts."""

    name = "slow"

    def __init__(self) -> None:
        self.fetched = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def fetch(self) -> Credentials:
        self.fetched += 1
        self.gate.wait(10)
        if self.broken:
            raise CredentialsError("away")
        return Credentials(f"id-{self.fetched}", "x", "t", expires_at=self.fetched * 1000.0)


def test_one_thread_renews_while_the_others_go_on() -> None:
    now = [0.0]
    source = Slow()
    provider = CredentialsProvider(source, clock=lambda: now[0])
    now[0] = 900.0
    source.gate.clear()
    renewing = threading.Thread(target=provider.get)
    renewing.start()
    eventually(lambda: source.fetched == 2)
    assert [provider.get().access_key_id for _ in range(5)] == ["id-1"] * 5
    source.gate.set()
    renewing.join()
    assert provider.get().access_key_id == "id-2"
    assert source.fetched == 2


def test_a_renewal_that_fails_matters_only_after_the_expiry() -> None:
    now = [0.0]
    source = Slow()
    provider = CredentialsProvider(source, clock=lambda: now[0])
    source.broken = True
    now[0] = 900.0
    assert provider.get().access_key_id == "id-1"
    assert provider.get().access_key_id == "id-1"
    assert source.fetched == 2
    now[0] = 1001.0
    with pytest.raises(CredentialsError, match="away"):
        provider.get()
    source.broken = False
    assert provider.get().access_key_id == "id-4"


def token(**claims: object) -> str:
    parts = ({"alg": "RS256"}, {"aud": "sts.aliyuncs.com", "sub": "system:x", **claims})
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def rrsa(sandbox: Sandbox, path: Path) -> dict[str, str]:
    account = sandbox.inventory["account"]["id"]
    role = sandbox.inventory["ram"]["roles"][0]["name"]
    return {
        "ALIBABA_CLOUD_ROLE_ARN": f"acs:ram::{account}:role/{role}",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": f"acs:ram::{account}:oidc-provider/ack-rrsa-c1",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(path),
    }


def test_a_service_account_of_kubernetes_assumes_its_role(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token(exp=time.time() + 600, iss="https://cluster"))
    provider = find(rrsa(sandbox, path), endpoint=sandbox.url)
    assert who(sandbox, provider) == "AssumedRoleUser"
    assert provider.get().security_token not in repr(provider)


def test_a_token_that_is_refused_is_not_repeated(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token(exp=1.0, iss="https://cluster"))
    with pytest.raises(CredentialsError) as refused:
        find(rrsa(sandbox, path), endpoint=sandbox.url)
    assert path.read_text() not in str(refused.value)
    with pytest.raises(CredentialsError, match="ALIBABA_CLOUD_OIDC_TOKEN_FILE"):
        find(rrsa(sandbox, tmp_path / "missing"), endpoint=sandbox.url)
