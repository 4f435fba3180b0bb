"""The certificate with which a database server proves to be itself: signed by nobody else."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from alibroker.sandbox.vault import write_private

if TYPE_CHECKING:
    from pathlib import Path

_VALID: Final = timedelta(days=3650)
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alibroker sandbox")])
_ADDRESS: Final = ipaddress.ip_address("127.0.0.1")


def certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of a server's certificate and key; they are made if they are not there."""
    paths = directory / "server.crt", directory / "server.key"
    if not all(path.exists() for path in paths):
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_NAME)
            .issuer_name(_NAME)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _VALID)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_ADDRESS)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        for path in paths:
            path.unlink(missing_ok=True)
        paths[0].write_bytes(made.public_bytes(Encoding.PEM))
        write_private(
            paths[1], key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return paths
