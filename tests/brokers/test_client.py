"""The wire: what is sent, and what odd answers become.

The server here speaks raw HTTP, because what it has to answer is broken on purpose.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aliyunsdkrds.request.v20140815.CreateAccountRequest import CreateAccountRequest

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.credentials import Credentials, CredentialsProvider
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.infrastructure import RAM, VPC
from alibroker.brokers.alibabacloud.product import Product
from alibroker.brokers.alibabacloud.rates import RateLimiter, parse_rates
from alibroker.brokers.alibabacloud.sources import Fixed
from alibroker.brokers.api import TryAgainError
from alibroker.brokers.fencing import fenced
from alibroker.brokers.oss.buckets import Buckets
from alibroker.brokers.rds.product import RDS

PASSWORD = "Hush!hush1"


class Canned(ThreadingHTTPServer):
    """Answers everything with the same bytes and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.headers = {"Content-Type": "application/json"}
        self.body = b"{}"
        self.requests: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Canned

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.path, body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Canned]:
    with Canned() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cloud(server: Canned) -> Iterator[CloudClient]:
    client = CloudClient(
        region="cn-hangzhou",
        endpoint=server.url,
        credentials=CredentialsProvider(Fixed(Credentials("id", "secret"))),
        limiter=RateLimiter(parse_rates("")),
    )
    yield client
    client.close()


def create_account() -> CreateAccountRequest:
    request = CreateAccountRequest()
    request.set_DBInstanceId("rm-1")
    request.set_AccountName("app")
    return request


@pytest.mark.unjudged
def test_an_answer_is_a_dict(server: Canned, cloud: CloudClient) -> None:
    server.body = b'{"RequestId": "1", "DBInstanceId": "rm-1"}'
    assert cloud.call(RDS, create_account())["DBInstanceId"] == "rm-1"


def test_a_secret_travels_in_the_body_and_never_in_the_url(
    server: Canned, cloud: CloudClient
) -> None:
    cloud.call(RDS, create_account(), secrets={"AccountPassword": PASSWORD})
    ((path, body),) = server.requests
    assert "Hush" not in path
    assert b"AccountPassword=Hush" in body


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, b"", Kind.UNKNOWN, "JSONDecodeError"),
        (200, b"[]", Kind.UNKNOWN, "TypeError"),
        (200, b"<html>", Kind.UNKNOWN, "JSONDecodeError"),
        (200, b'{"Code": "Throttling", "Message": "x"}', Kind.THROTTLED, "Throttling"),
        (302, b"{}", Kind.UNKNOWN, "SDK.UnknownServerError"),
        (400, b'{"Code": "Throttling.User", "Message": "x"}', Kind.THROTTLED, "Throttling.User"),
        (400, b'{"Code": "SignatureDoesNotMatch", "Message": "no colon"}', Kind.UNKNOWN, ""),
        (400, b'{"Code": "SignatureDoesNotMatch", "Message": "a:b"}', Kind.RETRY, ""),
        (404, b'{"Code": "InvalidDBInstanceId.NotFound"}', Kind.NOT_FOUND, "InvalidDBInstanceId"),
        (502, b"<html>Bad gateway</html>", Kind.UNKNOWN, ""),
        (500, b"\xff\xfe\x00", Kind.UNKNOWN, ""),
        (503, b'{"Code": "ServiceUnavailable", "Message": "x"}', Kind.UNKNOWN, ""),
    ],
)
def test_an_odd_answer_becomes_a_typed_error(
    server: Canned, cloud: CloudClient, status: int, body: bytes, kind: Kind, code: str
) -> None:
    server.status, server.body = status, body
    with pytest.raises(CloudError) as failure:
        cloud.call(RDS, create_account(), secrets={"AccountPassword": PASSWORD})
    assert failure.value.kind is kind
    assert code in failure.value.code


def test_the_wait_that_the_cloud_asks_for_is_in_seconds(server: Canned, cloud: CloudClient) -> None:
    server.status, server.body = 400, b'{"Code": "Throttling", "Message": "x"}'
    server.headers["x-acs-retry-after"] = "3500"
    with pytest.raises(CloudError) as failure:
        cloud.call(RDS, create_account())
    assert failure.value.after == 3.5


