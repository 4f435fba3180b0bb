"""Endpoints are understood, or refused before anything is dialled."""

from pathlib import Path

import pytest

from alibroker.etcd.client import Etcd, Tls
from alibroker.etcd.endpoint import Endpoint
from alibroker.etcd.errors import EtcdUnavailableError


@pytest.mark.parametrize(
    ("text", "target", "secure"),
    [
        ("unix:/run/x/client:0", "unix:/run/x/client:0", False),
        ("unix:///run/x/client:0", "unix:/run/x/client:0", False),
        ("http://127.0.0.1:2379", "dns:///127.0.0.1:2379", False),
        ("https://etcd.example:2379/", "dns:///etcd.example:2379", True),
        ("http://[::1]:2379", "dns:///[::1]:2379", False),
    ],
)
def test_an_endpoint_is_understood(text: str, target: str, secure: bool) -> None:  # noqa: FBT001 - a parameter of a test
    assert Endpoint.parse(text) == Endpoint(target, secure)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "localhost:2379",
        "http://localhost",
        "http://:2379",
        "http://host:x",
        "ftp://host:1",
        "unix:run/x",
        "unix:/" + "x" * 107,
        "http://user:hunter2@host:2379",
        "http://host:2379/v3",
        "http://host:2379?x=1",
    ],
)
def test_anything_else_is_refused_without_telling_secrets(text: str) -> None:
    with pytest.raises(ValueError, match="etcd endpoint") as told:
        Etcd([text])
    assert "hunter2" not in str(told.value)


def test_no_endpoint_is_no_default() -> None:
    with pytest.raises(ValueError, match="no etcd endpoint"):
        Etcd([])


def test_half_a_client_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="both"):
        Tls(certificate=Path("a"))


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with Etcd(["http://127.0.0.1:1"]) as client, pytest.raises(EtcdUnavailableError):
        client.ping(timeout=0.3)
