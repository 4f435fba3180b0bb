"""Signatures, times, nonces and keys of the RPC protocol, over the wire."""

from __future__ import annotations

import time
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkrds.request.v20140815.DescribeRegionsRequest import DescribeRegionsRequest

from alibroker.sandbox.signature import rpc_signature, rpc_string_to_sign

pytestmark = pytest.mark.unjudged  # parameters that no action has show what is signed
SECRET = "testsecret"


def signed(method: str = "POST", secret: str = SECRET, **changes: Any) -> dict[str, str]:
    values = {
        "Action": "GetCallerIdentity",
        "Version": "2015-04-01",
        "Format": "JSON",
        "AccessKeyId": "testid",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": str(uuid.uuid4()),
        "Timestamp": stamp(0),
    }
    values = {name: text for name, text in {**values, **changes}.items() if text is not None}
    text = rpc_string_to_sign(method, values.items())
    return {**values, "Signature": rpc_signature(secret, text)}


def stamp(offset: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


def send(sandbox: Any, values: dict[str, str], method: str = "POST") -> requests.Response:
    return requests.request(method, f"{sandbox.url}/", params=values, timeout=10)


def test_get_and_post_and_forms_are_accepted(sandbox: Any) -> None:
    assert send(sandbox, signed("GET"), "GET").ok
    assert send(sandbox, signed()).ok
    values = signed(Note="in the form, with a blank and a +")
    answer = requests.post(f"{sandbox.url}/", data=values, timeout=10)
    assert answer.ok
    assert answer.json()["IdentityType"] == "Account"
    assert answer.headers["x-acs-request-id"] == answer.json()["RequestId"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"Action": None}, 400, "MissingParameter"),
        ({"Version": None}, 400, "MissingParameter"),
        ({"Version": "2001-01-01"}, 404, "InvalidVersion"),
        ({"Action": "MakeCoffee"}, 404, "InvalidAction.NotFound"),
        ({"AccessKeyId": None}, 400, "MissingParameter"),
        ({"SignatureNonce": None}, 400, "MissingParameter"),
        ({"Timestamp": None}, 400, "MissingParameter"),
        ({"SignatureMethod": "HMAC-MD5"}, 400, "IncompleteSignature"),
        ({"AccessKeyId": "nobody"}, 404, "InvalidAccessKeyId.NotFound"),
        ({"Timestamp": "yesterday"}, 400, "InvalidTimeStamp.Format"),
        ({"Timestamp": "2026-99-99T00:00:00Z"}, 400, "InvalidTimeStamp.Format"),
        ({"Timestamp": lambda: stamp(-1000)}, 400, "InvalidTimeStamp.Expired"),
        ({"Timestamp": lambda: stamp(+1000)}, 400, "InvalidTimeStamp.Expired"),
        ({"secret": "wrong"}, 400, "SignatureDoesNotMatch"),
        ({"SecurityToken": "from nowhere"}, 400, "InvalidSecurityToken.MismatchWithAccessKey"),
    ],
)
def test_a_bad_call_is_refused(
    sandbox: Any, changes: dict[str, Any], status: int, code: str
) -> None:
    # A time is worked out now, and not when the tests were collected.
    changes = {name: value() if callable(value) else value for name, value in changes.items()}
    answer = send(sandbox, signed(**changes))
    body = answer.json()
    assert (answer.status_code, body["Code"]) == (status, code)
    assert body["RequestId"]
    assert body["HostId"]
    assert body["Recommend"].startswith("https://")


def test_an_empty_signature_type_is_signed(sandbox: Any) -> None:
    assert send(sandbox, signed(SignatureType="")).ok


def test_the_text_of_a_wrong_signature_lets_the_sdk_explain_it(
    sandbox: Any, as_caller: Any
) -> None:
    wrong = as_caller(sandbox.url, secret="wrong")
    with pytest.raises(ServerException) as caught:
        wrong.client.do_action_with_exception(DescribeRegionsRequest())
    # The SDK found its own string to sign in the message, so only the secret can be wrong.
    assert caught.value.get_error_code() == "InvalidAccessKeySecret"


def test_a_changed_parameter_breaks_the_signature(sandbox: Any) -> None:
    values = signed(Note="one")
    assert send(sandbox, {**values, "Note": "two"}).json()["Code"] == "SignatureDoesNotMatch"
    assert send(sandbox, values).ok


def test_a_nonce_is_good_once(sandbox: Any) -> None:
    values = signed()
    assert send(sandbox, values).ok
    again = send(sandbox, values)
    assert (again.status_code, again.json()["Code"]) == (400, "SignatureNonceUsed")


def test_a_refused_call_does_not_use_its_nonce(sandbox: Any) -> None:
    nonce = str(uuid.uuid4())
    assert not send(sandbox, signed(secret="wrong", SignatureNonce=nonce)).ok
    assert send(sandbox, signed(SignatureNonce=nonce)).ok


def test_the_raw_query_is_what_is_signed(sandbox: Any) -> None:
    values = signed(Note="ä ~*+%2F&=")
    query = urlencode(values)
    assert requests.post(f"{sandbox.url}/?{query}", timeout=10).ok
