"""A checked OSS call, and what operations are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import xml
from alibroker.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.identity import Credential
    from alibroker.sandbox.oss.documents import Bucket

DOCUMENT_LIMIT = 2 * 1024 * 1024
Level = Literal["service", "bucket", "object"]


@dataclass(frozen=True)
class Content:
    """A received object or part: a file that belongs to nothing yet."""

    file: str
    size: int
    etag: str
    crc: int


@dataclass(frozen=True)
class Call:
    """An authenticated and authorised call.

    Attributes:
        caller: Whose key signed it; None for an anonymous one.
        region: That of the endpoint, as the signature says.
        content: The body of an operation that streams, None for others.
        discarded: Files to remove once the transaction is committed.
    """

    cloud: Cloud
    request: Request
    bucket: str
    key: str
    caller: Credential | None
    now: float
    region: str
    body: bytes = b""
    content: Content | None = None
    discarded: list[str] = field(default_factory=list)

    def find_bucket(self) -> Bucket:
        """Return the bucket.

        Raises:
            ApiError: NoSuchBucket.
        """
        bucket = self.cloud.buckets.get(self.bucket)
        if bucket is None:
            raise ApiError(
                404,
                "NoSuchBucket",
                "The specified bucket does not exist.",
                ec="0015-00000101",
                details={"BucketName": self.bucket},
            )
        return bucket

    def argument(self, name: str, default: str = "") -> str:
        """Return a query parameter."""
        return self.request.arguments.get(name, default)


Run = Callable[[Call], Response]


@dataclass(frozen=True)
class Operation:
    """What a method on a service, bucket or object means.

    Attributes:
        name: Name of the API, for counters and faults.
        action: Name in policies, without "oss:".
        streams: Whether the body is an object's content.
        checks_keys: Whether the operation asks for permission itself, for every key it names.
        limit: Most bytes of a body that is not streamed.
    """

    name: str
    run: Run
    action: str
    streams: bool = False
    checks_keys: bool = False
    limit: int = DOCUMENT_LIMIT


def document(name: str, content: xml.Tree | str, status: int = 200) -> Response:
    """Answer with an XML document."""
    body = xml.render(name, content)
    return Response(status, body, [("content-type", "application/xml")])
