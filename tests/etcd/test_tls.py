"""Certificates: who has them gets in, nobody else does, and no raw error tells so."""

import datetime as dt
import ipaddress
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alibroker.etcd import binary
from alibroker.etcd.client import Committed, Entry, Etcd, Tls
from alibroker.etcd.errors import EtcdUnavailableError

Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def issue(directory: Path, name: str, authority: Authority | None) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority[0].subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(authority[1] if authority else key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    ours, theirs = issue(directory, "ca", None), issue(directory, "other-ca", None)
    issue(directory, "server", ours)
    issue(directory, "broker", ours)
    issue(directory, "stranger", theirs)
    return directory


@pytest.fixture(scope="module")
def endpoint(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("tls")
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                binary.find().path,
                f"--data-dir={directory / 'data'}",
                "--listen-client-urls=https://127.0.0.1:0",
                "--advertise-client-urls=https://127.0.0.1:0",
                "--listen-peer-urls=unix://peer:0",
                "--initial-advertise-peer-urls=unix://peer:0",
                "--initial-cluster=default=unix://peer:0",
                "--heartbeat-interval=10",
                "--election-timeout=50",
                f"--cert-file={certificates / 'server.pem'}",
                f"--key-file={certificates / 'server.key'}",
                f"--trusted-ca-file={certificates / 'ca.pem'}",
                "--client-cert-auth",
                "--logger=zap",
                "--log-outputs=stderr",
            ],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield f"https://127.0.0.1:{_port(log, process)}"
    finally:
        process.kill()
        process.wait()


def _port(log: Path, process: "subprocess.Popen[bytes]") -> str:
    # The kernel chose the port, and only etcd's log tells which.
    pattern = re.compile(r'serving client traffic.*"address":"127\.0\.0\.1:(\d+)"')
    while process.poll() is None:
        if found := pattern.search(log.read_text()):
            return found.group(1)
    raise AssertionError(log.read_text())


def test_a_client_with_a_certificate_gets_in(endpoint: str, certificates: Path) -> None:
    tls = Tls(certificates / "ca.pem", certificates / "broker.pem", certificates / "broker.key")
    with Etcd([endpoint], tls=tls) as client:
        assert isinstance(client.commit([Entry("/a", b"1", 0)], timeout=5)[0], Committed)


@pytest.mark.parametrize(
    "build",
    [
        lambda at: Tls(at / "ca.pem"),
        lambda at: Tls(at / "ca.pem", at / "stranger.pem", at / "stranger.key"),
        lambda at: Tls(at / "other-ca.pem", at / "broker.pem", at / "broker.key"),
        lambda _: None,
    ],
    ids=["no certificate", "foreign certificate", "foreign server", "system authorities"],
)
def test_anybody_else_is_unavailable(
    endpoint: str, certificates: Path, build: Callable[[Path], Tls | None]
) -> None:
    tls = build(certificates)
    with Etcd([endpoint], tls=tls) as client, pytest.raises(EtcdUnavailableError):
        client.ping(timeout=0.7)


def test_plain_text_is_unavailable(endpoint: str) -> None:
    plain = endpoint.replace("https", "http")
    with Etcd([plain]) as client, pytest.raises(EtcdUnavailableError):
        client.ping(timeout=0.7)


def test_a_certificate_that_is_not_there_is_unavailable(endpoint: str, tmp_path: Path) -> None:
    missing = Tls(tmp_path / "none.pem")
    with (
        Etcd([endpoint], tls=missing) as client,
        pytest.raises(EtcdUnavailableError, match=r"none\.pem"),
    ):
        client.ping(timeout=0.7)
