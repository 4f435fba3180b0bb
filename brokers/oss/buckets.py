"""Calls to OSS, with the same kind of error as the other products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import oss2
import requests
from oss2.credentials import Credentials as OssCredentials
from oss2.credentials import CredentialsProvider as OssCredentialsProvider

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.credentials import CredentialsError, CredentialsProvider
from alibroker.brokers.alibabacloud.errors import CloudError, Kind, cloud_error, lost
from alibroker.brokers.oss.endpoints import OSS_ENDPOINT, Endpoint, Endpoints
from alibroker.brokers.oss.product import OSS

_T = TypeVar("_T")

_TIMEOUT: Final = (3, 10)  # seconds to connect, to read
_CONNECTIONS: Final = 32
STEPS: Final = frozenset([".", ".."])
"""Keys that are steps to other places where they stand in a path."""


class _Provider(OssCredentialsProvider):  # type: ignore[misc] # oss2 has no types
    def __init__(self, credentials: CredentialsProvider) -> None:
        self._credentials = credentials

    def get_credentials(self) -> OssCredentials:
        current = self._credentials.get()
        return OssCredentials(
            current.access_key_id, current.access_key_secret, current.security_token
        )


class _Sender(requests.Session):
    """Sends a key that is a step as it stands, and as it was signed.

    requests takes the step (RFC 3986, section 5.2.4), so that the call would be about the bucket.
    """

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = super().prepare_request(request)
        if prepared.url is not None and request.url.rpartition("/")[2] in STEPS:
            prepared.url = f"{request.url}?{urlsplit(prepared.url).query}"
        return prepared


class Buckets:
    """Makes clients for buckets, in any region, that share connections. Thread-safe."""

    def __init__(self, cloud: CloudClient, endpoints: Endpoints | None = None) -> None:
        self._cloud = cloud
        self.endpoints = endpoints or Endpoints(cloud.endpoint)
        self._session = oss2.Session(pool_size=_CONNECTIONS)
        sender = _Sender()
        sender.adapters = self._session.session.adapters
        self._session.session = sender
        if cloud.endpoint is not None:
            self._session.session.trust_env = False  # no proxy in front of a local endpoint
        self._auth = oss2.ProviderAuthV4(_Provider(cloud.credentials))

    def bucket(self, name: str, region: str) -> oss2.Bucket:
        """Return a client for what is done to a bucket; it uses the broker's own key."""
        return self._bucket(self._auth, Endpoint(self.endpoints.of_buckets(region)), name, region)

    def contents(self, name: str, region: str) -> oss2.Bucket:
        """Return a client for what is in a bucket; it uses the broker's own key."""
        return self._bucket(self._auth, self.endpoints.of_contents(name, region), name, region)

    def service(self, region: str) -> oss2.Service:
        """Return a client for the account, whose buckets it lists in all regions."""
        return oss2.Service(
            self._auth,
            self.endpoints.of_buckets(region),
            session=self._session,
            connect_timeout=_TIMEOUT,
            region=region,
        )

    def opened_with(
        self, key_id: str, secret: str, name: str, region: str, token: str = ""
    ) -> tuple[oss2.Bucket, oss2.Bucket]:
        """Return clients for a bucket and for what is in it that use the given key.

        A temporary key comes with its token.
        """
        auth = (
            oss2.StsAuth(key_id, secret, token, auth_version=oss2.AUTH_VERSION_4)
            if token
            else oss2.AuthV4(key_id, secret)
        )
        return (
            self._bucket(auth, Endpoint(self.endpoints.of_buckets(region)), name, region),
            self._bucket(auth, self.endpoints.of_contents(name, region), name, region),
        )

    def _bucket(self, auth: Any, endpoint: Endpoint, name: str, region: str) -> oss2.Bucket:
        return oss2.Bucket(
            auth,
            endpoint.url,
            name,
            is_cname=endpoint.is_domain,
            session=self._session,
            connect_timeout=_TIMEOUT,
            region=region,
            enable_crc=False,
        )

    def call(self, action: str, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call a method of a bucket; `action` is its name in RAM policies, e.g. PutBucket.

        Raises:
            CloudError: It did not end well, or was not sent because of our own rate limit.
        """
        self._cloud.admit(OSS, action)
        if self._cloud.transcript is None:
            return self._call(action, function, *args, **kwargs)
        with self._cloud.transcript.call(OSS.name, action, {}):
            return self._call(action, function, *args, **kwargs)

    def _call(self, action: str, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        bucket = self._cloud.limiter.bucket(OSS.prefix, action)
        try:
            result = function(*args, **kwargs)
        except CredentialsError as error:
            raise cloud_error(
                product=OSS, action=action, code="Credentials", message=str(error)
            ) from error
        except oss2.exceptions.OssError as error:
            failure = _typed(action, error)
            if failure.kind is Kind.THROTTLED:
                bucket.slow_down(1.0)
            raise failure from None
        except Exception as error:  # noqa: BLE001 - oss2 lets parse errors and others through
            raise lost(action, error) from None
        bucket.went_well()
        return result

    def close(self) -> None:
        """Close the connections."""
        session: requests.Session = self._session.session
        session.close()


def _typed(action: str, error: oss2.exceptions.OssError) -> CloudError:
    if error.status < 0:
        # Below zero are oss2's own: no answer, or arguments it does not like.
        if isinstance(error, oss2.exceptions.ClientError):
            return cloud_error(
                product=OSS, action=action, code="OssClientError", message=str(error.body)
            )
        return _unanswered(action, getattr(error, "exception", error))
    return cloud_error(
        product=OSS,
        action=action,
        code=error.code or f"Http{error.status}",
        message=error.message,
        status=error.status,
        request_id=error.request_id,
    )


def _unanswered(action: str, error: BaseException) -> CloudError:
    """Type a call without an answer, and name the setting where there was no connection."""
    if not isinstance(error, requests.ConnectionError):
        return lost(action, error)
    return CloudError(
        Kind.UNKNOWN,
        action=action,
        code=type(error).__name__,
        message="no answer from OSS: if that goes on, see whether the machine of the broker can "
        f"reach the endpoint that {OSS_ENDPOINT} chooses",
    )
