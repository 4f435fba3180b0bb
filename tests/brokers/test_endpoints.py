"""Which endpoint of OSS is used for what, by the settings."""

from __future__ import annotations

import pytest

from alibroker.brokers.alibabacloud.settings import SettingsError
from alibroker.brokers.oss.endpoints import (
    OSS_BINDING_ENDPOINT,
    OSS_ENDPOINT,
    Endpoint,
    Endpoints,
)

PUBLIC = "https://oss-cn-hangzhou.aliyuncs.com"
INTERNAL = "https://oss-cn-hangzhou-internal.aliyuncs.com"
DOMAIN = "https://{bucket}.files.example.com"
OWN = Endpoint("https://b.files.example.com", is_domain=True)


def read(own: str = "", handed: str = "", stand_in: str | None = None) -> Endpoints:
    return Endpoints.read({OSS_ENDPOINT: own, OSS_BINDING_ENDPOINT: handed}, stand_in)


@pytest.mark.parametrize(
    ("own", "of_buckets", "of_contents"),
    [
        ("", PUBLIC, Endpoint(PUBLIC)),
        ("public", PUBLIC, Endpoint(PUBLIC)),
        ("internal", INTERNAL, Endpoint(INTERNAL)),
        ("cn-hangzhou=internal", INTERNAL, Endpoint(INTERNAL)),
        ("cn-beijing=internal", PUBLIC, Endpoint(PUBLIC)),
        ("internal, cn-hangzhou=public", PUBLIC, Endpoint(PUBLIC)),
        (DOMAIN, PUBLIC, OWN),
        (
            "https://oss.example.com/",
            "https://oss.example.com",
            Endpoint("https://oss.example.com"),
        ),
    ],
)
def test_the_broker_uses(own: str, of_buckets: str, of_contents: Endpoint) -> None:
    endpoints = read(own)
    assert endpoints.of_buckets("cn-hangzhou") == of_buckets
    assert endpoints.of_contents("b", "cn-hangzhou") == of_contents


@pytest.mark.parametrize(
    ("own", "handed", "inside", "told"),
    [
        ("", "", False, Endpoint(PUBLIC)),
        ("", "", True, Endpoint(INTERNAL)),
        ("internal", "", False, Endpoint(INTERNAL)),
        ("internal", "public", True, Endpoint(PUBLIC)),
        ("internal", DOMAIN, False, OWN),
        ("internal", f"eu-central-1={DOMAIN}", False, Endpoint(INTERNAL)),
        (DOMAIN, "", True, OWN),
    ],
)
def test_applications_are_told(own: str, handed: str, *, inside: bool, told: Endpoint) -> None:
    assert read(own, handed).of_applications("b", "cn-hangzhou", inside=inside) == told


def test_endpoints_are_those_of_the_bucket_s_region() -> None:
    assert read().of_buckets("eu-central-1") == "https://oss-eu-central-1.aliyuncs.com"
    assert read().internal("eu-central-1") == "https://oss-eu-central-1-internal.aliyuncs.com"


def test_the_s3_protocol_has_hosts_of_its_own() -> None:
    endpoints = read()
    s3 = "https://s3.oss-cn-hangzhou"
    assert endpoints.s3(Endpoint(PUBLIC), "cn-hangzhou") == f"{s3}.aliyuncs.com"
    assert endpoints.s3(Endpoint(INTERNAL), "cn-hangzhou") == f"{s3}-internal.aliyuncs.com"
    # Its clients would put the bucket in front of the domain.
    assert endpoints.s3(OWN, "cn-hangzhou") == f"{s3}-internal.aliyuncs.com"


@pytest.mark.parametrize(
    ("stand_in", "internal"),
    [
        ("http://127.0.0.1:8006", "http://localhost:8006"),
        ("http://[::1]:8006", "http://localhost:8006"),
        ("http://cloud.test", "http://cloud.test"),
    ],
)
def test_what_stands_in_for_the_cloud_is_all_endpoints(stand_in: str, internal: str) -> None:
    endpoints = read(stand_in=stand_in)
    assert endpoints.of_buckets("eu-central-1") == stand_in
    assert endpoints.internal("eu-central-1") == internal


@pytest.mark.parametrize("setting", [OSS_ENDPOINT, OSS_BINDING_ENDPOINT])
@pytest.mark.parametrize(
    "value",
    [
        "private",
        "example.com",
        "ftp://example.com",
        "https://user:password@example.com",
        "https://example.com/path",
        "https://example.com?a=b",
        "https://{region}.example.com",
        "https://example.com:port",
        "=internal",
        "Hangzhou!=internal",
        "cn-hangzhou=",
        "internal,public",
        "cn-hangzhou=internal,cn-hangzhou=public",
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: str) -> None:
    with pytest.raises(SettingsError, match=setting) as caught:
        Endpoints.read({setting: value}, None)
    assert "password" not in str(caught.value)
