"""The broker over https."""

from __future__ import annotations

import datetime as dt
import ipaddress
import signal
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from drawer_app import HEADER_TIMEOUT, USER, drawer_server
from waiting import eventually
from wire import Wire

from alibroker.http.handshakes import MAX_HANDSHAKES


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def test_a_certificate_that_is_no_good_any_more_does_not_make_it_do_without(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    former = tmp_path / "former.pem"
    former.write_bytes(cert.read_bytes())
    settings = {"ALIBROKER_TLS_CERT": str(cert), "ALIBROKER_TLS_KEY": str(key)}
    with drawer_server(tmp_path, "--graceful-timeout", "2", **settings) as server:
        cert.write_text("no certificate")
        server.popen.send_signal(signal.SIGHUP)
        eventually(lambda: "go on meanwhile" in server.log.read_text(), 60)
        for _ in range(10):
            with pytest.raises(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{server.port}/healthz", timeout=5)
            url = f"https://127.0.0.1:{server.port}/readyz"
            assert requests.get(url, verify=str(former), timeout=20).status_code == 200


@pytest.mark.osb("AUTH-4")
def test_https(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = {"ALIBROKER_TLS_CERT": str(cert), "ALIBROKER_TLS_KEY": str(key)}
    with drawer_server(tmp_path, **settings) as server, Wire(server.port) as silent:
        connected = time.monotonic()
        catalog = requests.get(
            f"https://127.0.0.1:{server.port}/v2/catalog",
            auth=USER,
            headers={"X-Broker-API-Version": "2.17"},
            verify=str(cert),
            timeout=20,
        )
        assert catalog.json()["services"]
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{server.port}/healthz", timeout=5)
        # Who does not even shake hands is waited for as long as who sends no request.
        assert silent.receive() is None
        assert HEADER_TIMEOUT - 1 < time.monotonic() - connected < HEADER_TIMEOUT + 3
        worker = server.worker()
        before = worker.memory_info().rss
        context = ssl.create_default_context(cafile=str(cert))
        with ExitStack() as stack:
            for _ in range(200):
                plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
                wire = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
                with suppress(OSError):
                    wire.sendall(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 250_000)
            # With what TLS has for each of them they would be 66 MB, and stay.
            assert worker.memory_info().rss - before < 45_000_000
        eventually(lambda: worker.memory_info().rss - before < 15_000_000, timeout=30)


def test_handshakes_that_do_not_end_make_room_for_others(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = {"ALIBROKER_TLS_CERT": str(cert), "ALIBROKER_TLS_KEY": str(key)}
    context = ssl.create_default_context(cafile=str(cert))
    with drawer_server(tmp_path, **settings) as server, ExitStack() as stack:
        others = server.worker().num_fds()
        for number in range(MAX_HANDSHAKES + 100):
            wire = stack.enter_context(Wire(server.port))
            if number % 2:
                wire.send(b"\x16\x03\x01\x40\x00" + b"a" * 1000)
        eventually(lambda: server.worker().num_fds() <= others + MAX_HANDSHAKES)
        for _ in range(20):
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as whole:
                whole.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert whole.recv(4096).startswith(b"HTTP/1.1 200 OK")
