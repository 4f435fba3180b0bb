"""Where an etcd server listens, and the gRPC channel that leads there."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import grpc

from alibroker.etcd.run_directory import MAX_SOCKET_PATH

MAX_REPLY_BYTES: Final = 192 * 2**20

_OPTIONS: Final = (
    # A client of its own backs off on its own: equal channels otherwise share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's defaults would leave up to two minutes between attempts to reconnect.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Despite its name this is the time that one attempt may take: three round trips with TLS, to a
    # server that may be busy. Were it shorter than that, there would never be a connection.
    ("grpc.min_reconnect_backoff_ms", 2000),
    # etcd closes connections that ping more often than every 5 s.
    ("grpc.keepalive_time_ms", 6000),
    ("grpc.keepalive_timeout_ms", 1500),
    ("grpc.http2.ping_timeout_ms", 1500),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    # A proxy from the environment must not come between the broker and its store.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates (PEM files) for etcd servers that are reached over https.

    Without `ca` the system's authorities are trusted; `certificate` and `key` are the client's own.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse half a client certificate.

        Raises:
            ValueError: only one of `certificate` and `key` is given.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client certificate for etcd needs both the certificate and its key")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            OSError: one of them cannot be read.
        """
        ca, key, certificate = (
            None if path is None else path.read_bytes()
            for path in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server: the gRPC target, and whether the way there is encrypted."""

    target: str
    secure: bool

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Understand `unix:/path/to/socket`, `http://host:port` or `https://host:port`.

        Raises:
            ValueError: the text is neither, or the socket's path is too long for gRPC.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if path.startswith("//"):
                path = path.removeprefix("//")
            if not path.startswith("/"):
                raise ValueError(f"etcd endpoint {text!r}: a socket needs an absolute path")
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise ValueError(
                    f"etcd endpoint {text!r}: the path of a socket must not be longer than "
                    f"{MAX_SOCKET_PATH} bytes"
                )
            return cls(target=f"unix:{path}", secure=False)
        url = urlsplit(text)
        try:
            port = url.port
        except ValueError:
            port = None
        if (
            url.scheme not in {"http", "https"}
            or not url.hostname
            or port is None
            or url.username is not None
            or url.path not in {"", "/"}
            or url.query
            or url.fragment
        ):
            # The text is not repeated: it may hold a password.
            raise ValueError(
                "an etcd endpoint is http://host:port, https://host:port or unix:/path/to/socket, "
                "without a user name or a path"
            )
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return cls(target=f"dns:///{host}:{port}", secure=url.scheme == "https")

    def connect(self, tls: Tls | None) -> grpc.Channel:
        """Make a channel; it connects at its first call."""
        if self.secure:
            return grpc.secure_channel(self.target, (tls or Tls()).credentials(), _OPTIONS)
        return grpc.insecure_channel(self.target, _OPTIONS)
