"""Calls to Alibaba Cloud: one client for all products, with one kind of error."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.http import protocol_type
from aliyunsdkcore.request import AcsRequest, CommonRequest

from alibroker.brokers import fencing
from alibroker.brokers.alibabacloud.credentials import (
    Credentials,
    CredentialsError,
    CredentialsProvider,
)
from alibroker.brokers.alibabacloud.errors import CloudError, Kind, cloud_error, lost
from alibroker.brokers.alibabacloud.infrastructure import STS
from alibroker.brokers.alibabacloud.product import Product
from alibroker.brokers.alibabacloud.rates import RateLimitedError, RateLimiter
from alibroker.brokers.alibabacloud.remembered import Remembered
from alibroker.brokers.alibabacloud.transcript import Transcript, shape

CONNECT_TIMEOUT: Final = 5
READ_TIMEOUT: Final = 10
WRITE_TIMEOUT: Final = 20
"""Seconds; the documentation of CreateDBInstance asks for 20."""
_CONNECTIONS: Final = 32
_SAME_FAILURE: Final = 1.0
"""Seconds for which a failure counts for others that have waited for the same answer."""

for _name in ("aliyunsdkcore", "oss2"):
    # They log URLs, in which signatures and tokens are.
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class CloudClient:
    """Calls the RPC products in one region. Thread-safe."""

    def __init__(
        self,
        *,
        region: str,
        credentials: CredentialsProvider,
        limiter: RateLimiter,
        endpoint: str | None = None,
        directory: Path | None = None,
    ) -> None:
        """Prepare a client.

        `endpoint`, a URL, stands in for the endpoint of every product; in `directory` is kept what
        need not be asked again.
        """
        self._remembered = Remembered(directory)
        self.region = region
        self.endpoint = endpoint
        self.credentials = credentials
        self.limiter = limiter
        self.transcript: Transcript | None = None
        """Where calls are noted, if anywhere."""
        self._lock = threading.Lock()
        self._client: tuple[Credentials, AcsClient] | None = None
        self._account_lock = threading.Lock()
        self._account: tuple[Credentials, str] | None = None
        self._account_failure: tuple[float, CloudError] | None = None

    def caller_identity(self) -> dict[str, Any]:
        """Return whose the credentials are (STS GetCallerIdentity, which nobody is refused).

        Raises:
            CloudError: The cloud did not say.
        """
        return self.ask(STS, "GetCallerIdentity")

    def account(self) -> str:
        """Return the id of the account that the credentials belong to.

        The cloud is asked once for each key: at first, and when temporary ones have been renewed.
        Whose a lasting one is never changes, and is remembered.

        Raises:
            CloudError: The cloud did not say, so nothing is known.
        """
        with self._account_lock:
            credentials = self._credentials(STS, "GetCallerIdentity")
            if self._account is not None and self._account[0] is credentials:
                return self._account[1]
            lasting = credentials.expires_at is None and not credentials.security_token
            key_id = credentials.access_key_id
            if lasting and (account := self._remembered.account_of(key_id)):
                self._account = (credentials, account)
                return account
            if self._account_failure is not None:
                since, failure = self._account_failure
                if time.monotonic() - since < _SAME_FAILURE:
                    raise failure
            try:
                found = self.caller_identity().get("AccountId")
                if not isinstance(found, str) or not found:
                    raise lost("GetCallerIdentity", TypeError())
            except CloudError as error:
                self._account_failure = (time.monotonic(), error)
                raise
            self._account, self._account_failure = (credentials, found), None
            if lasting:
                self._remembered.remember(key_id, found)
            return found

    def ask(
        self,
        product: Product,
        action: str,
        secrets: Mapping[str, str] | None = None,
        /,
        **parameters: str,
    ) -> dict[str, Any]:
        """Do as `call` with a request of an action and its parameters alone."""
        request = CommonRequest(version=product.version, action_name=action, product=product.name)
        request.set_method("POST")
        for name, value in parameters.items():
            request.add_query_param(name, value)
        return self.call(product, request, secrets=secrets)

    def call(
        self, product: Product, request: AcsRequest, *, secrets: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send `request`, made for this one call to `product`, and return the answer.

        `secrets` are more parameters; they travel in the body and never in the URL.

        Raises:
            CloudError: It did not end well, or was not sent because of our own rate limit.
        """
        action = request.get_action_name()
        self.admit(product, action)
        if self.transcript is None:
            return self._call(product, request, secrets or {})
        parameters = {**request.get_query_params(), **(secrets or {})}
        with self.transcript.call(product.name, action, parameters) as call:
            answer = self._call(product, request, secrets or {})
            call.answer = shape(answer)
            return answer

    def _call(
        self, product: Product, request: AcsRequest, secrets: Mapping[str, str]
    ) -> dict[str, Any]:
        action = request.get_action_name()
        credentials = self._credentials(product, action)
        for name, value in secrets.items():
            request.add_body_params(name, value)
        self._address(product, request)
        try:
            # Private, because the public way to the headers is deprecated.
            send = self._acs_client(credentials)._implementation_of_do_action  # noqa: SLF001
            answer = send(request)
        except Exception as error:  # noqa: BLE001 - the SDK lets all sorts of exceptions through
            raise _unanswered(product, action, error) from None
        return self._answer(product, action, credentials, answer)

    def _credentials(self, product: Product, action: str) -> Credentials:
        try:
            return self.credentials.get()
        except CredentialsError as error:
            raise cloud_error(
                product=product, action=action, code="Credentials", message=str(error)
            ) from error

    def admit(self, product: Product, action: str) -> None:
        """Wait for the rate limit of `product`, and see that this process may still act.

        Raises:
            CloudError: It would take too long.
            TryAgainError: Another process has taken over what this one works on.
        """
        try:
            self.limiter.wait(product.prefix, action)
        except RateLimitedError as error:
            raise CloudError(
                Kind.THROTTLED,
                action=action,
                code="RateLimit",
                message=str(error),
                after=error.after,
            ) from None
        fencing.check()

    def _address(self, product: Product, request: AcsRequest) -> None:
        request.set_accept_format("JSON")
        request.set_connect_timeout(CONNECT_TIMEOUT)
        reads = request.get_action_name().startswith(("Describe", "List", "Get"))
        request.set_read_timeout(READ_TIMEOUT if reads else WRITE_TIMEOUT)
        request.set_protocol_type(protocol_type.HTTPS)
        # The SDK goes by tables of its own, which have not grown with the regions.
        request.set_endpoint(self.endpoint or product.host_in(self.region))

    def _acs_client(self, credentials: Credentials) -> AcsClient:
        """Return the SDK's client for `credentials`; making one takes milliseconds."""
        with self._lock:
            if self._client is None or self._client[0] is not credentials:
                key = (credentials.access_key_id, credentials.access_key_secret)
                client = AcsClient(
                    region_id=self.region,
                    credential=StsTokenCredential(*key, credentials.security_token)
                    if credentials.security_token
                    else AccessKeyCredential(*key),
                    auto_retry=False,
                    pool_size=_CONNECTIONS,
                    # The SDK does not know NO_PROXY: keep a proxy away from a local endpoint.
                    proxy={"http": None, "https": None} if self.endpoint else None,
                )
                self._client = (credentials, client)
            return self._client[1]

    def _answer(
        self,
        product: Product,
        action: str,
        credentials: Credentials,
        answer: tuple[int, Mapping[str, str], bytes, ServerException | None],
    ) -> dict[str, Any]:
        status, headers, body, error = answer
        try:
            document = json.loads(body)
        except ValueError as fault:  # UnicodeDecodeError is one
            raise lost(action, fault) from None
        if not isinstance(document, dict):
            raise lost(action, TypeError())
        code = error.get_error_code() if error is not None else document.get("Code")
        bucket = self.limiter.bucket(product.prefix, action)
        if error is None and code in {None, "", "200", "OK", "Success"}:
            bucket.went_well()
            return document
        after = _seconds(headers.get("x-acs-retry-after"))
        failure = cloud_error(
            product=product,
            action=action,
            code=str(code),
            message=str(document.get("Message", "")),
            status=status,
            request_id=str(document.get("RequestId", "")),
            after=after,
        )
        if failure.kind is Kind.THROTTLED:
            bucket.slow_down(after or 1.0)
        if failure.code.startswith("InvalidSecurityToken"):
            self.credentials.refused(credentials)
        raise failure

    def close(self) -> None:
        """Close the connections, and forget whose the credentials are."""
        with self._account_lock:
            self._account = self._account_failure = None
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client[1].session.close()


def _unanswered(product: Product, action: str, error: Exception) -> CloudError:
    """Type what the SDK raises; its text is not used, for it has the URL in it."""
    code = getattr(error, "error_code", None)
    if isinstance(code, str) and code not in {"SDK.HttpError", "SDK.ServerUnreachable"}:
        return cloud_error(product=product, action=action, code=code, message="")
    return lost(action, error)


def _seconds(milliseconds: str | None) -> float | None:
    """Read the header x-acs-retry-after."""
    try:
        return max(0.0, float(milliseconds) / 1000) if milliseconds else None
    except ValueError:
        return None
