"""What is read from the environment at start."""

from __future__ import annotations

import pytest

from alibroker.brokers.alibabacloud.settings import SettingsError, read_settings

GOOD = {"ALIBROKER_REGION": "cn-hangzhou"}


def test_a_region_is_enough() -> None:
    settings = read_settings(GOOD)
    assert settings.region == "cn-hangzhou"
    assert settings.poll_interval == 15.0
    assert settings.settle == 120.0
    assert settings.name == "alibroker"
    assert settings.endpoint is None


def test_an_endpoint_loses_its_slash() -> None:
    settings = read_settings(GOOD | {"ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:8000/"})
    assert settings.endpoint == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALIBROKER_REGION", ""),
        ("ALIBROKER_REGION", "cn_hangzhou"),
        ("ALIBROKER_NAME", "a b"),
        ("ALIBROKER_CLOUD_RATE", "fast"),
        ("ALIBROKER_CLOUD_ENDPOINT", "127.0.0.1:8000"),
        ("ALIBROKER_CLOUD_ENDPOINT", "http://user:password@127.0.0.1"),
        ("ALIBROKER_POLL_INTERVAL", "0"),
        ("ALIBROKER_POLL_INTERVAL", "nan"),
        ("ALIBROKER_SETTLE_SECONDS", "-1"),
        ("ALIBROKER_SETTLE_SECONDS", "soon"),
    ],
)
def test_a_wrong_setting_is_named_and_a_password_in_it_is_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        read_settings(GOOD | {name: value})
    assert "password@" not in str(refused.value)