def test_throttling_slows_down_what_comes_next(server: Canned, cloud: CloudClient) -> None:
    server.status, server.body = 400, b'{"Code": "Throttling", "Message": "x"}'
    server.headers["x-acs-retry-after"] = "5000"
    for _ in range(2):
        with pytest.raises(CloudError) as failure:
            cloud.call(RDS, create_account())
    assert failure.value.code == "RateLimit"
    assert failure.value.kind is Kind.THROTTLED
    assert failure.value.after is not None
    assert failure.value.after > 4.0
    assert len(server.requests) == 1


def test_nothing_secret_is_logged_or_said_when_the_cloud_is_away(
    server: Canned, cloud: CloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.shutdown()
    server.server_close()
    with caplog.at_level(logging.DEBUG), pytest.raises(CloudError) as failure:
        cloud.call(RDS, create_account(), secrets={"AccountPassword": PASSWORD})
    assert failure.value.kind is Kind.UNKNOWN
    for text in (str(failure.value), repr(failure.value), caplog.text):
        assert "Hush" not in text
        assert "Signature=" not in text
    assert failure.value.__cause__ is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", Kind.UNKNOWN),
        (200, b"<BucketInfo/>", Kind.UNKNOWN),
        (500, b"", Kind.UNKNOWN),
        (502, b"<html>", Kind.UNKNOWN),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", Kind.NOT_FOUND),
        (403, b"<Error><Code>AccessDenied</Code></Error>", Kind.DENIED),
        (409, b"<Error><Code>BucketAlreadyExists</Code></Error>", Kind.EXISTS),
        (503, b"<Error><Code>ServiceBusy</Code></Error>", Kind.THROTTLED),
        (400, b"<Error><Code>TooManyBuckets</Code></Error>", Kind.QUOTA),
    ],
)
def test_an_odd_answer_of_oss_becomes_a_typed_error_too(
    server: Canned, cloud: CloudClient, status: int, body: bytes, kind: Kind
) -> None:
    server.status, server.body = status, body
    buckets = Buckets(cloud)
    bucket = buckets.bucket("things", "cn-hangzhou")
    with pytest.raises(CloudError) as failure:
        buckets.call("GetBucketInfo", bucket.get_bucket_info)
    assert failure.value.kind is kind
    buckets.close()


@pytest.mark.parametrize(("token", "asked"), [("", 1), ("temporary", 2)])
def test_whose_a_lasting_key_is_need_not_be_asked_again(
    server: Canned, tmp_path: Path, token: str, asked: int
) -> None:
    """A start at which the cloud does not answer would have to wait with everything."""
    server.body = b'{"RequestId": "1", "AccountId": "1234"}'
    for _ in range(2):
        client = CloudClient(
            region="cn-hangzhou",
            endpoint=server.url,
            credentials=CredentialsProvider(Fixed(Credentials("key-id", "secret", token))),
            limiter=RateLimiter(parse_rates("")),
            directory=tmp_path,
        )
        assert client.account() == "1234"
        client.close()
    assert len(server.requests) == asked
    assert b"key-id" not in b"".join(one.read_bytes() for one in tmp_path.iterdir())


def test_nothing_is_sent_any_more_by_who_was_taken_for_dead(
    server: Canned, cloud: CloudClient
) -> None:
    taken_for_dead: list[bool] = []
    with fenced(lambda: not taken_for_dead):
        cloud.call(RDS, create_account())
        taken_for_dead.append(True)
        with pytest.raises(TryAgainError, match="another one goes on"):
            cloud.call(RDS, create_account())
        with closing(Buckets(cloud)) as buckets, pytest.raises(TryAgainError):
            buckets.call("GetBucketInfo", pytest.fail, "it was called")
    assert len(server.requests) == 1
    cloud.call(RDS, create_account())


def test_ram_requests_name_their_version(server: Canned, cloud: CloudClient) -> None:
    cloud.ask(RAM, "CreateUser", UserName="u")
    ((path, _),) = server.requests
    assert "Version=2015-05-01" in path
    assert "UserName=u" in path


@pytest.mark.parametrize(
    ("region", "product", "host"),
    [
        ("cn-hangzhou", VPC, "vpc.cn-hangzhou.aliyuncs.com"),
        ("ap-northeast-2", VPC, "vpc.ap-northeast-2.aliyuncs.com"),
        ("cn-hangzhou", RDS, "rds.aliyuncs.com"),
        ("ap-northeast-2", RDS, "rds.ap-northeast-2.aliyuncs.com"),
        ("ap-northeast-2", RAM, "ram.aliyuncs.com"),
    ],
)
def test_a_region_has_endpoints_of_its_own(region: str, product: Product, host: str) -> None:
    assert product.host_in(region) == host
