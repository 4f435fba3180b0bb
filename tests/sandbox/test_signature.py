"""Signatures against vectors taken from the real SDKs."""

from __future__ import annotations

import pytest

from alibroker.sandbox import signature

STS = {"AccessKeyId": "STS.testid", "SecurityToken": "tok/en+=1"}
CALL = {
    "AccessKeyId": "testid",
    "AccountName": "u_1",
    "AccountPassword": "Aa1!*~ (x)+/%é",
    "AccountType": "Normal",
    "Action": "CreateAccount",
    "DBInstanceId": "rm-uf6wjk5abcdefgh",
    "Format": "JSON",
    "RegionId": "cn-hangzhou",
    "SignatureMethod": "HMAC-SHA1",
    "SignatureNonce": "0123456789abcdef0123456789abcdef",
    "SignatureType": "",
    "SignatureVersion": "1.0",
    "Timestamp": "2026-01-02T03:04:05Z",
    "Version": "2014-08-15",
    "Signature": "is not signed itself",
}
DATE = {"date": "Mon, 23 Nov 2026 08:40:02 GMT"}
STAMP = {"x-oss-date": "20261123T084002Z", "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
SCOPE = "20261123/cn-hangzhou/oss/aliyun_v4_request"
OBJECT = "/my-bucket/a%2Fb%20c%2B.txt"
TEXT = {"content-type": "text/plain"}
PRIVATE = {"x-oss-acl": "private"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, "p9gVUlF+YZgm40GaBGsiQG15JcM="), (STS, "Oaesjzsp5ZDytXIQGxFKukKlO+A=")],
)
def test_an_rpc_signature_is_the_sdks(changes: dict[str, str], expected: str) -> None:
    text = signature.rpc_string_to_sign("POST", {**CALL, **changes}.items())
    assert signature.rpc_signature("testsecret", text) == expected


def test_an_rpc_string_to_sign_escapes_twice() -> None:
    text = signature.rpc_string_to_sign("POST", CALL.items())
    assert text.startswith("POST&%2F&AccessKeyId%3Dtestid%26AccountName%3Du_1%26")
    assert "Aa1%2521%252A~%2520%2528x%2529%252B%252F%2525%25C3%25A9" in text


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (OBJECT, TEXT, "Trf34S1gZJSpXAE7GlB1aXxPjTE="),
        ("/my-bucket/", PRIVATE, "SFbSCip7wUY3eZx4wzWIatG3v5w="),
    ],
)
def test_an_oss_v1_signature_is_the_sdks(path: str, headers: dict[str, str], expected: str) -> None:
    text = signature.oss_v1_string_to_sign("PUT", path, [], {**headers, **DATE})
    assert signature.oss_v1_signature("testsecret", text) == expected


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (OBJECT, TEXT, "b373ca2a4f4cfb153db824f50e9009bda3ba10390a4fb354011842bd8041bc48"),
        (
            "/my-bucket/",
            PRIVATE,
            "9d1d52ccaf7d8fce2c8a14528a316d3369add0439157459351648ed2d0fd0073",
        ),
    ],
)
def test_an_oss_v4_signature_is_the_sdks(path: str, headers: dict[str, str], expected: str) -> None:
    text = signature.oss_v4_string_to_sign("PUT", path, [], {**headers, **STAMP}, SCOPE)
    assert signature.oss_v4_signature("testsecret", SCOPE, text) == expected
